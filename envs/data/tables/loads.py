"""What data centers were seen to serve: a file with a column for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equiload.envs.data.tables import units
from equiload.envs.data.tables.parts import Reader
from equiload.envs.data.tables.series import read
from equiload.envs.data.tables.slots import Slots, gaps_of
from equiload.envs.errors import DataError
from equiload.envs.instance import Instance
from equiload.envs.reading import note_read
from equiload.envs.typing import FloatArray

#: How the file is written unless the options say otherwise: those of a table's series.
_USUAL = {"time": "time", "time_zone": "UTC", "unit": "MWh"}


def read_loads(options: str | Mapping[str, Any], folder: Path, instance: Instance) -> FloatArray:
    """``[T, N]``, MWh that each data center serves in the slots of an instance.

    Parameters
    ----------
    options
        A file, or the options of a series (docs/worlds.md) and ``gaps``; its columns are called as
        the data centers are.
    folder
        Where a relative name of a file begins.

    Raises
    ------
    DataError
        Whatever does not fit: file, row, column, value and what was expected.
    """
    given = _USUAL | ({"file": options} if isinstance(options, str) else dict(options))
    gaps = gaps_of(given.pop("gaps", "refuse"), folder)
    if "column" in given:
        raise DataError("loads have a column for each data center, and so no 'column'")
    if given["unit"] in units.SHARES:
        raise DataError("the unit of loads must be an energy or a power, MWh or MW say")
    stamps = instance.trace.timestamps
    step = int(np.diff(stamps[:2]).astype(int)[0]) if instance.horizon > 1 else 3600
    reader = Reader(folder, step, stamps[0], stamps[-1] + np.timedelta64(step, "s"))
    slots, loads = Slots(stamps, step), []
    for site in instance.fleet.datacenters:
        what = f"allocation: demand served by {site}"
        column, _ = read(reader, given | {"column": site}, "demand", what)
        loads.append(slots.place(column, gaps)[0])
    for path in reader.files.paths:
        note_read(path)
    return np.stack(loads, axis=-1)
