"""What kernels read and write where the past counts: arrays by name, ``B`` problems in rows.

Who changes the order of fields deletes what numba has cached: it would not see that.
"""

from typing import NamedTuple

from equiload.envs.typing import BoolArray, FloatArray, IntArray


class Parts(NamedTuple):
    """Everything decided, for ``B`` problems; 0 where a fleet has no such part.

    ``allocation [B, J, N]``, ``work [B, C, N]``, ``late [B, C]``, ``saved [B, J]``, the rest
    ``[B, N]``, as in :class:`~equiload.envs.knobs.operation.Operation`; ``grid`` follows from them.
    """

    allocation: FloatArray
    work: FloatArray
    late: FloatArray
    saved: FloatArray
    on: FloatArray
    charge: FloatArray
    discharge: FloatArray
    generation: FloatArray
    grid: FloatArray


class Plant(NamedTuple):
    """Numbers of a fleet: ``[N]``, ``routing [J, N]``, ``late_cost [C]``.

    ``width`` of each step down in model size, of the demand, and ``unit``, how much dearer it is
    than the one before, ``[J, H]``. ``region_of [N]``.
    """

    pue: FloatArray
    idle: FloatArray
    start_cost: FloatArray
    into: FloatArray
    out: FloatArray
    wear: FloatArray
    routing: FloatArray
    late_cost: FloatArray
    width: FloatArray
    unit: FloatArray
    region_of: IntArray


class Scene(NamedTuple):
    """A slot: ``price [B, N]``, ``intensity`` and ``onsite [B, K, N]``, ``demand [B, J]``.

    ``least`` and ``most [B, C]``: bounds on how much of what waits beyond the expert's can be done
    in time (:class:`~equiload.robust.spare.Room`), MWh.
    """

    price: FloatArray
    intensity: FloatArray
    onsite: FloatArray
    demand: FloatArray
    least: FloatArray
    most: FloatArray


class Expert(NamedTuple):
    """What the expert does in a slot, and what of that is compared with.

    ``on_before [B, N]``, MWh; ``gross [B, N]``, MWh from the grid with every term taken positive;
    ``kinks`` of its starts and quality, as in :class:`Curve`.
    """

    done: Parts
    on_before: FloatArray
    gross: FloatArray
    kinks: FloatArray


class GapPrices(NamedTuple):
    """What a unit of each gap may cost to give back, US$, ``[N]`` or ``[C]``.

    ``waiting_late``: more than ``waiting_ahead`` where it cannot be done in time.
    ``missing [K, N]``: footprint of a MWh that a battery lacks; ``surplus [C, K, R]`` of one that
    waits and can be done in time. ``stray [N]``, US$: what a MWh of stored energy is worth in all,
    and ``drift``, US$, are what rounding goes with.
    """

    stored_behind: FloatArray
    stored_ahead: FloatArray
    waiting_behind: FloatArray
    waiting_ahead: FloatArray
    waiting_late: FloatArray
    on_behind: FloatArray
    missing: FloatArray
    surplus: FloatArray
    stray: FloatArray
    drift: float


class Standing(NamedTuple):
    """The fields of ``LevelLedger`` that a decision changes, ``[B, ...]``.

    ``total``, ``total_footprint``, ``left``: cost, footprint and left side of its books.
    """

    total: FloatArray
    total_footprint: FloatArray
    left: FloatArray
    cost: FloatArray
    footprint: FloatArray
    stored: FloatArray
    stored_error: FloatArray
    waiting: FloatArray
    waiting_error: FloatArray
    on: FloatArray
    reserved: FloatArray


class Curve(NamedTuple):
    """What is linear in the share of the advice: ``line [B]`` US$, ``footprint [B, K, R]``.

    Arguments ``kinks [B, M]`` of what costs beyond 0. ``size [B]``, US$, is what the rounding of
    all of it goes with.
    """

    line: FloatArray
    kinks: FloatArray
    footprint: FloatArray
    size: FloatArray


class Judged(NamedTuple):
    """What a decision needs, at least, and what ``α`` depends on.

    ``need [B]``, US$: the left side now and on the way back until the end; ``certain [B]``: is it
    at most the right side?
    """

    need: FloatArray
    certain: BoolArray
    curve: Curve


class Rules(NamedTuple):
    """``mu [K]``, the roundings that no number passes more of, and slots left after this one."""

    mu: FloatArray
    terms: int
    slots_left: int
