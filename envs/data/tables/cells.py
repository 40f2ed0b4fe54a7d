"""Numbers in the cells of a file, and which cells say that there is none."""

from __future__ import annotations

import re
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from equiload.envs.checking import shown
from equiload.envs.data.tables.entries import SeriesEntry
from equiload.envs.data.tables.messages import cell_error
from equiload.envs.typing import BoolArray, FloatArray

#: Texts that mean "no value"; ``n/e`` is the transparency platform's "not expected".
_MISSING = {"", "-", "--", "–", "n/e", "n/a", "na", "nan", "null", "none", "#n/a", "<na>", "."}
_NOT_EXPECTED = "n/e"
#: Minus signs, blanks and apostrophes that look like those of a keyboard.
_ALIKE = str.maketrans("\u2212\u00a0\u202f\u2009\u2019", "-   '")


def missing(cells: pd.Series[Any], entry: SeriesEntry) -> BoolArray:
    """``[rows]``: does the cell say that there is no value?"""
    gone: BoolArray = cells.isna().to_numpy(dtype=bool)
    if _texts(cells):
        plain = cells.astype(str).str.strip()
        gone = gone | plain.str.lower().isin(_MISSING).to_numpy(dtype=bool)
        gone |= plain.isin(list(entry.missing)).to_numpy(dtype=bool)
    if cells.dtype == object or not _texts(cells):  # -999 is -999.0 where cells are numbers
        codes = pd.to_numeric(pd.Series(entry.missing), errors="coerce").dropna()
        gone = gone | pd.to_numeric(cells, errors="coerce").isin(codes).to_numpy(dtype=bool)
    return gone


def not_expected(cells: pd.Series[Any]) -> bool:
    """Do all cells say that nothing of the kind exists here?"""
    return _texts(cells) and bool(
        (cells.astype(str).str.strip().str.lower() == _NOT_EXPECTED).all()
    )


def numbers(cells: pd.Series[Any], entry: SeriesEntry, file: object, expected: str) -> FloatArray:
    """``[rows]``: the cells as numbers.

    Parameters
    ----------
    cells
        None of them missing.
    file
        Where they stand, for messages.
    expected
        What the numbers are.

    Raises
    ------
    DataError
        For the first cell that is none, with what its look suggests.
    """
    if not _texts(cells):
        values: FloatArray = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
        if cells.dtype == bool:
            values = np.full(len(cells), np.nan)
        _refuse(cells, ~np.isfinite(values), entry, file, expected)
        return values
    real = _numbers_among(cells)
    if real.any():  # a workbook's own numbers know no decimal comma
        values = np.empty(len(cells))
        values[real] = numbers(pd.to_numeric(cells[real]), entry, file, expected)
        values[~real] = numbers(cells[~real], entry, file, expected)
        return values
    text = cells.astype(str).str.strip()
    if not text.str.isascii().all():
        text = text.str.translate(_ALIKE)
    thousands = None if entry.thousands is None else entry.thousands.translate(_ALIKE)
    good = _fit(text, _pattern(entry.decimal, thousands))
    if thousands is None and "decimal" not in entry.model_fields_set:
        _refuse_groups(text, file)
    if thousands is not None:
        text = text.str.replace(thousands, "", regex=False)
    if entry.decimal != ".":
        text = text.str.replace(entry.decimal, ".", regex=False)
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64)
    _refuse(cells, ~(good & np.isfinite(values)), entry, file, expected)
    return values


def _fit(text: pd.Series[Any], pattern: str) -> BoolArray:
    """``[rows]``: does the whole text fit? Nearly always all do, which one match tells."""
    if re.fullmatch(rf"(?:{pattern}\n)*", "\n".join([*text.tolist(), ""])):
        return np.ones(len(text), dtype=bool)
    return np.asarray(text.str.fullmatch(pattern).to_numpy(dtype=bool))


def _numbers_among(cells: pd.Series[Any]) -> BoolArray:
    """``[rows]``: is the cell a number rather than a text, in a workbook or in JSON?"""
    if cells.dtype != object:
        return np.zeros(len(cells), dtype=bool)
    return np.array([isinstance(c, Number) and not isinstance(c, bool) for c in cells], dtype=bool)


def _refuse_groups(text: pd.Series[Any], file: object) -> None:
    """Refuse ``1.026`` among ``998``: every point stands before three digits, and only there."""
    marked = text.str.contains(".", regex=False).to_numpy(dtype=bool)
    if not marked.any() or marked.all():
        return
    groups = text[marked].str.fullmatch(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+")
    rest = text[~marked].str.fullmatch(r"[+-]?\d{1,3}")
    if groups.all() and rest.all() and (pd.to_numeric(text[~marked]) != 0).any():
        at = int(np.argmax(marked))
        raise cell_error(
            file,
            text,
            at,
            f"the value is {text.iloc[at]!r}, others are like {text[~marked].iloc[0]!r}: does the "
            f"point part thousands? Then say 'thousands: .' and 'decimal: \",\"', if not, "
            f"'decimal: .'",
        )


def _pattern(decimal: str, thousands: str | None) -> str:
    """Digits, grouped by threes where groups are declared: ``1,23`` is no number with them."""
    whole = r"[0-9]+"
    if thousands is not None:
        whole = rf"(?:[0-9]+|[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+)"
    point = re.escape(decimal)
    return rf"[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"


def _texts(cells: pd.Series[Any]) -> bool:
    return not (pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_bool_dtype(cells))


def _refuse(
    cells: pd.Series[Any], bad: BoolArray, entry: SeriesEntry, file: object, expected: str
) -> None:
    if not bad.any():
        return
    row = int(np.argmax(bad))
    value = cells.iloc[row]
    plain = value.item() if isinstance(value, np.generic) else value
    advice = _advice(str(value).strip().translate(_ALIKE), entry)
    sentence = f"the value is {shown(plain)}, expected a number ({expected}){advice}"
    raise cell_error(file, cells, row, sentence)


def _advice(text: str, entry: SeriesEntry) -> str:
    """Which option would make a number of it."""
    ways = ((",", None), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"))
    declared = (entry.decimal, entry.thousands)
    for way in sorted(ways, key=lambda way: way[0] != entry.decimal):
        if way == declared or not re.fullmatch(_pattern(*way), text):
            continue
        if way == (",", None) and re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", text):
            continue  # more likely groups of thousands
        options = zip(("decimal", "thousands"), way, declared, strict=True)
        changes = [f"{name}: {mark!r}" for name, mark, now in options if mark not in (now, None)]
        return f"; is it written with '{', '.join(changes)}'?" if changes else ""
    if re.fullmatch(r"\D{0,4}\d[\d.,' ]*\D{0,12}", text):
        return "; a cell may hold nothing but the number, its unit belongs into 'unit'"
    return ""
