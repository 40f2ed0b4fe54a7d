"""Every layout, in each generation of its export, on a few rows of the vendor's structure."""

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from equiload.envs import DataError
from equiload.envs.data.table import read_table
from equiload.envs.data.tables.layouts import LAYOUTS
from equiload.envs.data.tables.region import RegionTable

START = np.datetime64("2024-07-01T00:00", "s")  # UTC; summer everywhere north


def read(tmp_path: Path, kind: str, options: dict, text: str | bytes, **top) -> RegionTable:
    """A region whose ``kind`` is read with ``options`` from a file of this text."""
    file = tmp_path / options.get("file", "export.csv")
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    others = {"price": 50, "carbon": 0.3, "demand": {"constant": 0.5, "unit": "share"}}
    if kind == "mix":
        del others["carbon"]
    entry = {"file": file.name} | options
    world = {"equity_weight": {"carbon": 1000}, "regions": {"Here": others | {kind: entry}}} | top
    path = tmp_path / "world.yaml"
    YAML().dump(world, path)
    return read_table(path)[1][0]


ENTSOE_MIX = ["Biomass", "Fossil Gas", "Nuclear", "Solar", "Wind Onshore"]
# layout, kind, further options, the file, first UTC start, the first two values in the own unit
SAMPLES = {
    "electricity-maps, life cycle": (
        "electricity-maps",
        "carbon",
        {},
        "Datetime (UTC),Country,Carbon intensity gCO₂eq/kWh (Life cycle)\n"
        "2024-07-01 00:00:00,X,300\n2024-07-01 01:00:00,X,310\n",
        "2024-07-01T00:00",
        [0.300, 0.310],
    ),
    "electricity-maps, LCA": (
        "electricity-maps",
        "carbon",
        {},
        "Datetime (UTC),Country,Carbon Intensity gCO₂eq/kWh (LCA)\n"
        "2024-07-01 00:00:00,X,300\n2024-07-01 01:00:00,X,310\n",
        "2024-07-01T00:00",
        [0.300, 0.310],
    ),
    "entsoe-price, 2024": (
        "entsoe-price",
        "price",
        {"rate": 2},
        '"MTU (CET/CEST)","Day-ahead Price [EUR/MWh]","Currency","BZN|XX"\n'
        '"01.07.2024 02:00 - 01.07.2024 03:00","30.5","EUR",""\n'
        '"01.07.2024 03:00 - 01.07.2024 04:00","31.5","EUR",""\n',
        "2024-07-01T00:00",
        [61.0, 63.0],
    ),
    "entsoe-price, today's in UTC": (
        "entsoe-price",
        "price",
        {"rate": 2},
        '"MTU (UTC)","Area","Sequence","Day-ahead Price (EUR/MWh)"\n'
        '"01/07/2024 00:00:00 - 01/07/2024 01:00:00","X","Without Sequence","30.5"\n'
        '"01/07/2024 01:00:00 - 01/07/2024 02:00:00","X","Without Sequence","31.5"\n',
        "2024-07-01T00:00",
        [61.0, 63.0],
    ),
    "smard-price, English": (
        "smard-price",
        "price",
        {"rate": 1},
        "Start date;End date;Germany/Luxembourg [€/MWh] Original resolutions\n"
        "Jul 1, 2024 2:00 AM;Jul 1, 2024 3:00 AM;1,026.50\n"
        "Jul 1, 2024 3:00 AM;Jul 1, 2024 4:00 AM;-\n"
        "Jul 1, 2024 4:00 AM;Jul 1, 2024 5:00 AM;31.50\n",
        "2024-07-01T00:00",
        [1026.5, 529.0],
    ),
    "ercot-price": (
        "ercot-price",
        "price",
        {"where": {"SettlementPoint": "HB_NORTH"}},
        "DeliveryDate,HourEnding,SettlementPoint,SettlementPointPrice,DSTFlag\n"
        "06/30/2024,24:00,HB_NORTH,20.5,N\n06/30/2024,24:00,LZ,99,N\n"
        "07/01/2024,01:00,HB_NORTH,21.5,N\n07/01/2024,01:00,LZ,99,N\n",
        "2024-07-01T04:00",
        [20.5, 21.5],
    ),
    "ercot-price, yearly workbooks": (
        "ercot-price",
        "price",
        {"where": {"Settlement Point": "HB_NORTH"}},
        "Delivery Date,Hour Ending,Repeated Hour Flag,Settlement Point,Settlement Point Price\n"
        "11/03/2024,01:00,N,HB_NORTH,20.5\n11/03/2024,02:00,N,HB_NORTH,21.5\n"
        "11/03/2024,02:00,Y,HB_NORTH,22.5\n11/03/2024,03:00,N,HB_NORTH,23.5\n",
        "2024-11-03T05:00",
        [20.5, 21.5, 22.5, 23.5],
    ),
    "caiso-price": (
        "caiso-price",
        "price",
        {"where": {"LMP_TYPE": "LMP", "NODE": "TH_NP15"}},
        "INTERVALSTARTTIME_GMT,INTERVALENDTIME_GMT,NODE,LMP_TYPE,MW\n"
        "2024-07-01T01:00:00-00:00,x,TH_NP15,LMP,31\n2024-07-01T00:00:00-00:00,x,TH_NP15,LMP,30\n"
        "2024-07-01T00:00:00-00:00,x,TH_NP15,MCE,9\n",
        "2024-07-01T00:00",
        [30, 31],
    ),
    "aemo-price, five minutes": (
        "aemo-price",
        "price",
        {"rate": 0.5},
        "REGION,SETTLEMENTDATE,TOTALDEMAND,RRP,PERIODTYPE\n"
        + "".join(
            f"NSW1,2024/07/01 {10 + m // 60}:{m % 60:02d}:00,7000,{60 if m <= 60 else 70},TRADE\n"
            for m in range(5, 125, 5)
        ),
        "2024-07-01T00:00",
        [30, 35],
    ),
    "aemo-demand": (
        "aemo-demand",
        "demand",
        {},
        "REGION,SETTLEMENTDATE,TOTALDEMAND,RRP,PERIODTYPE\n"
        "NSW1,2024/07/01 10:30:00,0.2,60,TRADE\nNSW1,2024/07/01 11:00:00,0.4,60,TRADE\n"
        "NSW1,2024/07/01 11:30:00,0.5,60,TRADE\nNSW1,2024/07/01 12:00:00,0.5,60,TRADE\n",
        "2024-07-01T00:00",
        [0.3, 0.5],
    ),
    "jepx-price, cp932": (
        "jepx-price",
        "price",
        {"rate": 0.01},
        (
            "受渡日,時刻コード,システムプライス(円/kWh),エリアプライス東京(円/kWh)\n"
            "2024/07/01,19,9,10\n2024/07/01,20,9,12\n2024/07/01,21,9,13\n2024/07/01,22,9,13\n"
        ).encode("cp932"),
        "2024-07-01T00:00",
        [110, 130],
    ),
    "jepx-price, UTF-8": (
        "jepx-price",
        "price",
        {"rate": 0.01},
        "年月日,時刻コード,エリアプライス東京(円/kWh)\n2024/07/01,19,10\n2024/07/01,20,12\n",
        "2024-07-01T00:00",
        [110],
    ),
    "elexon-price, insights": (
        "elexon-price",
        "price",
        {"rate": 1},
        "startTime,settlementDate,settlementPeriod,price\n"
        "2024-07-01T00:00:00Z,2024-07-01,3,40\n2024-07-01T00:30:00Z,2024-07-01,4,50\n",
        "2024-07-01T00:00",
        [45],
    ),
    "elexon-price, periods of a day of 50": (
        "elexon-price",
        "price",
        {"rate": 1},
        "settlementDate,settlementPeriod,systemSellPrice\n"
        + "".join(f"2024-10-27,{p},{p}\n" for p in range(1, 51))
        + "2024-10-28,1,51\n2024-10-28,2,52\n",
        "2024-10-26T23:00",
        [1.5 + 2 * hour for hour in range(26)],
    ),
    "nyiso-price": (
        "nyiso-price",
        "price",
        {"where": {"Name": "N.Y.C."}},
        '"Time Stamp","Name","PTID","LBMP ($/MWHr)"\n"06/30/2024 20:00","N.Y.C.",1,30\n'
        '"06/30/2024 21:00","N.Y.C.",1,31\n',
        "2024-07-01T00:00",
        [30, 31],
    ),
    "nyiso-demand, marked hours": (
        "nyiso-demand",
        "demand",
        {"where": {"Name": "N.Y.C."}},
        '"Time Stamp","Time Zone","Name","PTID","Integrated Load"\n'
        '"11/03/2024 01:00:00","EDT","N.Y.C.",1,0.1\n"11/03/2024 01:00:00","EST","N.Y.C.",1,0.2\n'
        '"11/03/2024 02:00:00","EST","N.Y.C.",1,0.3\n',
        "2024-11-03T05:00",
        [0.1, 0.2, 0.3],
    ),
    "watttime-carbon": (
        "watttime-carbon",
        "carbon",
        {},
        "point_time,value\n2024-07-01T00:00:00+00:00,1000\n2024-07-01T01:00:00+00:00,1100\n",
        "2024-07-01T00:00",
        [0.45359237, 0.498951607],
    ),
    "watttime-carbon, v2": (
        "watttime-carbon",
        "carbon",
        {},
        "timestamp,MOER\n2024-07-01T00:00:00+00:00,1000\n2024-07-01T01:00:00+00:00,1100\n",
        "2024-07-01T00:00",
        [0.45359237, 0.498951607],
    ),
    "eia930-demand": (
        "eia930-demand",
        "demand",
        {"where": {"Balancing Authority": "AAA"}},
        "Balancing Authority,UTC Time at End of Hour,Demand (MW)\n"
        'AAA,07/01/2024 1:00:00 AM,"0.5"\nAAA,07/01/2024 2:00:00 AM,"0.25"\n',
        "2024-07-01T00:00",
        [0.5, 0.25],
    ),
    "burstgpt-requests": (
        "burstgpt-requests",
        "demand",
        {
            "time_format": "seconds since 2024-07-01T00:00",
            "energy": {"Request tokens": "1 kWh", "Response tokens": "2 kWh"},
        },
        "Timestamp,Model,Request tokens,Response tokens\n"
        "5,A,10,20\n3000,A,0,10\n3700,A,30,0\n7100,A,0,5\n",
        "2024-07-01T00:00",
        [0.07, 0.04],
    ),
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_layout_reads_its_export(sample: str, tmp_path: Path) -> None:
    layout, kind, options, text, start, values = SAMPLES[sample]
    top = {"gaps": {"method": "linear", "longest": 1}} if "English" in sample else {}
    region = read(tmp_path, kind, {"layout": layout} | options, text, **top)
    assert str(region.columns[kind][0].starts[0])[:16] == start
    np.testing.assert_allclose(region.values[kind][: len(values)], values, rtol=1e-9)
    assert not [n for n in region.filled.values() if n] or top


MIXES = {
    "entsoe-generation, today's": (
        '"MTU (CET/CEST)","Area","Production Type","Generation (MW)"\n'
        + "".join(
            f'"01/07/2024 0{h}:00:00 - 01/07/2024 0{h + 1}:00:00","X","{name}","{amount}"\n'
            for h in (2, 3)
            for name, amount in zip(ENTSOE_MIX, (0, 10, 30, 0, 60), strict=True)
        )
    ),
    "entsoe-generation, 2024": (
        '"Area","MTU",' + ",".join(f'"{n}  - Actual Aggregated [MW]"' for n in ENTSOE_MIX) + "\n"
        '"X","01.07.2024 02:00 - 01.07.2024 03:00","0","10","30","0","60"\n'
        '"X","01.07.2024 03:00 - 01.07.2024 04:00","0","10","30","0","60"\n'
    ),
    "smard-generation": (
        "Datum von;Datum bis;Biomasse [MWh] Originalauflösungen;Erdgas [MWh] Originalauflösungen;"
        "Kernenergie [MWh] Originalauflösungen;Wind Onshore [MWh] Originalauflösungen\n"
        "01.07.2024 02:00;01.07.2024 03:00;0;1.000,5;3.001,5;6.003,0\n"
        "01.07.2024 03:00;01.07.2024 04:00;0;1.000,5;3.001,5;6.003,0\n"
    ),
    "eia-generation": (
        "period,respondent,fueltype,value\n"
        + "".join(
            f"2024-07-01T0{h},X,{code},{amount}\n"
            for h in (1, 2)
            for code, amount in (("NG", 10), ("NUC", 30), ("WND", 60))
        )
    ),
    "elexon-generation": (
        "startTime,fuelType,generation\n"
        + "".join(
            f"2024-07-01T0{h}:00:00Z,{code},{amount}\n"
            for h in (0, 1)
            for code, amount in (
                ("CCGT", 4),
                ("OCGT", 6),
                ("NUCLEAR", 30),
                ("WIND", 60),
                ("INTFR", 9),
            )
        )
    ),
}


@pytest.mark.parametrize("sample", MIXES)
def test_a_layout_of_generation_reads_its_export(sample: str, tmp_path: Path) -> None:
    region = read(tmp_path, "mix", {"layout": sample.partition(",")[0]}, MIXES[sample])
    assert str(region.columns["mix: gas"][0].starts[0])[:16] == "2024-07-01T00:00"
    carbon = 0.1 * 0.490 + 0.3 * 0.012 + 0.6 * 0.011
    np.testing.assert_allclose(region.values["carbon"], carbon, rtol=1e-3)
    unmapped = region.facts["mix"].fuels_unmapped
    assert unmapped == (("INTFR",) if sample.startswith("elexon") else ())


def test_every_layout_is_tried_here_or_in_the_cases() -> None:
    tried = {sample[0] for sample in SAMPLES.values()} | {name.partition(",")[0] for name in MIXES}
    elsewhere = {
        "eia930-generation",
        "open-meteo-temperature",
        "open-meteo-humidity",
        "azure-llm-requests",
    }
    assert tried | elsewhere == set(LAYOUTS)


def test_a_file_of_another_vendor_is_refused_by_its_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no column 'SETTLEMENTDATE', found 'a', 'b'"):
        read(tmp_path, "price", {"layout": "aemo-price", "rate": 1}, "a,b\n1,2\n")


def test_years_of_older_and_newer_exports_are_joined(tmp_path: Path) -> None:
    (tmp_path / "p-2023.csv").write_text(
        '"MTU (CET/CEST)","Day-ahead Price [EUR/MWh]"\n"31.12.2023 22:00 - 31.12.2023 23:00","20"\n'
        '"31.12.2023 23:00 - 01.01.2024 00:00","21"\n'
    )
    new = (
        '"MTU (CET/CEST)","Sequence","Day-ahead Price (EUR/MWh)"\n'
        '"01/01/2024 00:00:00 - 01/01/2024 01:00:00","Sequence 1","22"\n'
        '"01/01/2024 01:00:00 - 01/01/2024 02:00:00","Sequence 1","23"\n'
    )
    options = {"layout": "entsoe-price", "rate": 1, "file": "p-2024.csv"}
    region = read(tmp_path, "price", options, new)
    np.testing.assert_allclose(region.values["price"], [22, 23])
    world = YAML(typ="safe", pure=True).load(tmp_path / "world.yaml")
    world["regions"]["Here"]["price"]["file"] = "p-*.csv"
    YAML().dump(world, tmp_path / "world.yaml")
    instance, regions = read_table(tmp_path / "world.yaml")
    np.testing.assert_allclose(regions[0].values["price"], [20, 21, 22, 23])
    assert instance.trace.provenance["files"] == 2


def test_files_whose_stamps_mean_different_things_are_not_joined(tmp_path: Path) -> None:
    """Hour endings of the day-ahead market beside the starts of real-time quarter hours."""
    (tmp_path / "a-day-ahead.csv").write_text(
        "DeliveryDate,HourEnding,SettlementPointPrice,DSTFlag\n"
        + "".join(f"07/01/2024,{h:02d}:00,{h},N\n" for h in range(1, 25))
    )
    real_time = (
        "DeliveryDate,DeliveryHour,DeliveryInterval,SettlementPointPrice,DSTFlag\n"
        + "".join(f"07/02/2024,{h},{q},{h},N\n" for h in range(1, 25) for q in range(1, 5))
    )
    options = {"layout": "ercot-price", "file": "b-real-time.csv"}
    region = read(tmp_path, "price", options, real_time)
    assert str(region.columns["price"][0].starts[0])[:16] == "2024-07-02T05:00"
    world = YAML(typ="safe", pure=True).load(tmp_path / "world.yaml")
    world["regions"]["Here"]["price"]["file"] = ["a-day-ahead.csv", "b-real-time.csv"]
    YAML().dump(world, tmp_path / "world.yaml")
    with pytest.raises(DataError, match=r"b-real-time.csv cannot be joined with .*the ends of the"):
        read_table(tmp_path / "world.yaml")
