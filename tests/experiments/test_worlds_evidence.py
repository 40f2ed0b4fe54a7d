"""Generated years beside public ones, and what the documentation claims of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evidence import gaps, main

import slips
from equiload.agents import EGLB
from equiload.envs import DataError
from equiload.envs.data import Draw, bloom10, synthetic, world
from years import (
    Public,
    count_within,
    generated_years,
    public_statistics,
    verdict,
    year_tables,
    yearly,
)


@pytest.fixture(scope="module")
def years() -> dict[str, np.ndarray]:
    return generated_years(4)


def row(statistic: str, series: str = "price", region: str = "Texas") -> Public:
    return Public(region, series, statistic, 0.9, 1.1, "2020", "quoted", "here")


def test_every_public_statistic_names_its_source_and_a_region_of_the_world() -> None:
    rows = public_statistics()
    keys = [(r.region, r.series, r.statistic, r.years) for r in rows]
    assert len(set(keys)) == len(keys)
    for r in rows:
        assert r.region in world()
        assert r.low <= r.high
        assert r.obtained in ("quoted", "unaudited")
        assert ("http" in r.source or "Monitoring Analytics" in r.source) == (
            r.obtained == "quoted"
        )


def test_yearly_statistics_are_what_they_say() -> None:
    hours = np.arange(8760)
    values = np.zeros((2, 8760, len(world())))
    values[..., 0] = 3.0 + np.sqrt(2) * np.sin(2 * np.pi * hours / 24)  # Texas
    values[..., 1] = -values[..., 0]  # Virginia
    made = {"price": values}
    expected = {
        "mean": 3.0,
        "deviation": 1.0,
        "relative deviation": 1 / 3,
        "share below 0": 0.0,
        "lag 1": np.cos(2 * np.pi / 24),
        "lag 24": 1.0,
        "correlation with Virginia": -1.0,
    }
    for statistic, value in expected.items():
        np.testing.assert_allclose(yearly(row(statistic), made), value, atol=2e-3)
    assert yearly(row("share below 0", region="Virginia"), made).tolist() == [1.0, 1.0]
    with pytest.raises(DataError, match="no yearly statistic 'median'"):
        yearly(row("median"), made)


def test_verdicts() -> None:
    assert verdict(row("mean"), np.array([0.5, 1.5])) == "within"
    assert verdict(row("mean"), np.array([1.0, 1.5])) == "overlaps"
    assert verdict(row("mean"), np.array([2.2, 2.2])) == "× 2.00"
    assert verdict(row("mean"), np.array([0.45, 0.45])) == "× 0.50"


def test_the_tables_hold_every_statistic(years) -> None:
    rows = public_statistics()
    tables, count = year_tables(years, rows), count_within(years, rows)
    assert sum(line.startswith("| ") for line in tables.splitlines()) == len(rows) + 2 * len(
        {r.series for r in rows}
    )
    totals = [int(part.split(" of ")[1].split()[0]) for part in count.split("|") if " of " in part]
    assert sum(totals) == len(rows)


@pytest.mark.parametrize("region", ["Germany", "California", "United Kingdom"])
def test_carbon_varies_over_a_year_as_published(years, region: str) -> None:
    (published,) = [
        r
        for r in public_statistics()
        if (r.region, r.series, r.statistic, r.obtained)
        == (region, "carbon", "deviation", "quoted")
    ]
    assert yearly(published, years).mean() == pytest.approx(published.low, rel=0.2)


@pytest.mark.parametrize("region", ["Germany", "Virginia"])
def test_prices_vary_repeat_and_move_together_as_public_ones(years, region: str) -> None:
    rows = [r for r in public_statistics() if (r.region, r.series) == (region, "price")]
    for r in rows:
        if r.statistic not in ("mean", "share below 0"):
            assert 0.9 * r.low <= yearly(r, years).mean() <= 1.1 * r.high, r.statistic


def test_eglb_is_as_far_from_the_optimum_on_draws_as_on_the_published_trace(
    bloom10_root: Path,
) -> None:
    draws = [synthetic(Draw.test(d), horizon=457) for d in range(12)]
    published = gaps([bloom10(bloom10_root)], EGLB)[0]
    assert 0.5 < gaps(draws, EGLB).mean() / published < 2.0


def test_the_command_tells_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kind", "--draws", "2", "--hours", "24"]) == 0
    assert "| 2 test draws | partial |" in capsys.readouterr().out
    assert main(["shifts", "--worlds", "1"]) == 0
    assert "| demand | 10 of 10 | 0 | 20 of 20 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["kind", "--draws", "1"], "at least 2 draws, got 1"),
        (["kind", "nowhere", "--draws", "2", "--hours", "2"], "nowhere"),
        (["shifts", "--worlds", "0"], "at least 1"),
        (["slips", "--years", "0"], "at least 1"),
    ],
)
def test_bad_options_get_a_sentence(arguments, match, capsys) -> None:
    assert main(arguments) == 2
    assert match in capsys.readouterr().err


def test_slips_are_counted_by_kind(monkeypatch, capsys) -> None:
    monkeypatch.setattr(slips, "FLEETS", (("Germany", "Japan"),))
    chosen = ("°F taken for °C", "unit slip, 1000 times", "an hour late in summer")
    monkeypatch.setattr(slips, "SLIPS", {name: slips.SLIPS[name] for name in chosen})
    assert main(["slips", "--years", "1"]) == 0
    text = capsys.readouterr().out
    rows = {row.split(" | ")[0].strip("| "): row for row in text.splitlines()}
    assert rows["°F taken for °C"] == "| °F taken for °C |  |  |  | 2/2 |  |"
    assert rows["unit slip, 1000 times"].startswith("| unit slip, 1000 times | 2/2 | 2/2 |  |")
    assert "| 1/1 | 1/1 |" in rows["an hour late in summer"]  # clocks change in Germany alone
    assert "1 sound years of 10 series: 0" in text
