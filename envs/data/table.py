"""``table``: anyone's own data, described in a small YAML file. docs/worlds.md has the format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from equiload.envs.data.tables.messages import one_line
from equiload.envs.errors import DataError, InfeasibleError
from equiload.envs.instance import Instance

if TYPE_CHECKING:  # pandas takes half a second to import
    from equiload.envs.data.tables.region import RegionTable


def table(path: str | Path, *, equity_weight: Mapping[str, float] | None = None) -> Instance:
    """Read an instance from the YAML file at ``path`` and the files that it names.

    Parameters
    ----------
    path
        The description; names in it are relative to its folder.
    equity_weight
        US$ per unit by footprint kind: changes weights of the file, or adds kinds.

    Raises
    ------
    DataError
        Anything that cannot be used: file, row, column, value and what was expected.
    InfeasibleError
        Demand that the capacity cannot serve.

    Examples
    --------
    >>> from equiload.envs.data import table
    >>> instance = table("my-world.yaml")  # doctest: +SKIP
    """
    return read_table(path, equity_weight=equity_weight)[0]


def read_table(
    path: str | Path, *, equity_weight: Mapping[str, float] | None = None
) -> tuple[Instance, list[RegionTable]]:
    """The instance, and every region's series as they were read, for checks and portraits."""
    from equiload.envs.data.tables.assemble import assemble

    try:
        return assemble(Path(path), equity_weight or {})
    except (DataError, InfeasibleError) as error:
        raise type(error)(one_line(str(error))) from None
