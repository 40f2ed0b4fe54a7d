"""Are the values those of a market, a grid or a crowd, and in the unit they say?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from equiload.envs.data.checks.findings import Finding, Signal, Verdict
from equiload.envs.data.checks.repeats import Runs, step_of
from equiload.envs.data.grid import typical_mix
from equiload.envs.data.regions import Region
from equiload.envs.data.weather import cooling_water
from equiload.envs.footprints import FOOTPRINTS
from equiload.envs.typing import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual for a kind of series; the fields are those of ``Footprint``.

    ``possible``: beyond it a value that is far from all others is wrong.
    """

    plausible: tuple[float, float] = (-np.inf, np.inf)
    near: float = np.inf
    apart: float = 0.0
    outlier: float = np.inf
    possible: tuple[float, float] = (-np.inf, np.inf)


_USUAL = {
    # Caps reach some 12,000 US$ (Australia), and floors −650.
    "price": Usual(
        plausible=(4.0, 1500.0), near=5.0, apart=20.0, outlier=200.0, possible=(-1500.0, 2e4)
    ),
    "temperature": Usual(plausible=(-30.0, 40.0), outlier=10.0, possible=(-70.0, 60.0)),
    "demand": Usual(outlier=20.0),
}
_CODES = (999.0, 9999.0, 99999.0, 999999.0, 32767.0)  # for missing values, of either sign
_CODE_APART = 20.0  # robust deviations from the median that a code lies, at least
_SLIPS = {
    "a unit slip of 10³": 1000.0,
    "a factor of 100 (cents, or per cent)": 100.0,
    "kilograms and pounds, converted twice or the wrong way": 2.2046**2,
    "litres and gallons": 3.7854,
    "litres and gallons, converted twice": 3.7854**2,
    "megawatt hours and gigajoules": 3.6,
}
_SLIP_NEAR = 0.25  # logarithm of what a mean may differ by from one of these slips, at most
_DOUBTFUL_SPREAD = 12.0  # °C more, where the place is far from the one it is judged by


def usual_of(kind: str) -> Usual | None:
    """What is usual for a kind; none for one that nothing is known of."""
    if kind not in FOOTPRINTS:
        return _USUAL.get(kind)
    row = FOOTPRINTS[kind]
    possible = (0.0, 1.5 * row.plausible[1])
    return Usual(row.plausible, row.near, row.apart, row.outlier, possible)


def check_values(signal: Signal) -> Iterator[Finding]:
    """Level and outliers of one series."""
    usual = usual_of(signal.kind)
    if usual is not None:
        level = _temperature_level if signal.kind == "temperature" else _level
        yield level(signal, usual)
        yield from _outliers(signal, usual)


def _level(signal: Signal, usual: Usual) -> Finding:
    finding = partial(signal.finding, "level")
    middle, mean = float(np.median(signal.values)), float(signal.values.mean())
    low, high = usual.plausible
    if not low <= middle <= high:
        fixes = [f for f in (1e-3, 1e3) if low <= middle * f <= high]
        advice = f"A unit slip of 10³: multiply by {fixes[0]:g}, or mend 'unit'." if fixes else ""
        evidence = f"the median is {middle:.4g}, expected {low:g} to {high:g}"
        return finding(Verdict.BROKEN, evidence, advice or "Mend 'unit'.")
    region = None if signal.nearest is None else signal.nearest[0]
    expected = None if region is None else _typical(region, signal.kind)
    if expected is None or mean <= 0:
        return finding(Verdict.OK, f"the mean is {mean:.4g}")
    ratio = mean / expected
    where = "there" if signal.doubt else "here"
    evidence = (
        f"the mean is {mean:.4g}, {ratio:.2g} times what is typical {where} ({expected:.3g})"
        f"{signal.doubt}"
    )
    if 1 / usual.near <= ratio <= usual.near or abs(mean - expected) < usual.apart:
        return finding(Verdict.OK, evidence)
    if signal.doubt:  # grids and markets a day's drive apart can be of any two kinds
        return finding(Verdict.UNSURE, evidence)
    distance = {name: abs(abs(np.log(ratio)) - np.log(slip)) for name, slip in _SLIPS.items()}
    slip = min(distance, key=lambda name: distance[name])
    likely = distance[slip] < _SLIP_NEAR
    advice = f"It looks like {slip}: mend 'unit'." if likely else "Compare with the source."
    return finding(Verdict.SUSPICIOUS, evidence, advice)


def _temperature_level(signal: Signal, usual: Usual) -> Finding:
    mean = float(signal.values.mean())
    low, high = usual.plausible
    if signal.nearest is not None:
        region = signal.nearest[0]
        spread = region.season + 12.0 + (_DOUBTFUL_SPREAD if signal.doubt else 0.0)
        low, high = region.temperature - spread, region.temperature + spread
    evidence = f"the mean is {mean:.1f} °C, expected {low:.0f} to {high:.0f} °C{signal.doubt}"
    if low <= mean <= high:
        return signal.finding("level", Verdict.OK, evidence)
    twice, never = mean * 1.8 + 32, (mean - 32) / 1.8
    if low <= never <= high:
        advice = "The values look like °F: mend 'unit'."
    elif low <= twice <= high:
        advice = "The values look converted from °F twice: mend 'unit'."
    else:
        advice = "Mend 'unit' or 'location'."
    return signal.finding("level", Verdict.SUSPICIOUS, evidence, advice)


def _typical(region: Region, kind: str) -> float | None:
    """Typical mean of this kind of series in the region, or none where it does not tell."""
    if kind == "price":
        return region.price
    if kind not in FOOTPRINTS or not FOOTPRINTS[kind].factors:
        return None
    mean = float(typical_mix(region, (kind,))[0])
    if FOOTPRINTS[kind].cooling:
        mean += float(cooling_water(np.array(region.temperature - 3.0)))
    return mean


def _outliers(signal: Signal, usual: Usual) -> Iterator[Finding]:
    """Values far beyond the others: a slip in a row, a stuck sensor, a missing-value code.

    Scarcity and imports move a series far, too, but in steps, or to a price that can be: only what
    leaps there and back, cannot be, or is a known code is called wrong.
    """
    values = signal.values
    spread = max(robust_spread(values), step_of(np.unique(values)))
    if spread == 0 or len(values) < 48 or not np.isfinite(usual.outlier):
        return
    apart = np.abs(values - np.median(values)) / spread
    coded = np.isin(np.abs(values), _CODES) & (apart > min(usual.outlier, _CODE_APART))
    far = (apart > usual.outlier) | coded
    if not far.any():
        return
    low, high = usual.possible
    wrong = coded | far & ((values < low) | (values > high))
    if signal.kind != "price":
        wrong |= far & _leaps(values, apart)
    chosen = wrong if wrong.any() else far
    worst = int(np.where(chosen, apart, 0.0).argmax())
    evidence = (
        f"{int(chosen.sum())} values are far from all others, "
        f"{values[worst]:.6g} at {signal.stamps[worst]} UTC say"
    )
    if not wrong.any():
        yield signal.finding("outlier", Verdict.UNSURE, evidence)
        return
    advice = "A slip in a row or a code for missing values: mend the row."
    yield signal.finding("outlier", Verdict.SUSPICIOUS, evidence, advice)


def _leaps(values: FloatArray, apart: FloatArray) -> BoolArray:
    """``[T]``: are the values before and after this stretch of one value less than half as far?"""
    runs = Runs.of(values)
    there = apart[runs.starts]
    beside = np.maximum(np.append(0.0, there[:-1]), np.append(there[1:], 0.0))
    return np.asarray(np.repeat(beside < 0.5 * there, runs.lengths))


def robust_spread(values: FloatArray) -> float:
    """Standard deviation of a normal with the same quartiles."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float((high - low) / 1.349)
