"""A generation mix: the output of each fuel, and what counts as none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from equiload.envs.data.tables.cells import missing, not_expected
from equiload.envs.data.tables.files import plain
from equiload.envs.data.tables.parts import Facts, Part, Reader, facts_of, parts_of
from equiload.envs.data.tables.series import intervals_of
from equiload.envs.data.tables.slots import Intervals
from equiload.envs.errors import DataError


def read_mix(reader: Reader, options: Any, what: str) -> tuple[dict[str, list[Intervals]], Facts]:
    """Read a generation mix: by fuel, the columns whose sum it is."""
    parts = parts_of(reader, options, what)
    if not parts[0].entry.fuels:
        raise DataError(f"{what}: a generation mix needs 'fuels'")
    mix: dict[str, list[Intervals]] = {}
    empty: list[str] = []
    for fuel, codes in _codes(parts, what).items():
        for code in codes:
            output = [_output(part, code) for part in parts]
            if not any(len(part.cells) for part in output):
                continue
            column = _fuel(reader, parts, output, code, what)
            if column is None:
                empty.append(code)
            else:
                mix.setdefault(fuel, []).append(column)
    if not mix:
        raise DataError(
            f"{parts[0].frame.file}: none of the fuels {list(parts[0].entry.fuels)} has a column "
            f"or rows"
        )
    return mix, facts_of(parts, fuels_unmapped=_unmapped(parts), fuels_empty=tuple(empty))


def _codes(parts: Sequence[Part], what: str) -> dict[str, list[str]]:
    """The codes of each fuel, of all generations of an export that the files are of."""
    codes: dict[str, list[str]] = {}
    for entry in {id(part.entry): part.entry for part in parts}.values():
        for fuel, names in entry.fuels.items():
            if len(set(names)) < len(names):
                raise DataError(f"{what}: a code of {fuel} is named twice")
            codes[fuel] = list(dict.fromkeys([*codes.get(fuel, []), *names]))
    return codes


def _output(part: Part, code: str) -> Part:
    """The rows and cells of one fuel code."""
    entry, frame = part.entry, part.frame
    if entry.fuel_column is not None:
        rows = (frame.texts(entry.fuel_column) == code).to_numpy(dtype=bool)
        return replace(part, cells=frame.column(entry.column or "")).only(rows)
    if frame.has(code):
        return replace(part, cells=frame.column(code))
    return replace(part, cells=frame.cells.iloc[:, 0]).only(np.zeros(len(frame.cells), dtype=bool))


def _fuel(
    reader: Reader, parts: Sequence[Part], output: Sequence[Part], code: str, what: str
) -> Intervals | None:
    """Output of one fuel code, or none where nothing of the kind exists.

    That is so where no row has it, all cells of the window say "not expected", or all cells of the
    files are blank. Anything else that is missing is a gap: never 0.
    """
    knows = [any(code in codes for codes in part.entry.fuels.values()) for part in parts]
    if not any(known and len(rows.cells) for known, rows in zip(knows, output, strict=True)):
        return None
    # An older or newer generation of the export has no such code, its fuels go by other names.
    both = [
        rows if known else _nothing(part, code)
        for part, rows, known in zip(parts, output, knows, strict=True)
    ]
    chosen = [part for part in both if len(part.cells)]
    window = [part.cells[reader.judges(part.stamps.moments)] for part in chosen]
    if all(not_expected(cells) for cells in window if len(cells)):
        return None
    columns = [part.cells for part in chosen]
    if all((cells.isna() | (cells.astype(str).str.strip() == "")).all() for cells in columns):
        return None
    return intervals_of(reader, chosen, "mix", f"{what} ({code})")


def _nothing(part: Part, code: str) -> Part:
    """The times of a file, and zeros."""
    rows = np.zeros(len(part.frame.cells), dtype=bool)
    rows[np.unique(part.stamps.moments, return_index=True)[1]] = True
    zeros = pd.Series(0.0, index=part.frame.cells.index, name=code)
    return replace(part, cells=zeros).only(rows)


def _unmapped(parts: Sequence[Part]) -> tuple[str, ...]:
    """Fuels of the files that run in some row and that no entry of the mapping names."""
    running = (code for part in parts for code in _others(part) if _runs(part, code))
    return tuple(dict.fromkeys(running))


def _others(part: Part) -> list[str]:
    """Codes of a file, or columns that look like its fuels', which are not mapped."""
    mapped = {code for codes in part.entry.fuels.values() for code in codes}
    if part.entry.fuel_column is not None:
        codes = pd.unique(part.frame.texts(part.entry.fuel_column))
        return [code for code in codes if code and code not in mapped]
    columns = {plain(code) for code in mapped}
    present = [name for name in part.frame.header if name in columns]
    head = os.path.commonprefix(present)  # noqa: RUF071 - characters are what is compared
    tail = os.path.commonprefix([name[::-1] for name in present])[::-1]  # noqa: RUF071
    if len(present) < 2 or len(head) + len(tail) < 6:
        return []  # nothing tells columns of fuels from others
    return [
        name
        for name in part.frame.header
        if name not in columns and name.startswith(head) and name.endswith(tail)
    ]


def _runs(part: Part, code: str) -> bool:
    """Has any row of a fuel code a value above zero, or one that would have to be read to tell?"""
    cells = _output(part, code).cells
    values = cells[~missing(cells, part.entry)]
    return bool((pd.to_numeric(values, errors="coerce").fillna(1.0) > 0).any())
