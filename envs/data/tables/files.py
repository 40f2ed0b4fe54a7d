"""Files as frames of cells: CSV (any separator, encoding, packing), Excel, JSON, Parquet.

The parsing is pandas'. Rows keep the number under which an editor shows them.
"""

from __future__ import annotations

import bz2
import fnmatch
import functools
import glob
import gzip
import io
import json
import lzma
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from equiload.envs.checking import shown
from equiload.envs.data.tables.entries import SeriesEntry
from equiload.envs.data.tables.messages import listing
from equiload.envs.errors import DataError
from equiload.envs.reading import note_read
from equiload.envs.validation import stated

#: Options that say how a file is written: entries that agree on them share its cells.
_WRITTEN = (
    *("separator", "encoding", "skip_rows", "skip_after_header", "skip_footer"),
    *("sheet", "records", "offset_in_preamble"),
)
#: Variable that states how many MiB a file may hold once it is unpacked, and what holds without
#: it; so that a small file cannot fill the memory. A cell counts as two bytes, if it takes fewer.
LARGEST, _USUAL_MIB = "EQUILOAD_LARGEST_MIB", 256
_MOST_COLUMNS = 10_000  # more are another file's separators, and would take minutes
_EXCEL = (".xlsx", ".xls", ".xlsb", ".xlsm", ".ods")
_SEPARATORS = (",", ";", "\t", "|")
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
        Column names in order, as :func:`plain` has them; a name may occur twice.
    preamble
        Columns of the table in the lines before the header, by name.
    hint
        Which option would find the columns that are not there, for messages.
    """

    file: Path
    cells: pd.DataFrame
    header: tuple[str, ...]
    preamble: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hint: str = ""

    def has(self, name: str) -> bool:
        """Is there a column of this name?"""
        return plain(name) in self.header

    def column(self, name: str) -> pd.Series[Any]:
        """A column by name.

        Raises
        ------
        DataError
            If there is none, or more than one.
        """
        header_name = plain(name)
        count = self.header.count(header_name)
        if count > 1:
            raise DataError(f"{self.file}: there are {count} columns {name!r}, expected one")
        if not count and name == "Unnamed: 0" and self.header[:1] == ("",):
            header_name = name = ""  # as pandas calls the index that it wrote without a name
        elif not count:
            raise DataError(
                f"{self.file}: there is no column {shown(name)}, found {listing(self.header)}"
                f"{self.hint}"
            )
        return self.cells.iloc[:, self.header.index(header_name)].rename(name)

    def texts(self, name: str) -> pd.Series[Any]:
        """A column's cells as texts without blanks around them."""
        return self.column(name).astype(str).str.strip()

    def where(self, rows: Any) -> Frame:
        """Some of the rows."""
        return Frame(self.file, self.cells[rows], self.header, self.preamble, self.hint)


def plain(name: object) -> str:
    """A column's name with single blanks and plain forms of letters: CO2 for CO₂."""
    return " ".join(unicodedata.normalize("NFKC", str(name)).strip("\ufeff").split())


class Files:
    """Reads files, each once: regions often share them."""

    def __init__(self) -> None:
        self._frames: dict[tuple[Any, ...], list[Frame]] = {}

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that has been read."""
        return tuple(sorted({frame.file for frames in self._frames.values() for frame in frames}))

    def frame(self, path: Path, entry: SeriesEntry, columns: Sequence[str]) -> Frame:
        """A file as an entry says that it is written.

        ``columns`` must be there; by them a separator is told that is not given.
        """
        key = (path, *(getattr(entry, option) for option in _WRITTEN))
        # Without a declared separator, the columns that are wanted tell it.
        for frame in self._frames.get(key, []):
            if entry.separator is not None or all(frame.has(name) for name in columns):
                return frame
        frame = _read(path, entry, columns)
        self._frames.setdefault(key, []).append(frame)
        return frame


def expanded(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """The files that names and patterns mean, in order; none twice, and at least one a pattern."""
    paths: list[Path] = []
    for pattern in patterns:
        if "\0" in pattern:
            raise DataError(f"{pattern!r} is no name of a file")
        whole = folder / pattern
        try:
            exists = whole.exists()
        except OSError:  # too long, say
            raise DataError(f"{shown(pattern)} is no name of a file") from None
        if not exists and glob.has_magic(pattern):
            matches = sorted(Path(name) for name in glob.glob(str(whole)))  # noqa: PTH207 - absolute
            if not matches:
                raise DataError(f"{whole}: no file matches this pattern")
            note_read(whole)
            paths += matches
        else:
            paths.append(whole)
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise DataError(f"{twice[0]}: the file is named twice in one series")
    return paths


def _read(path: Path, entry: SeriesEntry, columns: Sequence[str]) -> Frame:
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise DataError(f"{path}: is no file")
    ending = path.suffix.lower()
    for option, endings in (("sheet", _EXCEL), ("records", (".json",))):
        if getattr(entry, option) is not None and ending not in endings:
            raise DataError(f"{path}: {option!r} is for files that end in {', '.join(endings)}")
    try:
        if ending in (".parquet", ".pq"):
            about = pq.read_metadata(path)
            groups = (about.row_group(k) for k in range(about.num_row_groups))
            _refuse_large(path, sum(group.total_byte_size for group in groups))
            refuse_many(path, about.num_rows, about.num_columns)
            cells = pd.read_parquet(path)
            named = not isinstance(cells.index, pd.RangeIndex)
            frame = _whole(path, cells.reset_index() if named else cells, 1)
        elif ending in _EXCEL:
            frame = _excel(path, entry, columns)
        elif ending in (".json", ".jsonl", ".ndjson"):
            frame = _json(path, entry)
        else:
            frame = _csv(path, entry, columns)
        return frame.where(slice(0, len(frame.cells) - entry.skip_footer))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - each reader has error classes of its own
        raise DataError(f"{path}: cannot be read ({_reason(error)})") from None


def _room() -> int:
    return (stated(LARGEST) or _USUAL_MIB) << 20


def _refuse_large(path: Path, size: int, what: str = "") -> None:
    """Refuse what would fill the memory, before it is asked for; bytes once unpacked."""
    if size > _room():
        raise DataError(
            f"{path}: holds {what or 'more'} than {_room() >> 20} MiB when it is unpacked, which "
            f"is not read; if that is meant, raise {LARGEST}"
        )


def refuse_many(path: Path, rows: int, columns: int) -> None:
    """Refuse too many columns, or cells."""
    if columns > _MOST_COLUMNS:
        raise DataError(f"{path}: has more than {_MOST_COLUMNS} columns, which are not read")
    _refuse_large(path, 2 * rows * columns, f"{rows} rows of {columns} cells, more")


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _refuse_large_book(path: Path) -> None:
    """Refuse a workbook whose reader would ask for all cells up to the furthest at once."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as book:
        _refuse_large(path, sum(member.file_size for member in book.infolist()))
        for name in book.namelist() if path.suffix.lower() in (".xlsx", ".xlsm") else ():
            if name.startswith("xl/worksheets/"):
                places = set(re.findall(rb'\br="([A-Z]{1,3})([0-9]{1,7})"', book.read(name)))
                widest = max((column for column, _ in places), key=_letters, default=b"")
                refuse_many(path, max((int(row) for _, row in places), default=0), _letters(widest))


def _letters(column: bytes) -> int:
    """The number of a column of a workbook: 1 for A, 27 for AA."""
    return functools.reduce(lambda number, letter: 26 * number + letter - 64, column, 0)


def _excel(path: Path, entry: SeriesEntry, columns: Sequence[str]) -> Frame:
    _refuse_large_book(path)
    try:
        book = pd.ExcelFile(path, engine="calamine")
    except FileNotFoundError:
        raise
    except Exception as error:  # noqa: BLE001 - the Excel reader has an error class of its own
        raise DataError(
            f"{path}: cannot be read as Excel ({_reason(error)}); is it a CSV or a web page under "
            f"a wrong name? Then end its name in .csv, or save it anew"
        ) from None
    with book:
        sheets = [str(name) for name in book.sheet_names]
        chosen = _sheets(path, sheets, entry.sheet)
        frames = [
            _sheet(path, name, pd.read_excel(book, name, header=None, dtype=object), entry, columns)
            for name in chosen
        ]
    first = frames[0]
    if len(frames) == 1:
        return first
    for name, frame in zip(chosen, frames, strict=True):
        if frame.header != first.header:
            raise DataError(f"{path}: sheet {name!r} has other columns than sheet {chosen[0]!r}")
        frame.cells.index = pd.Index([f"{row} of sheet {name!r}" for row in frame.cells.index])
        frame.cells.columns = first.cells.columns
    return Frame(path, pd.concat([frame.cells for frame in frames]).infer_objects(), first.header)


def _sheets(path: Path, sheets: list[str], patterns: Sequence[str] | None) -> list[str]:
    """The first sheet, or those that the names and patterns (``*``) mean."""
    chosen: list[str] = []
    for pattern in patterns or sheets[:1]:
        matches = [pattern] if pattern in sheets else fnmatch.filter(sheets, pattern)
        if not matches:
            raise DataError(f"{path}: there is no sheet {pattern!r}, found {listing(sheets)}")
        chosen += [name for name in matches if name not in chosen]
    return chosen


def _sheet(
    path: Path, sheet: str, grid: pd.DataFrame, entry: SeriesEntry, columns: Sequence[str]
) -> Frame:
    header = entry.skip_rows
    if len(grid) <= header:
        raise DataError(
            f"{path}: sheet {sheet!r} has no row {header + 1}, where the header would be"
        )
    rows = [
        ["" if pd.isna(c) else plain(c) for c in grid.iloc[k]] for k in range(min(60, len(grid)))
    ]
    hint = _skip_hint(rows, columns, header)
    grid.columns = pd.Index(["" if pd.isna(name) else str(name) for name in grid.iloc[header]])
    first = header + 1 + entry.skip_after_header
    return _whole(path, grid.iloc[first:], first + 1, hint)


def _skip_hint(rows: Sequence[Sequence[str]], columns: Sequence[str], skipped: int) -> str:
    """Which of the first rows has the wanted columns, if the header row has not."""
    names = {plain(name) for name in columns}
    for at, row in enumerate(rows):
        if at != skipped and names and names <= set(row):
            return f"; row {at + 1} has the wanted columns, say 'skip_rows: {at}'"
    return ""


def _json(path: Path, entry: SeriesEntry) -> Frame:
    text = _text(path, entry.encoding)
    _refuse_large(path, 8 * len(text))  # what it becomes takes that much more
    try:
        rows = _documents(path, text)
    except RecursionError:
        raise DataError(f"{path}: is nested too deeply") from None
    for step in entry.records.split(".") if entry.records else ():
        if not isinstance(rows, dict) or step not in rows:
            raise DataError(f"{path}: there is no {step!r} on the way to the records")
        rows = rows[step]
    frame = _table(rows, path)
    if frame is None:
        way = _way_to_records(rows, path)
        hint = f"; say where they are, 'records: {way}'" if way else ""
        raise DataError(f"{path}: expected a list of records, got {shown(rows)}{hint}")
    return _whole(path, frame, 1)


def _documents(path: Path, text: str) -> Any:
    """The one document of a JSON file, or the list of them where each line is one."""
    if path.suffix.lower() == ".json":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            if not error.msg.startswith("Extra data"):
                raise
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _table(rows: Any, path: Path) -> pd.DataFrame | None:
    """Records, lists of cells (columns ``0``, ``1``, …) or a list for each column."""
    if isinstance(rows, list) and rows:
        if all(isinstance(row, dict) for row in rows):
            refuse_many(path, len(rows), len({way for row in rows for way in _ways(row)}))
            return pd.json_normalize(rows)
        if all(isinstance(row, list) for row in rows):
            refuse_many(path, len(rows), max(len(row) for row in rows))
            return pd.DataFrame(rows)
    if isinstance(rows, dict):
        columns = {k: v for k, v in rows.items() if isinstance(v, list)}
        flat = not any(isinstance(cell, dict | list) for v in columns.values() for cell in v)
        if len(columns) > 1 and len({len(v) for v in columns.values()}) == 1 and flat:
            return pd.DataFrame(columns)
    return None


def _ways(record: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Names of the columns that a record fills."""
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _ways(value, f"{before}{key}.")
        else:
            yield before + key


def _way_to_records(rows: Any, path: Path, depth: int = 4) -> str | None:
    """The keys, joined by points, that lead to something that is a table."""
    if not isinstance(rows, dict) or not depth:
        return None
    for key, value in rows.items():
        if _table(value, path) is not None:
            return str(key)
        further = _way_to_records(value, path, depth - 1)
        if further is not None:
            return f"{key}.{further}"
    return None


def _whole(path: Path, frame: pd.DataFrame, first_row: int, hint: str = "") -> Frame:
    frame = frame.infer_objects()
    frame.index = pd.RangeIndex(first_row, first_row + len(frame))
    return Frame(path, frame, tuple(plain(name) for name in frame.columns), hint=hint)


def _csv(path: Path, entry: SeriesEntry, columns: Sequence[str]) -> Frame:
    sheet = _Delimited(path, _text(path, entry.encoding), entry.skip_rows, columns)
    separator = entry.separator or sheet.separator()
    cells = sheet.cells(separator)
    if cells.shape[1] == 1 and separator in str(cells.iloc[0, 0]):
        # Every line quoted as a whole, as spreadsheets leave a CSV that they opened and saved.
        sheet = _Delimited(path, "\n".join(cells.iloc[:, 0].astype(str)), 0, columns)
        cells = sheet.cells(separator)
    header = tuple(plain(name) for name in cells.iloc[0])
    lacking = not all(plain(name) in header for name in columns)
    body = cells.iloc[1 + entry.skip_after_header :]
    blank = (body == "").all(axis=1)
    preamble = sheet.preamble(separator) if sheet.skip and entry.offset_in_preamble else {}
    first = entry.skip_rows + 2 + entry.skip_after_header
    body.index = pd.RangeIndex(first, first + len(body))
    hint = sheet.hint() if lacking else ""
    return Frame(path, body[~blank.to_numpy()], header, preamble, hint)


@dataclass(frozen=True)
class _Delimited:
    """The text of a CSV file.

    ``skip`` lines stand before its header, and ``columns`` must be there.
    """

    path: Path
    text: str
    skip: int
    columns: Sequence[str]

    def cells(self, separator: str) -> pd.DataFrame:
        """All cells below the skipped lines, the header's too, as texts."""
        self.header(separator)
        options: dict[str, Any] = {
            "sep": separator,
            "header": None,
            "skiprows": self.skip,
            "dtype": str,
            "keep_default_na": False,
            "na_filter": False,
            "skip_blank_lines": False,
            "engine": "c" if len(separator) == 1 else "python",
        }
        try:
            return pd.read_csv(io.StringIO(self.text), **options)
        except pd.errors.EmptyDataError:
            raise DataError(
                f"{self.path}: there is no header in line {self.skip + 1}{self.hint()}"
            ) from None
        except pd.errors.ParserError:
            if len(separator) > 1:
                raise
        widest = max(line.count(separator) for line in self._lines()) + 1
        refuse_many(self.path, self.rows, widest)
        names = range(widest)
        cells = pd.read_csv(io.StringIO(self.text), names=names, index_col=False, **options)
        return self._narrowed(cells.fillna(""))

    def _narrowed(self, cells: pd.DataFrame) -> pd.DataFrame:
        """Rows that are longer than their header, if what is beyond it is empty."""
        filled = (cells != "").to_numpy()
        width = int(np.flatnonzero(filled[0]).max(initial=0)) + 1
        beyond = filled[:, width:].any(axis=1)
        if beyond.any():
            row = int(np.argmax(beyond))
            count = int(np.flatnonzero(filled[row]).max()) + 1
            hint = self.hint() or "; is a decimal comma or a text with commas not in quotes?"
            raise DataError(
                f"{self.path}, row {self.skip + 1 + row}: has {count} cells, but the header in row "
                f"{self.skip + 1} has {width}{hint}"
            )
        return cells.iloc[:, :width]

    def separator(self) -> str:
        """The first separator under which the header has the columns, or the most of them."""
        names = {plain(name) for name in self.columns}
        header = _names_of(self.header())
        hits = {sep: len(names & set(row)) for sep, row in header.items()}
        return max(hits, key=lambda sep: hits[sep], default=",")

    def header(self, separator: str = "") -> str:
        """The header's line, or lines where a name has more than one.

        Too many columns are refused; with a separator, too many cells.
        """
        lines = self._lines()
        for _ in range(self.skip):
            lines.readline()
        header = lines.readline()
        for _ in range(20):
            if header.count('"') % 2:
                header += lines.readline()
        widest = 1 + max(header.count(sep) for sep in separator or _SEPARATORS)
        refuse_many(self.path, self.rows if separator else 1, widest)
        return header

    def hint(self) -> str:
        """Which of the first lines has the columns, under any separator."""
        lines = self._lines()
        table = [_names_of(lines.readline()[:20_000]) for _ in range(60)]
        rows = ([names.get(sep, []) for names in table] for sep in _SEPARATORS)
        return max((_skip_hint(row, self.columns, self.skip) for row in rows), key=len)

    def preamble(self, separator: str) -> dict[str, tuple[str, ...]]:
        """The table in the lines before the header: a row for each place in the file."""
        lines = self._lines().read().split("\n", self.skip)[: self.skip]
        text = "\n".join(line for line in lines if line.strip())
        try:
            head = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
        except (ValueError, pd.errors.ParserError):
            return {}
        return {plain(name): tuple(head[name].astype(str)) for name in head.columns}

    def _lines(self) -> io.StringIO:
        return io.StringIO(self.text, newline=None)

    @property
    def rows(self) -> int:
        """Lines of the file."""
        return max(self.text.count(end) for end in "\r\n")


def _names_of(line: str) -> dict[str, list[str]]:
    """The names that a line holds, by separator."""
    rows = {}
    for sep in _SEPARATORS if line.strip() else ():
        try:
            row = pd.read_csv(
                io.StringIO(line), sep=sep, header=None, dtype=str, skip_blank_lines=False
            )
        except pd.errors.ParserError:
            continue
        rows[sep] = [plain(name) for name in row.iloc[0]]
    return rows


def _text(path: Path, encoding: str | None) -> str:
    """The decoded file, unpacked."""
    with _opened(path) as file:
        content: bytes = file.read(_room() + 1)
    _refuse_large(path, len(content))
    known = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    if encoding is None and known == "utf-8" and b"\0" in content[:200]:
        raise DataError(
            f"{path}: has zeros between its letters; name the file's encoding, 'encoding: "
            f"utf-16-{'be' if content[:1] == bytes(1) else 'le'}' say"
        )
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


def _opened(path: Path) -> Any:
    """The file for reading bytes, unpacked by how it begins: endings are sometimes wrong."""
    with path.open("rb") as file:
        mark = file.read(8)
    if mark.startswith(b"\x1f\x8b"):
        return gzip.open(path)
    if mark.startswith(b"\xfd7zXZ"):
        return lzma.open(path)
    if re.match(rb"BZh[1-9]1AY", mark):
        return bz2.open(path)
    return _only_member(path) if mark.startswith(b"PK\x03\x04") else path.open("rb")


def _only_member(path: Path) -> BinaryIO:
    archive = zipfile.ZipFile(path)
    names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX")]
    if any(name.startswith(("xl/", "content.xml")) for name in names):
        raise DataError(f"{path}: is a workbook; end its name in .xlsx or .ods")
    if len(names) != 1:
        raise DataError(f"{path}: expected one file in the archive, found {len(names)}")
    return cast("BinaryIO", archive.open(names[0]))
