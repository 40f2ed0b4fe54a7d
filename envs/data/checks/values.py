"""Are the values those of a market, a grid or a crowd, and in the unit they say?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from equiload.envs.data.checks.findings import Finding, Series, Verdict
from equiload.envs.data.grid import typical_mix
from equiload.envs.data.weather import cooling_water
from equiload.envs.typing import FloatArray

# Where the median of a series of this kind lies anywhere on earth.
_PLAUSIBLE = {
    "price": (4.0, 1500.0),
    "carbon": (0.008, 1.3),
    "water": (0.1, 40.0),
    "temperature": (-30.0, 40.0),
}
#: How far a mean may be from the region's typical one, as a factor.
_NEAR = {"price": 5.0, "carbon": 2.2, "water": 3.0}
# and by how much in the kind's unit it must differ besides: a wet year can treble very little.
_APART = {"price": 20.0, "carbon": 0.15, "water": 2.0}
_SLIPS = {
    "a unit slip of 10³": 1000.0,
    "a factor of 100 (cents, or per cent)": 100.0,
    "kilograms and pounds, converted twice or the wrong way": 2.2046**2,
    "litres and gallons": 3.7854,
    "litres and gallons, converted twice": 3.7854**2,
    "megawatt hours and gigajoules": 3.6,
}
_FEW = 0.05  # distinct values per slot below which a series is a schedule
_DAY_HOURS = 24
_OUTLIER = {"price": 200.0, "carbon": 25.0, "water": 25.0, "temperature": 10.0, "demand": 20.0}


def check_values(series: Series) -> Iterator[Finding]:
    """Level, spread, repetition and outliers of one series."""
    yield _level(series)
    yield from _schedule(series)
    yield from _repeats(series)
    yield from _outliers(series)


def check_twins(group: Sequence[Series]) -> Iterator[Finding]:
    """Regions whose series of one kind are proportional: one market under two names."""
    for later, b in enumerate(group):
        for a in group[:later]:
            if len(a.values) < 24 or a.values.std() == 0 or b.values.std() == 0:
                continue
            correlation = np.corrcoef(a.values, b.values)[0, 1]
            if correlation > 1 - 1e-9:
                factor = b.values.std() / a.values.std()
                same = "the same as" if abs(factor - 1) < 1e-9 else f"{factor:.4g} times"
                yield Finding(
                    b.region,
                    b.kind,
                    "twins",
                    Verdict.SUSPICIOUS,
                    f"it is exactly {same} that of {a.region}",
                    "One file read twice, or one series converted twice with different factors: "
                    "give each region its own.",
                )
                break


def _level(series: Series) -> Finding:
    middle, mean = float(np.median(series.values)), float(series.values.mean())
    if series.kind == "temperature":
        return _temperature_level(series, mean)
    low, high = _PLAUSIBLE.get(series.kind, (0.0, np.inf))
    if not low <= middle <= high:
        fixes = [f for f in (1e-3, 1e3) if low <= middle * f <= high]
        advice = f"A unit slip of 10³: multiply by {fixes[0]:g}, or mend 'unit'." if fixes else ""
        found = f"the median is {middle:.4g}, expected {low:g} to {high:g}"
        return _finding(series, "level", Verdict.BROKEN, found, advice or "Mend 'unit'.")
    expected = _expected(series)
    if expected is None or mean <= 0:
        return _finding(series, "level", Verdict.OK, f"the mean is {mean:.4g}")
    ratio = mean / expected
    found = f"the mean is {mean:.4g}, {ratio:.2g} times what is typical here ({expected:.3g})"
    near = 1 / _NEAR[series.kind] <= ratio <= _NEAR[series.kind]
    if near or abs(mean - expected) < _APART[series.kind]:
        return _finding(series, "level", Verdict.OK, found)
    size = abs(np.log(ratio))
    slip = min(_SLIPS, key=lambda name: abs(size - np.log(_SLIPS[name])))
    likely = abs(size - np.log(_SLIPS[slip])) < 0.25
    advice = f"It looks like {slip}: mend 'unit'." if likely else "Compare with the source."
    return _finding(series, "level", Verdict.SUSPICIOUS, found, advice)


def _temperature_level(series: Series, mean: float) -> Finding:
    region = series.known
    usual = None if region is None else region.temperature
    spread = 18.0 if region is None else region.season + 12.0
    low, high = _PLAUSIBLE["temperature"] if usual is None else (usual - spread, usual + spread)
    found = f"the mean is {mean:.1f} °C, expected {low:.0f} to {high:.0f} °C"
    if low <= mean <= high:
        return _finding(series, "level", Verdict.OK, found)
    twice, never = mean * 1.8 + 32, (mean - 32) / 1.8
    if low <= never <= high:
        advice = "The values look like °F: mend 'unit'."
    elif low <= twice <= high:
        advice = "The values look converted from °F twice: mend 'unit'."
    else:
        advice = "Mend 'unit' or 'location'."
    return _finding(series, "level", Verdict.SUSPICIOUS, found, advice)


def _expected(series: Series) -> float | None:
    """Typical mean of this kind of series in the region of the table nearby."""
    region = series.known
    if region is None or series.kind not in _NEAR:
        return None
    if series.kind == "price":
        return region.price
    carbon, mean = typical_mix(region, ("carbon", "water"))
    if series.kind == "carbon":
        return float(carbon)
    mean += float(cooling_water(np.array(region.temperature - 3.0)))
    return float(mean)


def _schedule(series: Series) -> Iterator[Finding]:
    """A series with few distinct values is a tariff, a yearly factor, or a placeholder."""
    distinct = len(np.unique(series.values))
    if len(series.values) < 2 * _DAY_HOURS:
        return
    if distinct == 1:
        yield _finding(
            series,
            "constant",
            Verdict.BROKEN,
            f"every value is {series.values[0]:.4g}",
            "A yearly average or a placeholder: nothing can be gained by waiting or moving.",
        )
    elif distinct <= max(6, _FEW * len(series.values)):
        yield _finding(
            series,
            "tariff",
            Verdict.SUSPICIOUS,
            f"there are only {distinct} distinct values in {len(series.values)} slots",
            "A tariff or a rounded schedule, no market: take hourly data, or say so in reports.",
        )


def _repeats(series: Series) -> Iterator[Finding]:
    """Gaps that someone filled: long flat stretches, and days that repeat the day before."""
    values, per_day = series.values, series.per_day
    if len(values) < 3 or not per_day or values.std() == 0:
        return
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values) != 0]))
    lengths = np.diff(np.append(starts, len(values)))
    longest = int(lengths.argmax())
    if lengths[longest] >= per_day:
        yield _finding(
            series,
            "flat stretch",
            Verdict.BROKEN if lengths[longest] >= 7 * per_day else Verdict.SUSPICIOUS,
            f"the value does not change for {lengths[longest] * 24 // per_day} h from "
            f"{series.stamps[starts[longest]]} UTC",
            "A gap that was filled flat: take another window, or another source.",
        )
    days = values[: len(values) // per_day * per_day].reshape(-1, per_day)
    moving = np.ptp(days, axis=1) > 0
    copies = (days[1:] == days[:-1]).all(1) & moving[1:]
    if copies.any() and len(days) > 2:
        day = series.stamps[(int(np.argmax(copies)) + 1) * per_day]
        yield _finding(
            series,
            "copied days",
            Verdict.SUSPICIOUS,
            f"{int(copies.sum())} of {len(days)} days repeat the day before, first at {day} UTC",
            "A gap that was filled with a copy: take another window, or another source.",
        )


def _outliers(series: Series) -> Iterator[Finding]:
    """Values far beyond the others: a slip in a row, a stuck sensor, a missing-value code."""
    values = series.values
    spread = _robust_spread(values)
    if series.kind not in _OUTLIER or spread == 0 or len(values) < 48:
        return
    far = np.abs(values - np.median(values)) / spread
    if far.max() > _OUTLIER[series.kind]:
        worst = int(far.argmax())
        yield _finding(
            series,
            "outlier",
            Verdict.SUSPICIOUS,
            f"{int((far > _OUTLIER[series.kind]).sum())} values are far from all others, "
            f"{values[worst]:.6g} at {series.stamps[worst]} UTC say",
            "A slip in a row or a code for missing values: mend the row.",
        )


def _robust_spread(values: FloatArray) -> float:
    """Standard deviation of a normal with the same quartiles."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float((high - low) / 1.349)


def _finding(series: Series, check: str, verdict: Verdict, found: str, advice: str = "") -> Finding:
    return Finding(series.region, series.kind, check, verdict, found, advice)
