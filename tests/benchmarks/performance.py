"""Tables of docs/performance.md from one run of the benchmarks.

``python tests/benchmarks/performance.py BENCHMARKS.json docs/performance.md`` replaces what stands
between the document's two markers, whole or not at all, and draws ``images/scaling.png`` beside it.
A benchmark with ``column`` in its extra information is a cell of its group's table; the others are
rows.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from equiload.experiments.running.files import replacing

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
OURS = "equiload"
NBSP = "\N{NO-BREAK SPACE}"
LAID_OUT = {"row", "column", "failed", "seconds", "spread", "scale", "slots", "datacenters"}

Entry = Mapping[str, Any]


def document(run: Mapping[str, Any]) -> str:
    """What was measured, as Markdown."""
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in run["benchmarks"]:
        groups[entry["group"] or entry["name"]].append(entry)
    parts = [_machine(run)]
    for group, entries in groups.items():
        cells = all("column" in entry["extra_info"] for entry in entries)
        parts += [f"## {group}", _grid(entries) if cells else _rows(entries)]
    return "\n\n".join(part for part in parts if part)


def _machine(run: Mapping[str, Any]) -> str:
    machine, commit = run["machine_info"], run.get("commit_info", {})
    processor, packages = machine.get("cpu", {}), machine.get("packages", {})
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    memory = f"{machine['gib']:.0f} GiB of memory, " if "gib" in machine else ""
    return (
        f"Measured {run['datetime'][:10]} at commit {str(commit.get('id', 'unknown'))[:7]}: "
        f"{processor.get('brand_raw', machine.get('machine'))}, {processor.get('count', '?')} "
        f"cores, {memory}{machine['system']} {machine['release']}, "
        f"Python {machine['python_version']}; {versions}."
    )


def _grid(entries: Sequence[Entry]) -> str:
    """Cells: median, how far the runs spread if there are several, and how often ours fits in."""
    rows = list(dict.fromkeys(entry["extra_info"]["row"] for entry in entries))
    columns = list(dict.fromkeys(entry["extra_info"]["column"] for entry in entries))
    found = {(e["extra_info"]["row"], e["extra_info"]["column"]): e for e in entries}
    lines = [["", *columns]]
    for row in rows:
        ours = found.get((row, OURS))
        cells = [_cell(found.get((row, column)), ours) for column in columns]
        lines.append([row, *cells])
    notes = [*_growth(entries), *_notes(entries)]
    return "\n\n".join([_table(lines), *notes])


def _cell(entry: Entry | None, ours: Entry | None) -> str:
    if entry is None:
        return ""
    if "failed" in entry["extra_info"]:
        return str(entry["extra_info"]["failed"])
    median, low, high = _seconds(entry)
    text = _number(median)
    if low < high:  # more runs than one
        text += f" [{_number(low)}, {_number(high)}]"
    if ours is None or ours is entry or "failed" in ours["extra_info"]:
        return text
    return f"{text} (× {_number(median / _seconds(ours)[0])})"


def _seconds(entry: Entry) -> tuple[float, float, float]:
    """Median, least and most, in the group's unit."""
    extra, stats = entry["extra_info"], entry["stats"]
    if "spread" in extra:
        return extra["seconds"], min(extra["spread"]), max(extra["spread"])
    if "seconds" in extra:
        return (extra["seconds"],) * 3
    scale = extra.get("scale", 1.0)
    return scale * stats["median"], scale * stats["min"], scale * stats["max"]


def _growth(entries: Sequence[Entry]) -> list[str]:
    """Exponents of the growth of each way's time, fitted to the sizes that it managed."""
    sized = [e for e in entries if "slots" in e["extra_info"] and "failed" not in e["extra_info"]]
    notes = []
    for way in dict.fromkeys(entry["extra_info"]["column"] for entry in sized):
        mine = [entry for entry in sized if entry["extra_info"]["column"] == way]
        fitted = [
            *_exponents(mine, "slots", "datacenters"),
            *_exponents(mine, "datacenters", "slots"),
        ]
        if fitted:
            notes.append(f"Time of {way} grows like {', '.join(fitted)}.")
    return [" ".join(notes)] if notes else []


def _exponents(entries: Sequence[Entry], axis: str, other: str) -> Iterable[str]:
    letters = {"slots": "T", "datacenters": "N"}
    for value in sorted({entry["extra_info"][other] for entry in entries}):
        same = [entry for entry in entries if entry["extra_info"][other] == value]
        if len(same) >= 2:
            sizes = np.log([entry["extra_info"][axis] for entry in same])
            times = np.log([_seconds(entry)[0] for entry in same])
            exponent = np.polyfit(sizes, times, 1)[0]
            yield f"{letters[axis]}^{exponent:.2f} at {letters[other]} = {value:,}"


def _notes(entries: Iterable[Entry]) -> list[str]:
    """The largest memory and the worst error of each way."""
    notes = []
    for key, unit in (("gib", " GiB"), ("gap", ""), ("cost error", "")):
        most: dict[str, float] = {}
        for entry in entries:
            if entry["extra_info"].get(key) is not None:
                way, value = entry["extra_info"]["column"], abs(entry["extra_info"][key])
                most[way] = max(most.get(way, 0.0), value)
        if most:
            name = {"gib": "Peak memory of the process", "gap": "Largest certified gap"}.get(
                key, "Largest relative error of the cost"
            )
            each = ", ".join(f"{way} {_number(value)}{unit}" for way, value in most.items())
            notes.append(f"{name}: {each}.")
    return notes


def _rows(entries: Sequence[Entry]) -> str:
    """One line each: median, spread, ratio to the fastest, and whatever else was noted."""
    extras = list(dict.fromkeys(k for e in entries for k in e["extra_info"] if k not in LAID_OUT))
    fastest = min(_seconds(entry)[0] for entry in entries)
    lines = [["", "median, s", "least to most", "ratio", *extras]]
    for entry in entries:
        median, low, high = _seconds(entry)
        name = entry["extra_info"].get("row") or entry["param"] or entry["name"]
        more = [_shown(entry["extra_info"].get(key, "")) for key in extras]
        spread = f"{_number(low)} to {_number(high)}"
        lines.append([name, _number(median), spread, _number(median / fastest), *more])
    return _table(lines)


def _shown(value: Any) -> str:
    return _number(value) if isinstance(value, int | float) else str(value)


def _number(value: float) -> str:
    """Three digits that count."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def _table(lines: Sequence[Sequence[str]]) -> str:
    kept = [
        [cell.replace(" × ", f"{NBSP}×{NBSP}").replace("(× ", f"(×{NBSP}") for cell in line]
        for line in lines
    ]
    head, *body = [f"| {' | '.join(line)} |" for line in kept]
    return "\n".join([head, "|" + " --- |" * len(lines[0]), *body])


def _drawn(run: Mapping[str, Any]) -> list[Entry]:
    """Entries that the figure shows: of routing alone, by size."""
    entries = run["benchmarks"]
    return [e for e in entries if "slots" in e["extra_info"] and "knobs" not in e["group"]]


def figure(run: Mapping[str, Any]) -> Figure:
    """Seconds of eGLB-Off against slots, a panel for each kind and number of data centers."""
    sized = _drawn(run)
    solved = [entry for entry in sized if "failed" not in entry["extra_info"]]
    kinds = list(dict.fromkeys(entry["group"] for entry in sized))
    numbers = sorted({entry["extra_info"]["datacenters"] for entry in sized})
    ways = list(dict.fromkeys(entry["extra_info"]["column"] for entry in sized))
    size = (2.6 * len(numbers) + 0.6, 2.1 * len(kinds) + 0.8)
    drawn, axes = plt.subplots(
        len(kinds),
        len(numbers),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=size,
        layout="constrained",
    )
    for row, kind in zip(axes, kinds, strict=True):
        for axis, number in zip(row, numbers, strict=True):
            for n, way in enumerate(ways):
                line = sorted(
                    (entry["extra_info"]["slots"], _seconds(entry)[0])
                    for entry in solved
                    if (entry["group"], entry["extra_info"]["datacenters"]) == (kind, number)
                    and entry["extra_info"]["column"] == way
                )
                style = {"linewidth": 2.4, "zorder": 3} if way == OURS else {"linewidth": 1.0}
                xy = np.array(line).reshape(-1, 2).T
                axis.loglog(*xy, marker="o", markersize=3, color=f"C{n}", label=way, **style)
            axis.set_title(f"{kind.split(', ')[1].split(':')[0]}, {number} × {number}", fontsize=9)
            axis.grid(alpha=0.3)
            axis.tick_params(labelsize=8)
    drawn.supxlabel("slots", fontsize=9)
    drawn.supylabel("seconds to a solution", fontsize=9)
    handles, labels = axes[0][0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return drawn


def main(source: str, target: str) -> None:
    """See the module."""
    path = Path(target)
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f"{path}: expected one line {BEGIN} and one {END}")
    run = json.loads(Path(source).read_text(encoding="utf-8"))
    measured = document(run)
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    with replacing(path) as draft:
        draft.write_text(f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}", encoding="utf-8")
    if _drawn(run):
        with replacing(path.parent / "images" / "scaling.png") as draft:
            figure(run).savefig(draft, format="png", dpi=130)


if __name__ == "__main__":
    main(*sys.argv[1:])
