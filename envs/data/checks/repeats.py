"""Values that repeat: tariffs, placeholders, and gaps that somebody filled.

Public series are rounded, have floors and caps, and stand still where nothing happens. A repetition
is called wrong only where the rest of the series makes it unlikely.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from equiload.envs.data.checks.findings import Finding, Signal, Verdict
from equiload.envs.typing import FloatArray, IntArray

_FEW = 0.05  # distinct values per slot below which a series is a schedule
_DAY_HOURS = 24
_FILLED = 0.3  # share of the steps of a rounded series, between its outer tenths, that occur
_LASTING = 2  # days that a rounded value lasts on average, at most
_SCHEDULED = 1 / 3  # of the day's slots that nearly all changes of a tariff fall on
#: A stretch that rounding explains is at most so many times as long as all but 1 % of stretches.
_LONGEST = 6.0
#: Short stretches are looked for in prices, which a market makes anew; so many slots at least, and
#: so few of them expected.
_SHORT, _EXPECTED = 4, 0.01
_WINTER = 120  # days that frost lasts at most where data centers stand
_NEIGHBOURS, _SMALL = 4, 0.1  # steps, and size of one beside the median, that hide what changes
_COPY_STEPS = 5  # of rounding that a day must span for its copy to be no accident


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Stretches of one value: where each begins, its length in slots, and its value."""

    starts: IntArray
    lengths: IntArray
    values: FloatArray

    @classmethod
    def of(cls, values: FloatArray) -> Runs:
        """The stretches of a series ``[T]``."""
        starts = np.flatnonzero(np.concatenate([[True], np.diff(values) != 0]))
        return cls(starts, np.diff(np.append(starts, len(values))), values[starts])

    def repeated(self, per_day: int) -> int:
        """Slots that values of up to an hour last where they were put on finer slots; or 1."""
        return max(int(np.gcd.reduce(self.lengths[1:-1], initial=per_day // 24)), 1)


def check_schedule(signal: Signal) -> Iterator[Finding]:
    """A series with few distinct values is a tariff, a yearly factor, or a placeholder."""
    values = signal.values
    if len(values) < 2 * _DAY_HOURS:
        return
    if signal.steady:
        evidence = f"every value is {values[0]:.4g}"
        if signal.declared_constant or _frost(signal) == values[0]:
            yield signal.finding("constant", Verdict.OK, f"{evidence}, as it should be")
            return
        advice = "A yearly average or a placeholder: nothing can be gained by waiting or moving."
        yield signal.finding("constant", Verdict.BROKEN, evidence, advice)
        return
    distinct = len(np.unique(values))
    few = distinct <= max(6, _FEW * len(values) / Runs.of(values).repeated(signal.per_day))
    if not few or signal.kind in ("temperature", "site_water", "solar") or rounded(signal):
        return
    if _hardly_changes(signal):
        evidence = f"{distinct} neighbouring values: rounding hides what changes"
        yield signal.finding("tariff", Verdict.UNSURE, evidence)
        return
    evidence = f"there are only {distinct} distinct values in {len(values)} slots"
    advice = "A tariff or a rounded schedule, no market: take hourly data, or say so in reports."
    yield signal.finding("tariff", Verdict.SUSPICIOUS, evidence, advice)


def check_repeats(signal: Signal) -> Iterator[Finding]:
    """Gaps that someone filled: flat stretches, and days that repeat the day before."""
    if len(signal.values) < 3 or not signal.per_day or signal.steady:
        return
    yield from _flat(signal)
    yield from _copies(signal)


def rounded(signal: Signal) -> bool:
    """Does the series have few values because it is rounded, not because it follows a schedule?

    Rounded values fill a ladder of equal steps, and change at any time of the day.
    """
    distinct = np.unique(signal.values)
    step = step_of(distinct)
    if step == 0 or not signal.per_day:
        return False
    low, high = np.quantile(signal.values, [0.05, 0.95])
    inside = ((distinct >= low) & (distinct <= high)).sum()
    if inside < _FILLED * ((high - low) / step + 1):
        return False
    runs = Runs.of(signal.values)
    slot = runs.starts[1:] % signal.per_day
    if len(slot) * _LASTING * signal.per_day < len(signal.values):
        return False
    count = np.sort(np.bincount(slot, minlength=signal.per_day))[::-1].cumsum()
    busy = int(np.searchsorted(count, 0.9 * count[-1])) + 1
    return busy > _SCHEDULED * signal.per_day / runs.repeated(signal.per_day)


def _hardly_changes(signal: Signal) -> bool:
    """Does it move by a few small steps of rounding alone, as grids of one kind of plant do?"""
    step = step_of(np.unique(signal.values))
    few = float(np.ptp(signal.values)) <= (_NEIGHBOURS + 0.5) * step
    return few and step <= _SMALL * abs(float(np.median(signal.values)))


def step_of(distinct: FloatArray) -> float:
    """The step that all of these ascending values are whole multiples of apart; 0 if there is none.

    A unit's conversion scales the step and leaves the ladder.
    """
    if len(distinct) < 2:
        return 0.0
    gaps = np.diff(distinct)
    step = float(gaps.min())
    if step <= 1e-12 * float(np.abs(distinct).max()):
        return 0.0
    multiples = gaps / step
    return step if np.abs(multiples - np.round(multiples)).max() < 0.02 else 0.0


def _flat(signal: Signal) -> Iterator[Finding]:
    """The most remarkable flat stretch, if the rest of the series does not explain it."""
    per_day, every = signal.per_day, Runs.of(signal.values)
    chosen = (every.values != _frost(signal)) | (every.lengths > _WINTER * per_day)
    runs = Runs(every.starts[chosen], every.lengths[chosen], every.values[chosen])
    if len(runs.lengths) == 0:
        return
    longest = int(runs.lengths.argmax())
    length = int(runs.lengths[longest])
    if length >= per_day:
        usual = float(np.quantile(runs.lengths, 0.99))
        if _hardly_changes(signal) or (rounded(signal) and length <= _LONGEST * usual):
            return
    elif signal.kind == "price":
        short = _unlikely(runs, per_day)
        if short is None:
            return
        longest, length = short, int(runs.lengths[short])
    else:
        return
    edge = runs.values[longest] in (signal.values.min(), signal.values.max())
    yield signal.finding(
        "flat stretch",
        Verdict.BROKEN if length >= 7 * per_day else Verdict.SUSPICIOUS,
        f"the value does not change for {length * 24 / per_day:.3g} h from "
        f"{signal.stamps[runs.starts[longest]]} UTC",
        "A price cap, a floor, or a gap that was filled flat: compare with the source."
        if edge
        else "A gap that was filled flat: take another window, or another source.",
    )


def _unlikely(runs: Runs, per_day: int) -> int | None:
    """The longest stretch of a value that stands still nowhere else, if chance does not make it.

    How often neighbours are equal, and how often equal neighbours have a third, is taken from the
    series itself. Zero, caps, floors and the steps of tariffs come again, and are left out.
    """
    lengths, values = np.maximum(runs.lengths // runs.repeated(per_day), 1), runs.values
    still, times = np.unique(values[lengths >= 2], return_counts=True)
    again = np.isin(values, still[times > 1])
    again |= (values == 0) | (values == values.min()) | (values == values.max())
    alone = np.where(again, 0, lengths)
    longest = int(alone.argmax())
    length = int(alone[longest])
    if length < _SHORT:
        return None
    others = np.delete(alone, longest)
    pairs, triples = int((others >= 2).sum()), int((others >= 3).sum())
    expected = max(pairs, 1) * ((triples + 1) / (pairs + 10)) ** (length - 2)
    return longest if expected < _EXPECTED else None


def _copies(signal: Signal) -> Iterator[Finding]:
    """Days that repeat the day before, in which something happens."""
    values, per_day = signal.values, signal.per_day
    days = values[: len(values) // per_day * per_day].reshape(-1, per_day)
    moving = np.ptp(days, axis=1) > _COPY_STEPS * step_of(np.unique(values))
    copies = (days[1:] == days[:-1]).all(1) & moving[1:]
    if copies.any() and len(days) > 2:
        day = signal.stamps[(int(np.argmax(copies)) + 1) * per_day]
        yield signal.finding(
            "copied days",
            Verdict.SUSPICIOUS,
            f"{int(copies.sum())} of {len(days)} days repeat the day before, first at {day} UTC",
            "A gap that was filled with a copy: take another window, or another source.",
        )


def _frost(signal: Signal) -> float:
    """What stands still for weeks: the least that cooling towers drink in frost, panels in winter.

    Not a number for other series, and where it does not show.

    It shows in all the water of a region, too, where that of its grid is a constant.
    """
    if signal.kind == "solar":
        return 0.0
    if signal.kind not in ("site_water", "water"):
        return np.nan
    floor = float(signal.values.min())
    comes_again = int((Runs.of(signal.values).values == floor).sum()) > 2
    dry = signal.kind == "site_water" and floor == 0.0
    return floor if dry or comes_again else np.nan
