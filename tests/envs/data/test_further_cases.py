"""Further files in the structure of real exports: the right value, or a sentence to act on.

Each case is a file made here; what is right was worked out by hand or with ``zoneinfo``, never with
the reader's own code.
"""

import gzip
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from equiload.envs import DataError
from equiload.envs.data.table import read_table
from equiload.envs.data.tables.assemble import RegionTable

DOLLARS = {"column": "v", "unit": "US$/MWh", "time": "t"}
UTC_DOLLARS = DOLLARS | {"time_zone": "UTC"}


def read(folder: Path, kind: str, options: dict, content: str | bytes, **top) -> RegionTable:
    """Region Here, whose ``kind`` is read with ``options`` from a file of this content."""
    name = options.get("file", "x.csv")
    if isinstance(name, str) and "*" not in name:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    others = {"price": 50, "carbon": 0.3, "demand": {"constant": 0.5, "unit": "share"}}
    if kind in ("mix", "carbon"):
        del others["carbon"]
    entry = {"file": name} | {k: v for k, v in options.items() if v is not None}
    world = {"equity_weight": {"carbon": 1000}, "regions": {"Here": others | {kind: entry}}} | top
    YAML().dump(world, folder / "world.yaml")
    return read_table(folder / "world.yaml")[1][0]


def values(region: RegionTable, kind: str = "price") -> list[tuple[str, float]]:
    """UTC starts and values of a column as read."""
    (column,) = region.columns[kind]
    pairs = zip(column.starts.tolist(), column.values.tolist(), strict=True)
    return [(f"{start:%Y-%m-%d %H:%M}", round(value, 6)) for start, value in pairs]


def utc(zone: str, text: str, fold: int = 0) -> str:
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return f"{local.astimezone(UTC):%Y-%m-%d %H:%M}"


def clock(zone: str, day: str, hours: int, step: int = 60) -> list[datetime]:
    """Local times, aware, from midnight of a day on, ``step`` minutes of real time apart."""
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    count = hours * 60 // step
    return [(start + timedelta(minutes=step * k)).astimezone(ZoneInfo(zone)) for k in range(count)]


def stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def hourly(*cells: object, start: str = "2024-05-01", head: str = "t,v", sep: str = ",") -> str:
    first = datetime.fromisoformat(start)
    lines = [head]
    lines += [f"{first + timedelta(hours=k):%Y-%m-%d %H:%M}{sep}{c}" for k, c in enumerate(cells)]
    return "\n".join(lines) + "\n"


def refusal(folder: Path, kind: str, options: dict, content: str | bytes, **top) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, kind, options, content, **top)
    text = str(caught.value)
    assert text.isprintable(), text
    assert len(text) < 700, text
    return text


def packed(content: str) -> bytes:
    return gzip.compress(content.encode())


def parquet(**columns) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer)
    return buffer.getvalue()


def workbook(**sheets: list[list[object]]) -> bytes:
    """A minimal .xlsx; dates are numbers in a date format, as Excel has them."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"

    def cell(value: object) -> str:
        if isinstance(value, datetime):
            days = (value - datetime(1899, 12, 30)) / timedelta(days=1)
            return f'<c s="1"><v>{days!r}</v></c>'
        if isinstance(value, str):
            return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
        return "<c/>" if value is None else f"<c><v>{value!r}</v></c>"

    names = "".join(
        f'<sheet name="{n}" sheetId="{k}" r:id="s{k}"/>' for k, n in enumerate(sheets, 1)
    )
    links = "".join(
        f'<Relationship Id="s{k}" Type="{office}/worksheet" Target="worksheets/{k}.xml"/>'
        for k in range(1, len(sheets) + 1)
    )
    files = {
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="r" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}">'
        f"<sheets>{names}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}">{links}<Relationship '
        f'Id="y" Type="{office}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><cellXfs count="2"><xf numFmtId="0"/>'
        '<xf numFmtId="22" applyNumberFormat="1"/></cellXfs></styleSheet>',
    }
    for k, rows in enumerate(sheets.values(), 1):
        body = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
        files[f"xl/worksheets/{k}.xml"] = (
            f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>'
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


DAY = [datetime(2024, 5, 1, hour) for hour in range(4)]
XLSX, JSON = UTC_DOLLARS | {"file": "x.xlsx"}, UTC_DOLLARS | {"file": "x.json"}
PARQUET = UTC_DOLLARS | {"file": "x.parquet"}
RECORDS = [{"t": f"2024-05-01T0{k}:00Z", "v": k} for k in range(3)]
HOURS = pd.DatetimeIndex(DAY)

#: Options, content, and the values from 2024-05-01T00:00 UTC on; None is a gap.
NUMBERS = {
    "nbsp": ({"thousands": " "}, hourly("1\u00a0026.5", "45"), [1026.5, 45]),
    "narrow nbsp": (
        {"thousands": " ", "decimal": ","},
        hourly("1\u202f026,5", "45,0", sep=";", head="t;v"),
        [1026.5, 45],
    ),
    "typographic apostrophe": ({"thousands": "'"}, hourly("1\u2019026.5", "45"), [1026.5, 45]),
    "unicode minus": ({}, hourly("−5.5", "+45"), [-5.5, 45]),
    "scientific": ({}, hourly("1.5e1", "4.5E+01"), [15, 45]),
    "points really are decimal": ({"decimal": "."}, hourly("998", "1.026"), [998, 1.026]),
    "-999 of a parquet file": (
        PARQUET | {"missing": "-999"},
        parquet(t=HOURS, v=[1.0, -999.0, 3.0, 4.0]),
        [1, None, 3, 4],
    ),
    "decimals of a parquet file": (
        PARQUET,
        parquet(t=HOURS.as_unit("us"), v=[Decimal(f"4{k}.50") for k in range(4)]),
        [40.5, 41.5, 42.5, 43.5],
    ),
    "categories": (PARQUET, parquet(t=HOURS, v=pd.Categorical(["1", "2", "3", "4"])), [1, 2, 3, 4]),
    "numbers among texts in a workbook": (
        XLSX | {"decimal": ",", "thousands": "."},
        workbook(a=[["t", "v"], *zip(DAY, [1.026, "1.026,5", "-", 45], strict=True)]),
        [1.026, 1026.5, None, 45],
    ),
}
FILES = {
    "mark and CRLF": ({}, "\ufeff" + hourly(1, 2).replace("\n", "\r\n"), [1, 2]),
    "CR alone": ({}, hourly(1, 2).replace("\n", "\r"), [1, 2]),
    "separators at the ends": ({}, hourly("1,", "2,"), [1, 2]),
    "name of two lines": (
        {"column": "Price EUR"},
        hourly(1, 2, head='t,"Price\nEUR"'),
        [1, 2],
    ),
    "blanks in names": ({"column": "Price EUR"}, hourly(1, 2, head="t ,Price\u00a0EUR"), [1, 2]),
    "lines before": ({"skip_rows": 2}, "Report\n\n" + hourly(1, 2), [1, 2]),
    "totals after": ({"skip_footer": 1}, hourly(1, 2) + "Summe,3\n", [1, 2]),
    "units below the header": ({"skip_after_header": 1}, hourly(1, 2, head="t,v\n,EUR"), [1, 2]),
    "gzip under another name": ({}, packed(hourly(1, 2)), [1, 2]),
    "no gzip under its name": ({"file": "x.csv.gz"}, hourly(1, 2), [1, 2]),
    "lines of JSON": ({"file": "x.json"}, "\n".join(map(json.dumps, RECORDS)), [0, 1, 2]),
    "offsets in lines of JSON": (
        {"file": "x.jsonl", "time": "timestamp", "time_zone": None},
        "\n".join(f'{{"timestamp": "2024-05-01T0{2 + k}:00:00+02:00", "v": {k}}}' for k in (0, 1)),
        [0, 1],
    ),
    "JSON by columns": (
        JSON | {"records": "hourly"},
        json.dumps({"hourly": {"t": [r["t"] for r in RECORDS], "v": [0, None, 2]}}),
        [0, None, 2],
    ),
    "JSON by columns, beside others": (
        JSON | {"time_format": "seconds since 1970-01-01", "time_zone": "Europe/Berlin"},
        json.dumps({"t": [1714521600, 1714525200], "v": [1, 2], "unit": "EUR/MWh"}),
        [1, 2],
    ),
    "JSON by pairs": (
        JSON
        | {"records": "series", "time": "0", "column": "1"}
        | {"time_format": "milliseconds since 1970-01-01"},
        json.dumps({"series": [[1714521600000, 1], [1714525200000, 2]]}),
        [1, 2],
    ),
    "workbook, one sheet a month": (
        XLSX | {"sheet": "M*"},
        workbook(
            notes=[["x"]],
            M1=[["t", "v"], [DAY[0], 1], [DAY[1], 2]],
            M2=[["t", "v"], [DAY[2], 3], [DAY[3], 4]],
        ),
        [1, 2, 3, 4],
    ),
    "workbook, dates as numbers": (
        XLSX | {"time_format": "days since 1899-12-30"},
        workbook(a=[["t", "v"], *([45413 + k / 24, k] for k in range(4))]),
        [0, 1, 2, 3],
    ),
    "workbook, dates and hours": (
        XLSX | {"time": ["d", "h"], "time_format": "%m/%d/%Y %H:%M", "stamp": "end"},
        workbook(a=[["d", "h", "v"], *([DAY[0], f"0{k}:00", k] for k in (1, 2, 3))]),
        [1, 2, 3],
    ),
    "workbook, header in the third row": (
        XLSX | {"skip_rows": 2},
        workbook(a=[["Prices", None], [None, None], ["t", "v"], [DAY[0], 1], [DAY[1], 2]]),
        [1, 2],
    ),
}
STAMPS = {
    "UTC as a text": ({"time_zone": "Europe/Berlin"}, "2024-05-01 0{}:00 UTC"),
    "summer time all year": ({"time_zone": "+02:00"}, "2024-05-01 0{}:00 CEST", 2),
    "MESZ": ({"time_zone": "Europe/Berlin"}, "2024-05-01 0{}:00 (MESZ)", 2),
    "wrong offset": ({"time_zone": "+02:00", "offsets": "ignore"}, "2024-05-01T0{}:00Z", 2),
    "seconds, local origin": (
        {"time_zone": "+02:00", "time_format": "hours since 2024-05-01T02:00"},
        "{}",
    ),
    "seconds, origin with an offset": (
        {"time_zone": "+09:00", "time_format": "hours since 2024-05-01T02:00+02:00"},
        "{}",
    ),
    "compact": ({"time_format": "%Y%m%d%H"}, "202405010{}"),
    "two digits of a year": ({"time_format": "%d.%m.%y %H:%M"}, "01.05.24 {}:00"),
    "interval of ISO 8601": ({"stamp": "range"}, "2024-05-01T0{0}:00Z/2024-05-01T0{0}:30Z"),
    "hours 00 - 01": (
        {"stamp": "range", "time_format": "%d-%m-%Y %H"},
        "01-05-2024 0{} - 0{next}",
    ),
    "00:00-01:00": (
        {"stamp": "range", "time_format": "%d.%m.%Y %H:%M"},
        "01.05.2024 0{}:00-0{next}:00",
    ),
}


@pytest.mark.parametrize("case", NUMBERS | FILES)
def test_numbers_and_files(case: str, tmp_path: Path) -> None:
    options, content, right = (NUMBERS | FILES)[case]
    gaps = {"gaps": {"method": "linear", "longest": 1}} if None in right else {}
    region = read(tmp_path, "price", UTC_DOLLARS | options, content, **gaps)
    expected = [(f"2024-05-01 0{k}:00", v) for k, v in enumerate(right) if v is not None]
    assert values(region) == expected
    assert region.filled.get("Here: price", 0) == right.count(None)


@pytest.mark.parametrize("case", STAMPS)
def test_stamps(case: str, tmp_path: Path) -> None:
    options, form, *shift = STAMPS[case]
    first = shift[0] if shift else 0
    rows = [f"{form.format(k, next=k + 1)},{k - first}" for k in range(first, first + 3)]
    options = UTC_DOLLARS | dict(options.items())
    if "range" in options.values() and "Z/" in form:
        options["lasts"] = "60 min"
    region = read(tmp_path, "price", options, "\n".join(["t,v", *rows]))
    assert values(region) == [(f"2024-05-01 0{k}:00", k) for k in range(3)]


#: Options, content, and what the sentence must hold.
REFUSED = {
    "thousands or decimals": (
        {},
        hourly("998", "1.026", "1.101"),
        "row 3, column 'v'",
        "thousands: .",
    ),
    "apostrophes": ({}, hourly("1'026.5", "45"), 'thousands: "\'"'),
    "unit in the cell": (
        {"decimal": ","},
        hourly("45,00 €", 1, sep=";", head="t;v"),
        "row 2",
        "'unit'",
    ),
    "percent": ({}, hourly("45%", 1), "row 2", "nothing but the number"),
    "parentheses": ({}, hourly("(45.0)", 1), "row 2", "'(45.0)'"),
    "decimal comma without quotes": ({}, hourly("45,5", "46,5"), "row 2: has 3 cells", "quotes"),
    "lines before": ({}, "# a\n# b\n" + hourly(1, 2), "say 'skip_rows: 2'"),
    "lines before, semicolons": ({}, "a\n" + hourly(1, head="t;v", sep=";"), "'skip_rows: 1'"),
    "totals": ({}, hourly(1, 2) + "Summe,3\n", "row 4", "'Summe'", "'skip_footer: 1'"),
    "units": ({}, hourly(1, 2, head="t,v\n,EUR"), "row 2", "'skip_after_header: 1'"),
    "UTF-16 without a mark": ({}, hourly(1).encode("utf-16-le"), "'encoding: utf-16-le'"),
    "workbook called CSV": ({}, workbook(a=[["t", "v"], [DAY[0], 1]]), "end its name in .xlsx"),
    "CSV called workbook": (XLSX, hourly(1), "end its name in .csv"),
    "workbook with a title": (
        XLSX,
        workbook(a=[["Prices", None], ["t", "v"], [DAY[0], 1]]),
        "row 2 has the wanted columns, say 'skip_rows: 1'",
    ),
    "no such sheet": (XLSX | {"sheet": "B"}, workbook(A=[["t", "v"]]), "no sheet 'B', found 'A'"),
    "sheets of other columns": (
        XLSX | {"sheet": "*"},
        workbook(A=[["t", "v"], [DAY[0], 1]], B=[["t", "w"], [DAY[1], 1]]),
        "sheet 'B' has other columns than sheet 'A'",
    ),
    "dates as numbers": (
        XLSX,
        workbook(a=[["t", "v"], [45413.0, 1], [45413.25, 2]]),
        "'days since 1899-12-30'",
    ),
    "records elsewhere": (JSON, json.dumps({"a": {"b": RECORDS}}), "'records: a.b'"),
    "no rows": ({"where": {"v": "9"}}, hourly(1, 2), "where {'v': '9'}", "holds '1', '2'"),
    "now": ({}, "t,v\nnow,1\ntoday,2\n", "row 2", "'now'"),
    "day or month first": ({}, "t,v\n01/02/2024,1\n", '"%d/%m/%Y" or "%m/%d/%Y"', "does not tell"),
    "day first": ({}, "t,v\n26/02/2024 0:00,1\n", "say 'time_format: \"%d/%m/%Y %H:%M\"'"),
    "American": ({}, "t,v\n2/26/2024 1:00:00 AM,1\n", '"%m/%d/%Y %I:%M:%S %p"'),
    "digits": ({}, "t,v\n2024050100,1\n2024050101,2\n", "say 'time_format: \"%Y%m%d%H\"'"),
    "hour 25": (
        {"time_format": "%Y-%m-%d %H", "stamp": "end"},
        "t,v\n2024-11-03 24,1\n2024-11-03 25,2\n",
        "'2024-11-03 25'",
        "'period' of 60 'period_minutes'",
    ),
    "mark of another clock": (
        {"time_zone": "Europe/London"},
        "t,v\n2024-05-01 00:00 CET,1\n",
        "Europe/London (GMT, BST)",
    ),
    "both marks on a fixed offset": (
        {"time_zone": "+01:00"},
        "t,v\n2024-10-27 02:00 CEST,1\n2024-10-27 02:00 CET,2\n",
        "row 2",
        "'time_zone' +01:00",
    ),
    "hours from 0 as periods": (
        {"time": "t", "period": "h", "period_minutes": 60},
        "t,h,v\n2024-05-01,0,1\n2024-05-01,1,2\n",
        "row 2",
        "'time: [date, h]'",
    ),
    "hour 24 of a day of 23": (
        {"time": "t", "period": "h", "period_minutes": 60, "time_zone": "America/Toronto"},
        "t,h,v\n" + "".join(f"2024-03-10,{h},{h}\n" for h in range(1, 25)),
        "row 25",
        "which has 23 hours",
        "fixed offset",
    ),
    "start in a zone": ({}, hourly(1, 2), "start must be a UTC time"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_sentence_that_helps(case: str, tmp_path: Path) -> None:
    options, content, *parts = REFUSED[case]
    top = {"start": "2024-05-01 00:00 CET"} if case == "start in a zone" else {}
    text = refusal(tmp_path, "price", UTC_DOLLARS | options, content, **top)
    for part in parts:
        assert part in text


def ercot_real_time(day: str, hours: int) -> str:
    rows = [
        f"{m:%m/%d/%Y},{m.hour + 1},{m.minute // 15 + 1},HB,{k},{'NY'[m.fold]}"
        for k, m in enumerate(clock("America/Chicago", day, hours, 15))
    ]
    point = "SettlementPointName,SettlementPointPrice"
    head = f"DeliveryDate,DeliveryHour,DeliveryInterval,{point},DSTFlag"
    return "\n".join([head, *rows])


def ercot_day_ahead(day: str, hours: int) -> str:
    rows = [
        f"{m:%m/%d/%Y},{m.hour + 1:02d}:00,HB,{k},{'NY'[m.fold]}"
        for k, m in enumerate(clock("America/Chicago", day, hours))
    ]
    head = "DeliveryDate,HourEnding,SettlementPoint,SettlementPointPrice,DSTFlag"
    return "\n".join([head, *rows])


def nyiso(day: str, hours: int, step: int) -> str:
    form = "%m/%d/%Y %H:%M" if step == 60 else "%m/%d/%Y %H:%M:%S"
    moments = clock("America/New_York", day, hours, step)
    rows = [f'"{m.strftime(form)}","N.Y.C.",{k}' for k, m in enumerate(moments)]
    return "\n".join(['"Time Stamp","Name","LBMP ($/MWHr)"', *rows])


def smard(day: str, hours: int, step: int, names: str) -> str:
    zone = ZoneInfo("Europe/Berlin")
    rows = []
    for k, m in enumerate(clock("Europe/Berlin", day, hours, step)):
        end = (m.astimezone(UTC) + timedelta(minutes=step)).astimezone(zone)
        if names == "2023":
            rows.append(f"{m:%d.%m.%Y};{m:%H:%M};{end:%H:%M};{k},00")
        elif names == "German":
            rows.append(f"{m:%d.%m.%Y %H:%M};{end:%d.%m.%Y %H:%M};{k},00")
        else:
            rows.append(f"{m:%b %-d, %Y %-I:%M %p};{end:%b %-d, %Y %-I:%M %p};{k}.00")
    price = "Deutschland/Luxemburg [€/MWh] Originalauflösungen"
    heads = {
        "2023": f"Datum;Anfang;Ende;{price}",
        "German": f"Datum von;Datum bis;{price}",
        "English": "Start date;End date;Germany/Luxembourg [€/MWh] Original resolutions",
    }
    return "\n".join([f"\ufeff{heads[names]}", *rows])


def entsoe(day: str, hours: int, step: int, zone: str = "Europe/Brussels", marks: str = "") -> str:
    rows = ['"MTU (CET/CEST)","Area","Sequence","Day-ahead Price (EUR/MWh)"']
    for k, m in enumerate(clock(zone, day, hours, step)):
        end = (m.astimezone(UTC) + timedelta(minutes=step)).astimezone(ZoneInfo(zone))
        mark = " (%Z)" if marks else ""
        both = " - ".join(x.strftime(f"%d/%m/%Y %H:%M:%S{mark}") for x in (m, end))
        rows += [f'"{both}","X","Sequence {q}","{k if q == 1 else 999}"' for q in (1, 2)]
    return "\n".join(rows)


def periods(day: str, hours: int) -> str:
    """Periods of London's days, by number."""
    rows = [f"{day},{p},{p - 1}" for p in range(1, 2 * hours + 1)]
    return "\n".join(["settlementDate,settlementPeriod,systemSellPrice", *rows])


def eastern(day: str) -> str:
    """Hours 1 to 24 on standard time all year, as Ontario numbers them."""
    return "\n".join(["Date,Hour,v", *(f"{day},{h},{h - 1}" for h in range(1, 25))])


IESO = {"time": ["Date", "Hour"], "time_format": "%Y-%m-%d %H", "stamp": "end"}
LOCAL = DOLLARS | {"time_zone": "Europe/Berlin"}


def berlin(*, descending: bool = False, dst: bool = False, second: bool = False) -> str:
    moments = list(enumerate(clock("Europe/Berlin", "2024-10-27", 25, 15)))
    rows = [f"{m:%Y-%m-%d %H:%M},{k},{int(bool(m.dst()))},{m.fold}" for k, m in moments]
    if descending:
        rows.reverse()
    if dst or second:  # then the order does not matter
        rows = rows[::3] + rows[1::3] + rows[2::3]
    return "\n".join(["t,v,dst,second", *rows])


#: Options, content, zone and day whose midnight is the first value, number of values, minutes.
DAYS = {
    "ERCOT, autumn": (
        {"layout": "ercot-price"},
        ercot_day_ahead,
        "America/Chicago",
        "2024-11-03",
        25,
        60,
    ),
    "ERCOT, spring": (
        {"layout": "ercot-price"},
        ercot_day_ahead,
        "America/Chicago",
        "2024-03-10",
        23,
        60,
    ),
    "ERCOT quarters, autumn": (
        {"layout": "ercot-price"},
        ercot_real_time,
        "America/Chicago",
        "2024-11-03",
        25,
        15,
    ),
    "ERCOT quarters, spring": (
        {"layout": "ercot-price"},
        ercot_real_time,
        "America/Chicago",
        "2024-03-10",
        23,
        15,
    ),
    "NYISO, autumn": (
        {"layout": "nyiso-price"},
        lambda d, h: nyiso(d, h, 60),
        "America/New_York",
        "2024-11-03",
        25,
        60,
    ),
    "NYISO five minutes": (
        {"layout": "nyiso-price"},
        lambda d, h: nyiso(d, h, 5),
        "America/New_York",
        "2024-11-03",
        25,
        5,
    ),
    **{
        f"SMARD {names} {day}": (
            {"layout": "smard-price", "rate": 1},
            lambda d, h, names=names: smard(d, h, 15, names),
            "Europe/Berlin",
            day,
            hours,
            15,
        )
        for names in ("2023", "German", "English")
        for day, hours in (("2025-10-26", 25), ("2025-03-30", 23))
    },
    **{
        f"ENTSO-E {marks} {day}": (
            {"layout": "entsoe-price", "rate": 1},
            lambda d, h, marks=marks: entsoe(d, h, 15, marks=marks),
            "Europe/Brussels",
            day,
            hours,
            15,
        )
        for marks in ("", "marks")
        for day, hours in (("2025-10-26", 25), ("2026-03-29", 23), ("2025-11-26", 24))
    },
    "ENTSO-E in UTC": (
        {"layout": "entsoe-price", "rate": 1},
        lambda d, h: entsoe(d, h, 15, "UTC").replace("(CET/CEST)", "(UTC)"),
        "UTC",
        "2025-10-26",
        24,
        15,
    ),
    "Elexon, 46": (
        {"layout": "elexon-price", "rate": 1},
        periods,
        "Europe/London",
        "2024-03-31",
        23,
        30,
    ),
    "Elexon, 50": (
        {"layout": "elexon-price", "rate": 1},
        periods,
        "Europe/London",
        "2024-10-27",
        25,
        30,
    ),
    "IESO": (
        UTC_DOLLARS | IESO | {"time_zone": "EST"},
        lambda d, h: eastern(d),
        "EST",
        "2024-03-10",
        24,
        60,
    ),
    "newest first": (
        LOCAL,
        lambda d, h: berlin(descending=True),
        "Europe/Berlin",
        "2024-10-27",
        25,
        15,
    ),
    "isdst": (
        LOCAL | {"daylight": {"column": "dst"}},
        lambda d, h: berlin(dst=True),
        "Europe/Berlin",
        "2024-10-27",
        25,
        15,
    ),
    "second pass": (
        LOCAL | {"repeated": {"column": "second"}},
        lambda d, h: berlin(second=True),
        "Europe/Berlin",
        "2024-10-27",
        25,
        15,
    ),
}


@pytest.mark.parametrize("case", DAYS)
def test_days_on_which_clocks_change(case: str, tmp_path: Path) -> None:
    options, write, zone, day, hours, step = DAYS[case]
    region = read(tmp_path, "price", options, write(day, hours))
    right = [(stamp(m), float(k)) for k, m in enumerate(clock(zone, day, hours, step))]
    assert values(region) == right
    assert not any(region.filled.values())


def test_what_the_clock_repeats_cannot_be_told_where_rows_are_in_no_order(tmp_path: Path) -> None:
    head, *rows = nyiso("2024-11-03", 25, 60).splitlines()
    shuffled = "\n".join([head, *rows[::3], *rows[1::3], *rows[2::3]])
    text = refusal(tmp_path, "price", {"layout": "nyiso-price"}, shuffled)
    assert "times in order" in text
    assert "'daylight', 'repeated'" in text


@pytest.mark.parametrize(("day", "most"), [("2024-03-31", 48), ("2024-04-30", 50)])
def test_a_day_has_no_more_periods_than_its_clock(day: str, most: int, tmp_path: Path) -> None:
    text = refusal(
        tmp_path, "price", {"layout": "elexon-price", "rate": 1}, periods(day, most // 2)
    )
    assert "a period of that day, which has" in text
    assert f"'{day} {most - 1}'" in text


def test_several_places_in_one_file_of_weather(tmp_path: Path) -> None:
    head = (
        "location_id,latitude,longitude,elevation,utc_offset_seconds,timezone\n"
        "0,50.1,8.7,110.0,7200,Europe/Berlin\n1,40.7,-74.0,10.0,-14400,America/New_York\n\n"
        "location_id,time,temperature_2m (°C)\n"
    )
    rows = "".join(f"{p},2024-05-01T0{h}:00,{10 * p + h}\n" for p in (0, 1) for h in range(3))
    options = {"layout": "open-meteo-temperature"}
    assert "say 'skip_rows: 4'" in refusal(tmp_path, "temperature", options, head + rows)
    options["skip_rows"] = 4
    assert "say whose they are, 'where: {location_id: 0}'" in refusal(
        tmp_path, "temperature", options, head + rows
    )
    for place, first in ((0, "2024-04-30 22:00"), (1, "2024-05-01 04:00")):
        entry = options | {"where": {"location_id": str(place)}}
        region = read(tmp_path, "temperature", entry, head + rows)
        assert values(region, "temperature")[0] == (first, 10.0 * place)


def joined(folder: Path, kind: str, options: dict, *files: str, **top) -> RegionTable:
    for k, content in enumerate(files):
        (folder / f"p-{k}.csv").write_text(content)
    return read(folder, kind, {"file": "p-*.csv"} | options, "", **top)


def test_years_that_overlap(tmp_path: Path) -> None:
    later = hourly("3.0", 4, start="2024-05-01 02:00")
    for first in (hourly(1, 2, 3), hourly(1, 2, "-"), hourly(1, 2)):
        region = joined(tmp_path, "price", UTC_DOLLARS, first, later)
        assert [v for _, v in values(region)] == [1, 2, 3, 4]
        assert not region.filled["Here: price"]
    with pytest.raises(
        DataError, match=r"p-1.csv, row 2: for .* is '3.0', but '5' in row 4 of .*p-0"
    ):
        joined(tmp_path, "price", UTC_DOLLARS, hourly(1, 2, 5), later)


def test_rates_of_several_years(tmp_path: Path) -> None:
    (tmp_path / "r-2023.csv").write_text("day,usd\n2023-12-31,2\n")
    (tmp_path / "r-2024.csv").write_text("day,usd\n2024-01-01T01:00,3\n")
    rate = {"file": "r-*.csv", "time": "day", "time_zone": "UTC", "column": "usd"}
    options = UTC_DOLLARS | {"unit": "EUR/MWh", "rate": rate}
    region = read(tmp_path, "price", options, hourly(10, 10, 10, start="2024-01-01"))
    assert [v for _, v in values(region)] == [20, 30, 30]


def test_generations_of_an_export_with_other_fuels_are_joined(tmp_path: Path) -> None:
    wide = (
        '"Area","MTU","Fossil Gas  - Actual Aggregated [MW]",'
        '"Hydro Pumped Storage  - Actual Aggregated [MW]",'
        '"Hydro Pumped Storage  - Actual Consumption [MW]"\n'
        '"X","01.07.2024 02:00 - 01.07.2024 03:00","10","5","50"\n'
        '"X","01.07.2024 03:00 - 01.07.2024 04:00","11","5","n/e"\n'
    )
    long = '"MTU (CET/CEST)","Area","Production Type","Generation (MW)"\n' + "".join(
        f'"01/07/2024 0{h}:00:00 - 01/07/2024 0{h + 1}:00:00","X","{name}","{amount + h}"\n'
        for h in (4, 5)
        for name, amount in (("Fossil Gas", 8), ("Hydro Pumped Storage", 1))
    )
    region = joined(tmp_path, "mix", {"layout": "entsoe-generation"}, wide, long)
    np.testing.assert_allclose(region.values["mix: gas"], [10, 11, 12, 13])
    np.testing.assert_allclose(region.values["mix: hydro"], [5, 5, 5, 6])
    assert not any(region.filled.values())


def test_half_years_of_the_grid_monitor_with_other_fuels_are_joined(tmp_path: Path) -> None:
    def half(day: str, hours: range, names: str, cells: str) -> str:
        columns = ",".join(f"Net Generation (MW) from {name}" for name in names.split(","))
        head = f"Balancing Authority,UTC Time at End of Hour,Demand (MW),{columns}\n"
        return head + "".join(f"AAA,{day} {h}:00:00 PM,,{cells}\n" for h in hours)

    old = half(
        "06/30/2024", range(8, 10), "Natural Gas,Hydropower and Pumped Storage", '"1,000",300'
    )
    new = half(
        "06/30/2024",
        range(10, 12),
        "Natural Gas,Hydropower Excluding Pumped Storage,Pumped Storage,Geothermal",
        '"1,100",200,-20,50',
    )
    region = joined(tmp_path, "mix", {"layout": "eia930-generation"}, old, new)
    np.testing.assert_allclose(region.values["mix: gas"], [1000, 1000, 1100, 1100])
    np.testing.assert_allclose(region.values["mix: hydro"], [300, 300, 180, 180])
    np.testing.assert_allclose(region.values["mix: biomass"], [0, 0, 50, 50])
    # A column that is gone from one file of the same export is a gap.
    less = half("06/30/2024", range(10, 12), "Natural Gas,Wind", "1,2")
    with pytest.raises(DataError, match=r"Hydropower and Pumped Storage\) has no value in 2 slots"):
        joined(tmp_path, "mix", {"layout": "eia930-generation"}, old, less)


def test_amounts_of_a_mix_are_weighed_by_their_own_steps(tmp_path: Path) -> None:
    rows = [f"2024-05-01 0{h}:00,G,100" for h in range(3)]
    rows += [f"2024-05-01 0{h}:{m:02d},W,25" for h in range(3) for m in (0, 15, 30, 45)]
    options = {"time": "t", "time_zone": "UTC", "column": "v", "fuel_column": "f", "unit": "MWh"}
    options["fuels"] = {"gas": "G", "wind": "W"}
    region = read(tmp_path, "mix", options, "\n".join(["t,f,v", *rows]))
    np.testing.assert_allclose(region.values["mix: wind"], region.values["mix: gas"])


QUARTERS = [
    f"2025-05-0{1 + h // 24} {h % 24:02d}:{m:02d},{h}" for h in range(30) for m in range(0, 60, 15)
]


def test_values_only_where_they_change(tmp_path: Path) -> None:
    """Hours alone are read; what is longer needs ``lasts``; amounts are never stretched."""

    def without(*gone: tuple[int, int]) -> str:
        rows = [q for k, q in enumerate(QUARTERS) if not any(k in range(*g) for g in gone)]
        return "\n".join(["t,v", *rows])

    hours = without((21, 24), (37, 40))  # three quarters of the hours 5 and 9
    region = read(tmp_path, "price", UTC_DOLLARS, hours)
    np.testing.assert_allclose(region.values["price"], np.arange(30.0))
    amounts = {"time": "t", "time_zone": "UTC", "column": "v", "unit": "kWh"}
    assert "no value in 2 slots" in refusal(tmp_path, "demand", amounts, hours)
    for content, minutes in (
        (without((21, 24)), 60),  # once only: no habit of the file
        (without((21, 22), (37, 38)), 30),
        (without((21, 28), (37, 44)), 120),
        (without((22, 25)), 60),  # from a quarter past
    ):
        need = f"say so: 'lasts: {minutes} min'"
        options = UTC_DOLLARS | ({} if minutes != 120 else {"lasts": "60 min"})
        assert need in refusal(tmp_path, "price", options, content)
        region = read(tmp_path, "price", UTC_DOLLARS | {"lasts": f"{minutes} min"}, content)
        assert not region.filled["Here: price"]


def test_a_step_changes_with_the_market(tmp_path: Path) -> None:
    moment, rows = datetime(2021, 9, 30, 20), ["REGION,SETTLEMENTDATE,TOTALDEMAND,RRP,PERIODTYPE"]
    while moment < datetime(2021, 10, 1, 4):
        moment += timedelta(minutes=30 if moment < datetime(2021, 10, 1) else 5)
        rows.append(f"NSW1,{moment:%Y/%m/%d %H:%M:%S},7000,{moment.hour},TRADE")
    region = read(tmp_path, "price", {"layout": "aemo-price", "rate": 1}, "\n".join(rows))
    # Eight hours from 20:00 in Brisbane; each ends with a stamp of the next one.
    night = [h + (0.5 if k < 4 else 1 / 12) for k, h in enumerate([20, 21, 22, 23, 0, 1, 2, 3])]
    night[3] = (23 + 0) / 2
    np.testing.assert_allclose(region.values["price"], night)


@pytest.mark.parametrize(
    ("unit", "right"),
    [
        ("c€/kWh", 220),
        ("€ct/kWh", 220),
        ("Cent/kWh", 220),
        ("Eurocent/kWh", 220),
        ("pence/kWh", 220),
        ("EUR per MWh", 22),
        ("A$/MWh", 22),
        ("k€/MWh", None),
        ("GBp/kWh", None),
        ("GBX/kWh", None),
        ("AUc/kWh", None),
        ("/MWh", None),
        ("EUR/MWh/h", None),
    ],
)
def test_hundredths_are_never_taken_for_the_whole(unit: str, right: float | None, tmp_path) -> None:
    options = UTC_DOLLARS | {"unit": unit, "rate": 1.1}
    if right is None:
        assert f"the unit {unit!r} of a price must be a currency" in refusal(
            tmp_path, "price", options, hourly(20, 20)
        )
    else:
        assert values(read(tmp_path, "price", options, hourly(20, 20)))[0][1] == right


def test_nothing_outside_the_window_is_on_a_grid(tmp_path: Path) -> None:
    content = hourly(1, 2, 3, 4) + "2024-05-01 05:20,3\n2024-05-01 06:00,3\n"
    top = {"start": "2024-05-01", "end": "2024-05-01T04:00"}
    assert len(values(read(tmp_path, "price", UTC_DOLLARS, content, **top))) == 4


def test_merge_keys_and_names_of_yaml(tmp_path: Path) -> None:
    series = "    price: 45\n    carbon: 0.3\n    demand: {constant: 0.5, unit: share}\n"
    head = "start: 2024-05-01\nend: 2024-05-02\nregions:\n"
    text = head + f"  A: &a\n{series}    capacity: 2\n  B: &b\n    <<: *a\n    capacity: .5\n"
    (tmp_path / "w.yaml").write_text(text + "  C:\n    <<: [*a, *b]\n", encoding="utf-8-sig")
    assert read_table(tmp_path / "w.yaml")[0].fleet.capacity.tolist() == [2, 0.5, 2]
    names = ["yes", "no", "on", "off", "null", "2024-01-01", "12:30", "0o17", "1_000", ".5", "~"]
    (tmp_path / "w.yaml").write_text(head + "".join(f"  {name}:\n{series}" for name in names))
    assert read_table(tmp_path / "w.yaml")[0].fleet.datacenters == tuple(names)
    for text, part in (
        (head + "  A:\n    <<: hello\n" + series, "'<<' must be a mapping"),
        (head + "  A:\n" + series.replace("45", "45,5"), "price of A: 'constant' must be a number"),
        (head + "  A:\n" + series.replace("45", ""), "price of A is empty"),
        (head + "  A:\n" + series * 2, "the key 'price' stands a second time"),
        (head + "\tA:\n" + series, "found character '\\t'"),
    ):
        (tmp_path / "w.yaml").write_text(text)
        with pytest.raises(DataError) as caught:
            read_table(tmp_path / "w.yaml")
        assert part in str(caught.value)


def test_a_flag_that_no_row_has_is_named(tmp_path: Path) -> None:
    moments = clock("Europe/Berlin", "2024-10-27", 25)
    rows = [f"{m:%Y-%m-%d %H:%M},{k},{'S' if m.dst() else 'W'}" for k, m in enumerate(moments)]
    content = "\n".join(["t,v,clock", *rows])
    text = refusal(tmp_path, "price", LOCAL | {"daylight": {"column": "clock"}}, content)
    assert "it has 'S', 'W'" in text
    flag = {"column": "clock", "value": "S"}
    region = read(tmp_path, "price", LOCAL | {"daylight": flag}, content)
    assert values(region) == [(stamp(m), float(k)) for k, m in enumerate(moments)]


@pytest.mark.parametrize(("day", "hours"), [("2024-10-27", 25), ("2024-03-31", 23)])
@pytest.mark.parametrize("blocks", [False, True])
def test_long_mixes_with_ends_on_a_local_clock(day, hours, blocks, tmp_path: Path) -> None:
    moments = clock("Europe/Berlin", day, hours + 1)
    rows = [
        f"{end:%Y-%m-%d %H:%M},{code},{k + 1}" for k, end in enumerate(moments[1:]) for code in "GW"
    ]
    if blocks:
        rows = rows[::2] + rows[1::2]
    options = LOCAL | {"unit": "MW", "stamp": "end", "fuel_column": "f"}
    options["fuels"] = {"gas": "G", "wind": "W"}
    region = read(tmp_path, "mix", options, "\n".join(["t,f,v", *rows]))
    right = [(stamp(m), k + 1.0) for k, m in enumerate(moments[:-1])]
    assert values(region, "mix: gas") == values(region, "mix: wind") == right


@pytest.mark.parametrize(
    ("form", "value", "part"),
    [
        ("seconds since 1970-01-01", 1714521600000, "are they milliseconds?"),
        ("milliseconds since 1970-01-01", 1714521600, "are they seconds?"),
        ("%m/%d/%Y %H:%M", "2024-05-01 08:00:00", "say 'time_format: null'"),
        ("%m/%d/%Y", "26.05.2024 08:00", "say 'time_format: \"%d.%m.%Y %H:%M\"'"),
    ],
)
def test_a_format_that_does_not_fit(form: str, value: object, part: str, tmp_path: Path) -> None:
    options = UTC_DOLLARS | {"time_format": form}
    assert part in refusal(tmp_path, "price", options, f"t,v\n{value},1\n")


def test_many_lines_that_end_in_cr_alone_are_not_many_columns(tmp_path: Path) -> None:
    content = hourly(*[1] * 11_000).replace("\n", "\r")
    assert len(values(read(tmp_path, "price", UTC_DOLLARS, content))) == 11_000
