"""What reading the files of a table showed that its values no longer do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from equiload.envs.data.checks.findings import Finding, Verdict
from equiload.envs.data.tables.region import RegionTable

_MANY = 0.02  # share of slots beyond which filled values are no longer a detail


def check_readings(region: RegionTable, slots: int) -> Iterator[Finding]:
    """What is worth knowing about how the series of a region were read, for ``slots`` slots."""
    for kind in region.facts:
        yield from _check_reading(region, kind, slots)


def _check_reading(region: RegionTable, kind: str, slots: int) -> Iterator[Finding]:
    finding = partial(Finding, region.name, kind)
    facts = region.facts[kind]
    names = [n for n in region.columns if n == kind or (kind, n[:5]) == ("mix", "mix: ")]
    columns = [column for name in names for column in region.columns[name]]
    file = facts.files[0].name + (f" and {n} more" if (n := len(facts.files) - 1) else "")
    stepped = max(columns, key=lambda column: len(column.resolutions))
    if len(stepped.resolutions) > 1:
        steps = " and ".join(duration(seconds) for seconds in stepped.resolutions)
        second = stepped.seconds == stepped.resolutions[1]
        since = f", the second since {stepped.starts[second.argmax()]} UTC" if second.any() else ""
        yield finding(
            "resolution",
            Verdict.NOTED,
            f"values last {steps}{since} in {file}",
            "Each counts for as long as it lasts; give 'start' or 'end' to use one alone.",
        )
    if isinstance(facts.entry.rate, float):
        yield finding(
            "exchange rate",
            Verdict.SUSPICIOUS,
            f"one fixed rate of {facts.entry.rate} US$ converts {facts.entry.unit}",
            "Rates move by several per cent within months: give 'rate' a file of its own.",
        )
    zone = facts.entry.time_zone
    if zone and not facts.zone_used and zone not in ("UTC", "Etc/UTC"):
        yield finding(
            "time zone",
            Verdict.NOTED,
            f"{zone} was declared and not used: every stamp in {file} has an offset of its own",
            "Take it out, or override the offsets if they are wrong.",
        )
    if facts.fuels_unmapped:
        yield finding(
            "fuels",
            Verdict.SUSPICIOUS,
            f"{_listed(facts.fuels_unmapped)} is left out in {file}: no fuel is mapped to it",
            "What these plants generate counts for nothing: add them to 'fuels'.",
        )
    if facts.fuels_empty:
        yield finding(
            "fuels",
            Verdict.NOTED,
            f"{_listed(facts.fuels_empty)} has no value at all in {file} and counts as none",
            "Take it out of 'fuels' to say so.",
        )
    filled = max(region.filled[f"{region.name}: {name}"] for name in names)
    if filled:
        share = filled / slots
        yield finding(
            "filled",
            Verdict.SUSPICIOUS if share > _MANY else Verdict.NOTED,
            f"{filled} values were filled in, {share:.1%} of {slots} slots",
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
