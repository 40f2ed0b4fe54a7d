"""Files as frames of cells: CSV (any separator, encoding, packing), Excel, JSON, Parquet.

The parsing is pandas'. Rows keep the number under which an editor shows them.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import json
import lzma
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import pandas as pd

from equiload.envs.data.tables.entries import SeriesEntry, shown
from equiload.envs.errors import DataError

#: Bytes of a file once it is unpacked; so that a small file cannot fill the memory.
LARGEST = 2 << 30
_MOST_COLUMNS = 10_000
_EXCEL = (".xlsx", ".xls", ".xlsb", ".xlsm", ".ods")
_SEPARATORS = (",", ";", "\t", "|")
_PACKED: Mapping[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_MARKS = (  # longest first: the mark of UTF-32 begins as that of UTF-16 does
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)


@dataclass(frozen=True, eq=False)
class Frame:
    """A file's cells.

    Parameters
    ----------
    file
        Where they stand.
    cells
        Texts where the file holds texts; its index is the row, as an editor counts.
    header
        Column names as in the file, in order; a name may occur twice.
    preamble
        Cells of the lines before the header, by the name above them.
    """

    file: Path
    cells: pd.DataFrame
    header: tuple[str, ...]
    preamble: Mapping[str, str] = field(default_factory=dict)

    def column(self, name: str) -> pd.Series[Any]:
        """A column by name.

        Raises
        ------
        DataError
            If there is none, or more than one.
        """
        count = self.header.count(name)
        if count > 1:
            raise DataError(f"{self.file}: there are {count} columns {name!r}, expected one")
        if not count and name == "Unnamed: 0" and self.header[:1] == ("",):
            name = ""  # as pandas calls the index that it wrote without a name
        elif not count:
            listing = ", ".join(repr(column) for column in self.header[:30])
            more = f" and {len(self.header) - 30} more" if len(self.header) > 30 else ""
            raise DataError(f"{self.file}: there is no column {name!r}, found {listing}{more}")
        return self.cells.iloc[:, self.header.index(name)].rename(name)

    def where(self, rows: Any) -> Frame:
        """Some of the rows."""
        return Frame(self.file, self.cells[rows], self.header, self.preamble)


class Files:
    """Reads files, each once: regions often share them."""

    def __init__(self) -> None:
        self._frames: dict[tuple[Any, ...], list[Frame]] = {}

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that has been read."""
        return tuple(sorted({frame.file for frames in self._frames.values() for frame in frames}))

    def frames(self, folder: Path, entry: SeriesEntry, wanted: Sequence[str]) -> list[Frame]:
        """The files that an entry names, in the order of their names.

        ``wanted`` are columns that must be there, by which a separator is told that is not given.
        """
        return [self._frame(path, entry, wanted) for path in expanded(folder, entry.file or ())]

    def _frame(self, path: Path, entry: SeriesEntry, wanted: Sequence[str]) -> Frame:
        key: tuple[Any, ...] = (
            path,
            entry.separator,
            entry.encoding,
            entry.skip_rows,
            entry.skip_after_header,
            entry.sheet,
            entry.records,
            entry.offset_in_preamble,
        )
        # Without a declared separator, the columns that are wanted tell it.
        for frame in self._frames.get(key, []):
            if entry.separator is not None or set(wanted) <= set(frame.header):
                return frame
        frame = _read(path, entry, wanted)
        self._frames.setdefault(key, []).append(frame)
        return frame


def expanded(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """The files that names and patterns mean, in order; none twice, and at least one a pattern."""
    paths: list[Path] = []
    for pattern in patterns:
        if "\0" in pattern:
            raise DataError(f"{pattern!r} is no name of a file")
        whole = folder / pattern
        if not whole.exists() and glob.has_magic(pattern):
            matches = sorted(Path(name) for name in glob.glob(str(whole)))  # noqa: PTH207 - absolute
            if not matches:
                raise DataError(f"{whole}: no file matches this pattern")
            paths += matches
        else:
            paths.append(whole)
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise DataError(f"{twice[0]}: the file is named twice in one series")
    return paths


def _read(path: Path, entry: SeriesEntry, wanted: Sequence[str]) -> Frame:
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise DataError(f"{path}: is no file")
    ending = path.suffix.lower()
    for option, endings in (("sheet", _EXCEL), ("records", (".json",))):
        if getattr(entry, option) is not None and ending not in endings:
            raise DataError(f"{path}: {option!r} is for files that end in {', '.join(endings)}")
    try:
        if ending in (".parquet", ".pq"):
            return _whole(path, _parquet(path), 1)
        if ending in _EXCEL:
            return _excel(path, entry)
        if ending in (".json", ".jsonl", ".ndjson"):
            return _json(path, entry)
        return _csv(path, entry, wanted)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, lzma.LZMAError) as error:
        raise DataError(f"{path}: cannot be read ({_reason(error)})") from None
    except Exception as error:  # noqa: BLE001 - the Excel reader has an error class of its own
        raise DataError(f"{path}: cannot be read ({_reason(error)})") from None


def _reason(error: BaseException) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return "".join(c if c.isprintable() else "?" for c in lines[0])[:200]


def _parquet(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    return frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()


def _excel(path: Path, entry: SeriesEntry) -> Frame:
    with pd.ExcelFile(path, engine="calamine") as book:
        sheets = [str(name) for name in book.sheet_names]
        if entry.sheet is not None and entry.sheet not in sheets:
            raise DataError(f"{path}: there is no sheet {entry.sheet!r}, found {', '.join(sheets)}")
        sheet = sheets[0] if entry.sheet is None else entry.sheet
        grid = pd.read_excel(book, sheet, header=None, dtype=object)
    header = entry.skip_rows
    if len(grid) <= header:
        raise DataError(
            f"{path}: sheet {sheet!r} has no row {header + 1}, where the header would be"
        )
    grid.columns = pd.Index(["" if pd.isna(name) else str(name) for name in grid.iloc[header]])
    return _whole(path, grid.iloc[header + 1 + entry.skip_after_header :], header + 2)


def _json(path: Path, entry: SeriesEntry) -> Frame:
    text = _text(path, entry.encoding)
    if path.suffix.lower() != ".json":
        return _whole(path, pd.read_json(io.StringIO(text), lines=True, dtype=False), 1)
    try:
        rows = json.loads(text)
    except RecursionError:
        raise DataError(f"{path}: is nested too deeply") from None
    for step in entry.records.split(".") if entry.records else ():
        if not isinstance(rows, dict) or step not in rows:
            raise DataError(f"{path}: there is no {step!r} on the way to the records")
        rows = rows[step]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not rows:
        lists = (
            [k for k, v in rows.items() if isinstance(v, list)] if isinstance(rows, dict) else []
        )
        hint = f"; say where they are, 'records: {lists[0]}'" if lists else ""
        raise DataError(f"{path}: expected a list of records, got {shown(rows)}{hint}")
    return _whole(path, pd.json_normalize(rows), 1)


def _whole(path: Path, frame: pd.DataFrame, first_row: int) -> Frame:
    frame = frame.infer_objects()
    frame.index = pd.RangeIndex(first_row, first_row + len(frame))
    header = tuple(str(name) for name in frame.columns)
    return Frame(path, frame, header)


def _csv(path: Path, entry: SeriesEntry, wanted: Sequence[str]) -> Frame:
    text = _text(path, entry.encoding)
    skip = entry.skip_rows
    separator = entry.separator or _separator(path, text, skip, wanted)
    cells = _cells(path, text, separator, skip)
    if cells.shape[1] == 1 and separator in str(cells.iloc[0, 0]):
        # Every line quoted as a whole, as spreadsheets leave a CSV that they opened and saved.
        text = "\n".join(cells.iloc[:, 0].astype(str))
        cells = _cells(path, text, separator, 0)
    header = tuple(str(name).strip("\ufeff") for name in cells.iloc[0])
    body = cells.iloc[1 + entry.skip_after_header :]
    blank = (body == "").all(axis=1)
    preamble = _preamble(text, separator) if skip and entry.offset_in_preamble else {}
    body.index = pd.RangeIndex(first := skip + 2 + entry.skip_after_header, first + len(body))
    return Frame(path, body[~blank.to_numpy()], header, preamble)


def _cells(path: Path, text: str, separator: str, skip: int) -> pd.DataFrame:
    """All cells below the skipped lines, the header's too, as texts."""
    try:
        cells = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            skiprows=skip,
            dtype=str,
            keep_default_na=False,
            na_filter=False,
            skip_blank_lines=False,
            engine="c" if len(separator) == 1 else "python",
        )
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: there is no header in line {skip + 1}") from None
    return cells


def _separator(path: Path, text: str, skip: int, wanted: Sequence[str]) -> str:
    """The first separator under which the header has the wanted columns, or the most of them."""
    line = io.StringIO(text)
    for _ in range(skip):
        line.readline()
    header = line.readline()
    if max(header.count(sep) for sep in _SEPARATORS) > _MOST_COLUMNS:
        raise DataError(f"{path}: has more than {_MOST_COLUMNS} columns, which are not read")
    names = {
        sep: pd.read_csv(
            io.StringIO(header or "\n"), sep=sep, header=None, dtype=str, skip_blank_lines=False
        ).iloc[0]
        for sep in _SEPARATORS
        if header.strip()
    }
    hits = {sep: len(set(wanted) & set(row.astype(str))) for sep, row in names.items()}
    return max(hits, key=lambda sep: hits[sep], default=",")


def _preamble(text: str, separator: str) -> dict[str, str]:
    """The first two lines as names and values."""
    try:
        head = pd.read_csv(
            io.StringIO(text), sep=separator, nrows=1, dtype=str, keep_default_na=False
        )
    except (ValueError, pd.errors.ParserError):
        return {}
    return {str(name): str(head.iloc[0][name]) for name in head.columns} if len(head) else {}


def _text(path: Path, encoding: str | None) -> str:
    """The decoded file, unpacked by ending."""
    ending = path.suffix.lower()
    opened = _only_member if ending == ".zip" else _PACKED.get(ending, Path.open)
    with opened(path, "rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise DataError(f"{path}: holds more than {LARGEST >> 30} GiB, which is not read")
    known = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding or known)
    except LookupError:
        raise DataError(f"{path}: there is no encoding {encoding!r}") from None
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, row {row}: is not {encoding or known}; name the file's encoding, "
            f"'encoding: latin-1' or 'encoding: cp1252' say"
        ) from None


def _only_member(path: Path, mode: str) -> BinaryIO:
    del mode  # an archive's members are bytes anyway
    archive = zipfile.ZipFile(path)
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        raise DataError(f"{path}: expected one file in the archive, found {len(names)}")
    return cast("BinaryIO", archive.open(names[0]))
