"""Files in the structure of what providers export: the right value, or a sentence to act on.

``cases/README.md`` says what is right; every number in these files is invented.
"""

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from equiload.envs import DataError
from equiload.envs.data.table import read_table
from equiload.envs.data.tables.assemble import RegionTable
from equiload.envs.instance import Instance

CASES = Path(__file__).parent / "cases"


def read_case(
    name: str, tmp_path: Path, options: dict | None = None, top: dict | None = None
) -> tuple[Instance, RegionTable]:
    """Region Here (or the first) of a case; ``options`` change its series, ``top`` the file."""
    source = CASES / f"{name}.yaml"
    if options is None and top is None:
        instance, regions = read_table(source)
        return instance, regions[0]
    world = YAML(typ="safe", pure=True).load(source)
    first = next(iter(world["regions"].values()))
    for kind, changes in (options or {}).items():
        first[kind] = {k: v for k, v in (first[kind] | changes).items() if v is not None}
    for region in world["regions"].values():
        for entry in region.values():
            if isinstance(entry, dict) and "file" in entry:
                entry["file"] = str(source.parent / entry["file"])
    path = tmp_path / "case.yaml"
    YAML().dump(world | (top or {}), path)
    instance, regions = read_table(path)
    return instance, regions[0]


def sentence(name: str, tmp_path: Path, options: dict | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read_case(name, tmp_path, options)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 700
    return text


@pytest.mark.parametrize("variant", ["a-layout", "b-overrides"])
def test_quarter_hours_in_two_sequences_over_the_autumn_change(variant, tmp_path: Path) -> None:
    instance, here = read_case(f"01-entsoe-gui-prices/{variant}", tmp_path)
    assert str(instance.trace.timestamps[0]) == "2025-10-25T22:00:00"
    (column,) = here.columns["price"]
    values = column.values / 1.08
    np.testing.assert_allclose(values[:2], [50.0, 50.5])
    at = {str(s)[:16]: v for s, v in zip(column.starts, values, strict=True)}
    assert at["2025-10-26T00:45"] == pytest.approx(55.5)  # 02:45 CEST
    assert at["2025-10-26T01:00"] == pytest.approx(56.0)  # 02:00 CET
    assert instance.horizon == 25
    assert not instance.trace.provenance["filled"]


@pytest.mark.parametrize("variant", ["c-ordinary-day", "d-wrapped"])
def test_an_ordinary_day_also_where_a_spreadsheet_quoted_every_line(variant, tmp_path) -> None:
    instance, here = read_case(f"01-entsoe-gui-prices/{variant}", tmp_path)
    assert str(instance.trace.timestamps[0]) == "2025-11-03T23:00:00"
    assert here.values["price"][0] == pytest.approx(np.mean([50, 50.5, 51, 51.5]) * 1.08)


@pytest.mark.parametrize(
    ("variant", "hours"), [("a-layout", 23), ("b-overrides", 23), ("c-ordinary-day", 24)]
)
def test_not_expected_is_none_and_a_dash_is_a_gap(variant, hours, tmp_path: Path) -> None:
    name = f"02-entsoe-gui-generation/{variant}"
    assert "row 47, column 'Generation (MW)' is '-'" in sentence(name, tmp_path)
    filled = {"gaps": {"method": "linear", "longest": 3}}
    instance, here = read_case(name, tmp_path, top=filled)
    assert instance.horizon == hours
    assert instance.trace.provenance["filled"] == {"Here: mix: hydro": 1}
    assert "mix: nuclear" not in here.values
    # 400 of hydro in every hour, the filled one too.
    np.testing.assert_allclose(here.values["mix: hydro"], 400.0)


@pytest.mark.parametrize("variant", ["a-refuse", "b-previous", "c-linear"])
def test_a_value_lasts_until_the_next_stamp(variant, tmp_path: Path) -> None:
    instance, here = read_case(f"04-value-only-where-it-changes/{variant}", tmp_path)
    np.testing.assert_allclose(here.values["price"][10:16], [70, 40, -15, -20, -10, 30])
    assert here.values["price"][0] == pytest.approx(np.mean([60, 60.4, 60.8, 61.2]))
    assert not instance.trace.provenance["filled"]
    assert here.columns["price"][0].resolutions == (900, 3600)


def test_thousands_and_the_end_of_the_hour(tmp_path: Path) -> None:
    name = "05-eia930-balance"
    assert "is it written with 'thousands: ',''?" in sentence(f"{name}/a-demand", tmp_path)
    for variant in ("a-demand", "b-demand-mw"):
        instance, here = read_case(f"{name}/{variant}", tmp_path, {"demand": {"thousands": ","}})
        assert str(instance.trace.timestamps[0]) == "2024-07-01T07:00:00"
        np.testing.assert_allclose(here.values["demand"][:2], [21_000, 21_300])
    mix = {"mix": {"thousands": ","}}
    _, commas = read_case(f"{name}/c-mix", tmp_path, mix)
    _, plain = read_case(f"{name}/c-mix-without-commas", tmp_path)
    np.testing.assert_array_equal(commas.values["carbon"], plain.values["carbon"])
    layout = {"mix": {"layout": "eia930-generation", "fuels": None, "time": None, "stamp": None}}
    layout["mix"] |= {"time_format": None, "time_zone": None, "unit": None}
    _, shorter = read_case(f"{name}/c-mix", tmp_path, layout)
    np.testing.assert_allclose(shorter.values["carbon"], plain.values["carbon"])


def test_decimal_commas_and_a_day_of_25_hours(tmp_path: Path) -> None:
    assert "'decimal: ',''" in sentence("06-smard/a", tmp_path)
    assert "'thousands: '.''" in sentence("06-smard/b-guessing-options", tmp_path)
    name, right = "06-smard/b-guessing-options", [45.0, 46.25, 47.5, 48.75, 50.0, 51.25]
    instance, here = read_case(name, tmp_path, {"price": {"thousands": "."}})
    assert str(instance.trace.timestamps[0]) == "2025-10-25T22:00:00"
    np.testing.assert_allclose(here.values["price"][:6], 1.1 * np.array(right))
    assert here.values["price"][8] == pytest.approx(1.1 * 1026.0)
    options = dict.fromkeys(("time", "time_format", "time_zone", "column", "separator", "decimal"))
    layout = {"price": options | {"layout": "smard-price"}}
    _, shorter = read_case(name, tmp_path, layout)
    np.testing.assert_array_equal(shorter.values["price"], here.values["price"])


def test_hour_ending(tmp_path: Path) -> None:
    assert "a date its hour ('time: [date, hour]')" in sentence(
        "07-ercot-hour-ending/a-date", tmp_path
    )
    for variant in ("b-two-columns", "c-24-00"):
        instance, here = read_case(f"07-ercot-hour-ending/{variant}", tmp_path)
        assert str(instance.trace.timestamps[0]) == "2024-12-14T06:00:00"  # 00:00 local
        np.testing.assert_allclose(here.values["price"], np.arange(21.0, 45.0))


@pytest.mark.parametrize(
    "variant", ["a-zone-of-the-file", "b-fixed-offset", "c-abbreviation", "d-autumn"]
)
def test_the_offset_of_the_header_counts(variant, tmp_path: Path) -> None:
    _, here = read_case(f"10-open-meteo-local-time/{variant}", tmp_path)
    (column,) = here.columns["temperature"]
    first = "2025-10-24T22:00:00" if variant == "d-autumn" else "2025-03-28T22:00:00"
    assert str(column.starts[0]) == first
    assert column.values[0] == pytest.approx(3.8)
    assert set(np.diff(column.starts).astype(int)) == {3600}


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("a-xlsx", None),
        ("b-json", {"records": "history"}),
        ("c-gz", None),
        ("d-utf16", None),
        ("e-latin1", {"encoding": "latin-1"}),
        ("f-epoch", {"time_format": "seconds since 1970-01-01"}),
        ("g-epoch-format", {"time_format": "seconds since 1970-01-01T00:00Z"}),
        ("h-epoch-ms", {"time_format": "milliseconds since 1970-01-01"}),
        ("k-pandas-index-without-name", None),
        ("l-pandas-index-unnamed", None),
    ],
)
def test_files_as_they_are(variant, options, tmp_path: Path) -> None:
    name = f"14-other-file-types/{variant}"
    if options is not None:
        text = sentence(name, tmp_path)
        assert next(iter(options)) in text, text
    instance, here = read_case(name, tmp_path, options and {"price": options})
    assert str(instance.trace.timestamps[0]) == "2024-05-01T00:00:00"
    np.testing.assert_allclose(here.values["price"][:3], [63.0, 64.79, 67.1])


def test_formats_of_other_languages_are_named(tmp_path: Path) -> None:
    moment = sentence("14-other-file-types/i-format-of-another-language", tmp_path)
    assert "no directive such as %Y" in moment
    assert "%i is no directive" in sentence("14-other-file-types/j-format-php", tmp_path)


def test_what_is_missing_in_a_mix_is_never_zero(tmp_path: Path) -> None:
    name = "15-missing-value-in-mix/a-dash"
    text = sentence(name, tmp_path)
    assert "generation.csv, row 32, column 'Nuclear  - Actual Aggregated [MW]' is '-'" in text
    fill = {"gaps": {"method": "linear", "longest": 6}}
    instance, here = read_case(name, tmp_path, top=fill)
    assert instance.trace.provenance["filled"] == {"Here: mix: nuclear": 3}
    assert 0.04 < here.values["carbon"].min() <= here.values["carbon"].max() < 0.06
    absent = "15-missing-value-in-mix/c-row-missing-of-a-single-code"
    assert "(Wind Offshore) has no value in 6 slots" in sentence(absent, tmp_path)
    instance, here = read_case(absent, tmp_path, top=fill)
    assert instance.trace.provenance["filled"] == {"Here: mix: wind": 6}
    assert here.facts["mix"].fuels_unmapped == ("Wind Onshore",)


@pytest.mark.parametrize("variant", ["g-amsterdam-dashes", "h-amsterdam-dots"])
def test_a_year_is_no_offset(variant, tmp_path: Path) -> None:
    instance, here = read_case(f"17-offsets/{variant}", tmp_path)
    assert str(instance.trace.timestamps[0]) == "2024-11-03T00:00:00"
    np.testing.assert_allclose(here.values["price"][:3], [21.02, 24.02, 28.79])


def test_texts_stay_texts_and_numbers_are_numbers(tmp_path: Path) -> None:
    for path in sorted((CASES / "21-yaml-norway").glob("*.yaml")):
        instance, here = read_case(f"21-yaml-norway/{path.stem}", tmp_path)
        assert instance.fleet.datacenters[:1] == ("NO",)
        hour = int(
            (instance.trace.timestamps[0] - np.datetime64("2025-03-01")) / np.timedelta64(1, "h")
        )
        assert here.values["price"][0] == pytest.approx(1.08 * (30 + hour)), path.stem
    instance, _ = read_case("21-yaml-norway/c-reachability", tmp_path)
    np.testing.assert_array_equal(instance.fleet.reachable, [[True, True], [False, True]])
    instance, _ = read_case("21-yaml-norway/e-no-on", tmp_path)
    assert instance.fleet.datacenters == ("NO", "ON", "OFF")
    instance, _ = read_case("21-yaml-norway/g-start-with-offset", tmp_path)
    assert str(instance.trace.timestamps[0]) == "2025-03-01T01:00:00"
    assert instance.horizon == 23
    spelled, _ = read_case(
        "21-yaml-norway/b-name", tmp_path, top={"equity_weight": {"carbon": "1.0e3"}}
    )
    assert spelled.objective.equity_weight == {"carbon": 1000.0}


def test_a_row_per_request(tmp_path: Path) -> None:
    name = "23-azure-llm-trace/a"
    assert "a log of requests its 'energy'" in sentence(name, tmp_path)
    energy = {"GeneratedTokens": "2 J", "ContextTokens": "0.1 J", "request": "5 J"}
    options = {"demand": {"layout": "azure-llm-requests", "energy": energy}}
    options["demand"] |= dict.fromkeys(("time", "time_zone", "column", "unit"))
    instance, here = read_case(name, tmp_path, options)
    rows = [
        line.split(",")
        for line in (CASES / "23-azure-llm-trace/AzureLLMInferenceTrace_conv.csv")
        .read_text()
        .splitlines()[1:]
    ]
    joule = [0.0, 0.0]
    for stamp, context, generated in rows:
        joule[int(stamp[11:13]) - 18] += 5 + 0.1 * int(context) + 2 * int(generated)
    assert instance.horizon == 2
    np.testing.assert_allclose(here.values["demand"], np.array(joule) / 3.6e9)


def test_seconds_since_the_start_of_a_trace(tmp_path: Path) -> None:
    name = "23-azure-llm-trace/b-seconds-since-start"
    assert "'time_format: seconds since 2024-01-01'" in sentence(name, tmp_path)
    since = {"time_format": "seconds since 2023-11-16T18:00Z", "unit": "%"}
    instance, here = read_case(name, tmp_path, {"demand": since})
    assert str(instance.trace.timestamps[0]) == "2023-11-16T18:00:00"
    used = np.loadtxt(CASES / "23-azure-llm-trace/alibaba-style.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(here.values["demand"], used[:, 1].reshape(2, 12).mean(1) / 100)


def test_order_and_gaps_of_local_clocks(tmp_path: Path) -> None:
    name = "24-clock-order-and-gaps"
    oldest, newest = (
        read_case(f"{name}/{v}", tmp_path)[1] for v in ("h-oldest-first", "i-newest-first")
    )
    np.testing.assert_array_equal(oldest.values["price"], newest.values["price"])
    np.testing.assert_allclose(oldest.values["price"][2:4], [102.0, 103.0])
    autumn, here = read_case(f"{name}/a-autumn-gaps", tmp_path)
    assert autumn.trace.provenance["filled"] == {"Here: price": 1}
    assert autumn.horizon == 49
    spring, _ = read_case(f"{name}/b-spring-empty", tmp_path)
    assert spring.horizon == 47
    assert not spring.trace.provenance["filled"]
    empty, here = read_case(f"{name}/c-empty-cells-gaps", tmp_path)
    absent, there = read_case(f"{name}/d-rows-absent-gaps", tmp_path)
    np.testing.assert_array_equal(here.values["price"], there.values["price"])
    assert empty.trace.provenance["filled"] == absent.trace.provenance["filled"]
