"""Does a source keep to what :class:`~equiload.envs.data.Source` promises?"""

from __future__ import annotations

import json

import numpy as np

from equiload.envs import DataError, Instance
from equiload.envs.data import Source


def check_source(source: Source, *, horizon: int = 24) -> None:
    """Check a source: its instances, its draws and its splits.

    The same draw is the same instance, another draw another; reachabilities differ where the source
    says so; other equity weights change the objective and nothing else; the provenance can be
    written to a file.

    Parameters
    ----------
    source
        Any source.
    horizon
        Slots of the draws that are looked at.

    Raises
    ------
    AssertionError
        Which promise is broken.

    Examples
    --------
    >>> from equiload.envs.data import SyntheticSource
    >>> check_source(SyntheticSource())
    """
    names = source.reachabilities()
    shown = {name: source.instance(reachability=name, horizon=horizon) for name in names}
    if len(names) > 1 and len({i.fleet.reachable.tobytes() for i in shown.values()}) == 1:
        raise AssertionError(f"{source.name}: the reachabilities {', '.join(names)} are the same")
    for split in ("train", "validation", "test"):
        count = source.draws(split, horizon)
        drawn = [
            source.draw(f"{split}/{n}", horizon=horizon)
            for n in range(2 if count is None else min(count, 2))
        ]
        for n, instance in enumerate(drawn):
            again = source.draw(f"{split}/{n}", horizon=horizon)
            if instance.horizon != horizon:
                raise AssertionError(f"{source.name}: {split}/{n} has {instance.horizon} slots")
            if not _same(instance, again):
                raise AssertionError(f"{source.name}: {split}/{n} is not the same again")
        if len(drawn) == 2 and _same(*drawn):
            raise AssertionError(f"{source.name}: {split}/0 and {split}/1 are the same")
    first = next(iter(shown.values()))
    weights = {kind: 2.0 * weight + 1.0 for kind, weight in first.objective.equity_weight.items()}
    try:
        other = source.weighed(weights).instance(reachability=names[0], horizon=horizon)
    except DataError:  # it says that it cannot
        return
    if dict(other.objective.equity_weight) != weights or not _same(first, other):
        raise AssertionError(f"{source.name}: other equity weights are not all that changes")
    json.dumps(dict(source.provenance), default=str)


def _same(one: Instance, other: Instance) -> bool:
    pairs = zip(one.series.arrays(), other.series.arrays(), strict=True)
    same = np.array_equal(one.trace.timestamps, other.trace.timestamps)
    return same and all(np.array_equal(a, b) for a, b in pairs)
