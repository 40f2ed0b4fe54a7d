"""What reading a file showed that its values no longer do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from equiload.envs.data.checks.findings import Finding, Verdict

_MANY = 0.02  # share of slots beyond which filled values are no longer a detail


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How one series came out of its file.

    Parameters
    ----------
    region, kind
        Whose series, and of what: ``price``, ``mix``, …
    file
        Its name, in messages.
    resolutions
        Seconds: all steps between stamps that occur, in the order in which they first do.
    changed
        UTC: the first stamp of the second of them, if known.
    filled, slots
        Values that were filled in, of so many.
    zone_declared
        The time zone that the user declared, if any.
    zone_used
        Did any stamp need it?
    unmapped_fuels
        Fuel codes that are in the file and in no mapping.
    empty_fuels
        Fuels in the mapping whose columns hold no value, counted as none.
    constant
        Is it a number that the user gave in the file's place?
    """

    region: str
    kind: str
    file: str = ""
    resolutions: tuple[int, ...] = ()
    changed: np.datetime64 | None = None
    filled: int = 0
    slots: int = 0
    zone_declared: str | None = None
    zone_used: bool = True
    unmapped_fuels: tuple[str, ...] = ()
    empty_fuels: tuple[str, ...] = ()
    constant: bool = False


def check_reading(reading: Reading) -> Iterator[Finding]:
    """What is worth knowing about how a series was read."""
    where = f" in {reading.file}" if reading.file else ""

    def finding(check: str, verdict: Verdict, found: str, advice: str) -> Finding:
        return Finding(reading.region, reading.kind, check, verdict, found, advice)

    if len(reading.resolutions) > 1:
        steps = " and ".join(duration(seconds) for seconds in reading.resolutions)
        since = "" if reading.changed is None else f", the second since {reading.changed} UTC"
        yield finding(
            "resolution",
            Verdict.NOTED,
            f"values last {steps}{since}{where}",
            "Each counts for as long as it lasts; give 'start' or 'end' to use one alone.",
        )
    if reading.zone_declared and not reading.zone_used:
        yield finding(
            "time zone",
            Verdict.NOTED,
            f"{reading.zone_declared} was declared and not used: "
            f"every stamp{where} has an offset of its own",
            "Take it out, or override the offsets if they are wrong.",
        )
    if reading.unmapped_fuels:
        yield finding(
            "fuels",
            Verdict.SUSPICIOUS,
            f"{_listed(reading.unmapped_fuels)} is left out{where}: no fuel is mapped to it",
            "What these plants generate counts for nothing: add them to 'fuels'.",
        )
    if reading.empty_fuels:
        yield finding(
            "fuels",
            Verdict.NOTED,
            f"{_listed(reading.empty_fuels)} has no value at all{where} and counts as none",
            "Take it out of 'fuels' to say so.",
        )
    if reading.filled:
        share = reading.filled / reading.slots if reading.slots else 0.0
        yield finding(
            "filled",
            Verdict.SUSPICIOUS if share > _MANY else Verdict.NOTED,
            f"{reading.filled} values were filled in"
            + (f", {share:.1%} of {reading.slots} slots" if reading.slots else ""),
            "They are guesses: take another window or source where it matters.",
        )


def duration(seconds: int) -> str:
    """In the largest of hours, minutes and seconds that it is a whole number of."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name) for name in names)
