"""What may stand in the YAML of one's own data: typed records, read as YAML 1.2.

All scalars are read as texts and turned into what their entry wants, so that a region called ``NO``
or a code ``09`` stays what it is and ``1.0e6`` is a number where a number is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import Node, ScalarNode, SequenceNode

from equiload.envs.checking import sentence_of, shown
from equiload.envs.errors import DataError
from equiload.envs.typing import Count, Positive

_Record = TypeVar("_Record", bound="YamlEntry")
#: How a value that is not there is written in YAML.
_NULLS = ("", "~", "null")
#: Bytes, and values with aliases written out: a description is written by hand.
_LARGEST_FILE, _MOST_VALUES = 1 << 18, 250_000


def number(value: Any) -> float:
    """A scalar of the YAML as a number; not a number where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _degrees(value: Any) -> tuple[float, ...]:
    place = tuple(map(number, value)) if isinstance(value, list | tuple) else ()
    if len(place) != 2 or not (abs(place[0]) <= 90 and abs(place[1]) <= 180):
        raise ValueError(f"must be [latitude, longitude] in degrees, got {shown(value)}")
    return place


#: One text, or several.
Texts = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1, max_length=10_000)]
#: Minutes, one number or several.
Lengths = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1440)], ...],
    BeforeValidator(_listed),
    Field(min_length=1),
]


class YamlEntry(BaseModel):
    """A record of the YAML: unknown keys are refused, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, str_max_length=4096)


class Flag(YamlEntry):
    """Rows that a column marks: those whose value is one of ``value``."""

    column: str
    value: Texts = ("1", "Y", "y", "true", "True", "TRUE")


class SeriesEntry(YamlEntry):
    """Where a series stands and what its cells mean; docs/worlds.md tells each option.

    Parameters
    ----------
    file
        CSV, Excel, JSON or Parquet by ending, relative to the YAML's folder; patterns (``*``) and
        lists are joined.
    constant
        The value of every slot instead of a file.
    layout
        Fills in what a vendor's export always has.
    column, unit
        Column of the values (of the amounts, in long files) and their unit as in the file.
    rate
        US$ per unit of the price's currency: a number, or a series of its own.
    where
        Rows to take, ``{column: value or values}``.
    time, time_format, time_zone
        Column or columns of the stamps (joined by a blank); strptime format or ``seconds since
        2024-01-01``, by default ISO 8601; IANA zone or fixed offset of stamps that carry none.
    offsets
        ``ignore``: the offsets that the stamps carry are wrong.
    stamp
        ``start``, ``end``, or ``range`` (``start - end`` in one cell).
    lasts
        Longest time for which a value holds if no next one comes, ``60 min`` say.
    period, period_minutes
        Column that counts the periods of the day that ``time`` names, from 1, and their length; or
        two of each, hours and their quarters.
    daylight, repeated
        Marks rows in daylight saving time; in the second pass of an hour that a clock repeats.
    fuels, fuel_column
        Of a generation mix: ``{fuel: column or columns}``; with ``fuel_column``, its codes.
    energy
        Of a request log, a row per request: ``{column: "0.4 J"}`` for each unit of the column,
        ``request`` for each row.
    missing
        Further texts that mean "no value".
    separator, decimal, thousands, encoding, sheet, records
        How the file is written: as ``pandas.read_csv`` means them; sheet or sheets of an Excel file
        (``*``: all); path to the list of records in a JSON file.
    skip_rows, skip_after_header, skip_footer
        Lines before the header, after it, and at the end.
    """

    file: Texts | None = None
    constant: float | None = None
    layout: str | None = None
    column: str | None = None
    unit: str | None = None
    rate: Positive | dict[str, Any] | None = None
    where: dict[str, Texts] = {}
    time: Texts | None = None
    time_format: str | None = None
    time_zone: str | None = None
    offsets: Literal["keep", "ignore"] = "keep"
    stamp: Literal["start", "end", "range"] = "start"
    lasts: str | None = None
    period: Texts | None = None
    period_minutes: Lengths = (30.0,)
    daylight: Flag | None = None
    repeated: Flag | None = None
    fuels: dict[str, Texts] = {}
    fuel_column: str | None = None
    energy: dict[str, str] = {}
    missing: Texts = ("",)
    separator: str | None = Field(default=None, min_length=1)
    decimal: str = Field(default=".", min_length=1, max_length=1)
    thousands: str | None = Field(default=None, min_length=1, max_length=1)
    encoding: str | None = None
    skip_rows: int = Field(default=0, ge=0, le=100_000)
    skip_after_header: int = Field(default=0, ge=0, le=1000)
    skip_footer: int = Field(default=0, ge=0, le=1000)
    sheet: Texts | None = None
    records: str | None = None
    #: JSON or CSV column, in the lines before the header, that holds the stamps' offset in seconds.
    offset_in_preamble: str | None = None


class GapsEntry(YamlEntry):
    """What to do about slots without a value."""

    method: Literal["linear", "previous"]
    longest: Count


class KindEntry(YamlEntry):
    """A footprint kind that the project does not know."""

    unit: str = Field(min_length=1)


class RegionEntry(YamlEntry):
    """What a region has beside its series."""

    location: Annotated[tuple[float, float], BeforeValidator(_degrees)] | None = None
    elevation: float = Field(default=0.0, ge=-500.0, le=9000.0)
    capacity: str = "1"
    pue: float = Field(default=1.0, ge=1.0, le=100.0)
    solar_peak: str | None = None
    storage: Any = None
    servers: Any = None


class WorldEntry(YamlEntry):
    """The whole file."""

    regions: dict[str, dict[str, Any]] = Field(min_length=1, max_length=1000)
    name: str | None = None
    start: str | None = None
    end: str | None = None
    slot_minutes: int = Field(default=60, ge=1, le=1440)
    gaps: Any = "refuse"
    reachability: Any = "full"
    equity_weight: dict[str, float] | None = None
    footprints: dict[str, KindEntry] = {}
    models: Any = None
    training: Any = None


def load_yaml(path: Path) -> Any:
    """The YAML 1.2 document at ``path``: mappings, lists and texts.

    Raises
    ------
    DataError
        A file that cannot be read, is too large, is no YAML, or has a key twice.
    """
    try:
        if path.is_file() and path.stat().st_size > _LARGEST_FILE:
            raise DataError("a description of more than 256 KiB is not read")
        if path.exists() and not path.is_file():
            raise DataError("is no file")
        node = YAML(typ="base", pure=True).compose(path.read_text(encoding="utf-8"))
        return None if node is None else _built(node, iter(range(_MOST_VALUES)))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None
    except YAMLError as error:
        reason = " ".join(str(error).replace(' in "<unicode string>"', "").split())
        raise DataError(f"{path}: is not YAML: {reason[:300]}") from None
    except RecursionError:
        raise DataError(f"{path}: is nested too deeply") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _built(node: Node, room: Iterator[int]) -> Any:
    """What a node stands for, with merge keys (``<<: *other``), which YAML 1.2 leaves to readers.

    Each alias is written out, which takes as much ``room``: a nest of them grows exponentially.
    """
    if next(room, None) is None:
        raise DataError(f"holds more than {_MOST_VALUES} values, aliases written out")
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, SequenceNode):
        return [_built(item, room) for item in node.value]
    own: dict[str, Any] = {}
    for key, item in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode):
            raise DataError(f"in line {line} a key is no text")
        if key.value in own:
            raise DataError(f"in line {line} the key {shown(key.value)} stands a second time")
        own[key.value] = _built(item, room)
    merged: dict[str, Any] = {}
    for base in reversed(_listed(own.pop("<<", []))):  # the first of several has the last word
        if not isinstance(base, dict):
            raise DataError(f"'<<' must be a mapping (*name), or a list of them, got {shown(base)}")
        merged |= base
    return merged | own


def record(kind: type[_Record], options: Any, what: str, *, noun: str = "option") -> _Record:
    """A record of a mapping; ``what`` names it in messages.

    Raises
    ------
    DataError
        One sentence on the first thing that does not fit.
    """
    if not isinstance(options, Mapping):
        raise DataError(f"{what} must be a mapping of {', '.join(kind.model_fields)}")
    stated = {
        key: value
        for key, value in options.items()
        if (value is not None and (value not in _NULLS if isinstance(value, str) else True))
        or (key in ("time", "column") and value == "")  # pandas' nameless index
    }
    try:
        return kind.model_validate(stated)
    except ValidationError as error:
        sentence = sentence_of(error, stated, noun=noun, known=kind.model_fields)
        raise DataError(f"{what}: {sentence}") from None
