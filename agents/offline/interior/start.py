"""Where the iterations begin: nearly feasible values and prices, inside of every bound.

A form is free of units, so the constants below are shares of a site's capacity and of what running
it costs.
"""

from __future__ import annotations

import numpy as np

from equiload.agents.offline.interior.form import Form
from equiload.agents.offline.interior.layout import (
    BALANCE,
    BATTERY,
    CAPACITY,
    CHARGE,
    DISCHARGE,
    DONE,
    GENERATION,
    GRID,
    LATE,
    ON,
    SPARE,
    STARTED,
    STOPPED,
    STORED,
    SWITCHED,
    WAITING,
    Rows,
    Vector,
)
from equiload.agents.offline.interior.rows import transposed
from equiload.agents.offline.interior.steps import Point
from equiload.envs.typing import FloatArray

_PRODUCT = 0.2  # of a value and the price of its bound
_TAPER = 24  # slots over which waiting work runs out


def begin(form: Form) -> tuple[Point, FloatArray]:
    """The first point, and the prices ``[rows]`` of the rows."""
    values = _values(form)
    prices = _prices(form)
    return centred(form, values, prices, _PRODUCT), prices


def centred(form: Form, values: FloatArray, prices: FloatArray, product: float) -> Point:
    """A point whose products are near ``product``, at given values (changed) and row prices."""
    upper, sizes = form.upper, form.sizes
    lives, finite = upper > 0, np.isfinite(upper)
    both, one = lives & finite, lives & ~finite
    values[~lives] = 0.0
    values[both] = np.clip(values[both], 0.02 * upper[both], 0.98 * upper[both])
    values[one] = np.maximum(values[one], 1e-3)
    priced = np.empty(sizes.variables)
    transposed(sizes.by_row(prices), form.network, sizes.vector(priced))
    reduced = form.cost - priced
    low, high = np.zeros(len(upper)), np.zeros(len(upper))
    room = np.where(both, upper - values, 1.0)
    # Of both prices of a variable one has its product; the other makes up for its reduced cost.
    at_low, at_high = product / values[both], product / room[both]
    above = np.maximum(at_low, reduced[both] + at_high)
    high[both] = np.maximum(above - reduced[both], 0.1 * at_high)
    low[both] = np.maximum(reduced[both] + high[both], 0.1 * at_low)
    low[one] = np.maximum(reduced[one], product / np.maximum(values[one], 0.01))
    tail = sizes.vector(low)
    tail.highest[:] = product / sizes.vector(values).highest
    tail.slack[:] = np.maximum(-sizes.by_row(prices).footprint, 1e-3 / sizes.regions)
    return Point(values, room, low, high)


def _values(form: Form) -> FloatArray:
    """A schedule by hand: loads in proportion to capacity, little stored, little waiting."""
    upper, net = form.sizes.vector(form.upper), form.network
    flat = np.full(form.sizes.variables, 0.05)
    bounded = np.isfinite(form.upper)
    flat[bounded] = 0.5 * form.upper[bounded]
    v, right = form.sizes.vector(flat), form.sizes.by_row(form.right)
    capacity = form.sizes.vector(form.widest).site[:, SPARE]
    demand = right.demand.copy()
    for m, g in enumerate(net.saver_group):
        demand[:, g] -= v.saved[:, m]
    _work(v, upper.work[:, WAITING], right.work)
    for c, g in enumerate(net.class_group):
        demand[:, g] += v.work[:, DONE, c]
    weight = capacity[:, net.pair_site]
    within = np.zeros(demand.shape)
    for p, g in enumerate(net.pair_group):
        within[:, g] += weight[:, p]
    share = np.divide(demand, within, out=np.zeros_like(demand), where=within > 0)
    v.load[:] = np.maximum(share, 1e-3)[:, net.pair_group] * weight
    load = np.zeros(capacity.shape)
    for p, i in enumerate(net.pair_site):
        load[:, i] += v.load[:, p]
    load = np.minimum(load, 0.95 * capacity)
    on = 0.5 * (load + capacity) if net.servers else capacity
    v.site[:, ON], v.site[:, SPARE] = on, on - load
    changed = np.diff(on, axis=0, prepend=right.site[:1, SWITCHED])
    v.site[:, STARTED] = np.maximum(changed, 0.0) + 0.05
    v.site[:, STOPPED] = np.maximum(-changed, 0.0) + 0.05
    _energy(form, v, net.per_load * load + net.per_on * on)
    enveloped(form, v)
    return flat


def enveloped(form: Form, v: Vector) -> None:
    """Put the highest footprints above all of those that the other values have."""
    footprint = _footprint(form, v)
    v.highest[:] = 1.02 * footprint.max(1, initial=0.0) + 1e-3
    v.slack[:] = v.highest[:, None] - footprint


def _work(v: Vector, ceiling: FloatArray, arrived: FloatArray) -> None:
    """A little waits, of what there is."""
    slots = len(arrived)
    waiting = 0.3 * ceiling * np.minimum(1.0, (slots - 1 - np.arange(slots)) / _TAPER)[:, None]
    before = np.zeros(arrived.shape[1])
    for t in range(slots):
        due = before + arrived[t]
        before = v.work[t, WAITING] = np.minimum(waiting[t], 0.7 * due)
        v.work[t, LATE] = 0.02 * (due - before)
        v.work[t, DONE] = 0.98 * (due - before)


def _energy(form: Form, v: Vector, drawn: FloatArray) -> None:
    """Batteries charge and discharge alike; half of the sun is used; the grid gives the rest."""
    upper, net = form.sizes.vector(form.upper), form.network
    right = form.sizes.by_row(form.right)
    start, initial = right.site[0, BATTERY], upper.missing
    if form.sizes.slots == 1:
        start = start + initial
    energy = upper.site[:, STORED].copy()
    energy[-1] += initial
    stored = np.clip(np.broadcast_to(start, energy.shape), 0.05 * energy, 0.95 * energy)
    v.missing[:] = 0.05 * initial
    v.site[:, STORED] = stored
    v.site[-1, STORED] = stored[-1] - initial + v.missing
    v.site[:, CHARGE] = 0.3 * upper.site[:, CHARGE]
    back = net.gain / net.loss * v.site[:, CHARGE]
    v.site[:, DISCHARGE] = np.minimum(back, 0.9 * upper.site[:, DISCHARGE])
    used = np.minimum(0.5 * upper.site[:, GENERATION], 0.4 * drawn)
    v.site[:, GENERATION] = used
    v.site[:, GRID] = drawn - used + v.site[:, CHARGE] - v.site[:, DISCHARGE]


def _footprint(form: Form, v: Vector) -> FloatArray:
    """``[K, R]``, with what was there before."""
    net, before = form.network, -form.sizes.by_row(form.right).footprint
    grid = v.site[:, GRID]
    drawn = grid + v.site[:, GENERATION] + v.site[:, DISCHARGE] - v.site[:, CHARGE]
    by_site = np.einsum("tki,ti->ki", net.imported, grid)
    by_site += np.einsum("tki,ti->ki", net.drawn, drawn)
    by_region: FloatArray = by_site @ np.eye(form.sizes.regions)[net.region]
    return np.maximum(by_region, 0.0) + before


def _prices(form: Form) -> FloatArray:
    """Equal weights, and what a merit order makes of them."""
    flat = np.zeros(form.sizes.rows)
    y: Rows = form.sizes.by_row(flat)
    cost, net = form.sizes.vector(form.cost), form.network
    y.footprint[:] = -1.0 / form.sizes.regions
    unit = cost.site[:, GRID] + (net.imported + net.drawn).sum(1) / form.sizes.regions
    load = 0.8 * np.median(unit * (net.per_load + net.per_on), axis=1)
    y.site[:, BALANCE] = 0.9 * unit
    y.demand[:] = load[:, None]
    y.site[:, CAPACITY] = -np.maximum(0.3 * np.abs(unit), 0.1)
    if not net.servers:
        over = load[:, None] - net.per_load * y.site[:, BALANCE]
        y.site[:, CAPACITY] = -np.maximum(over, 0.1)
    else:
        y.site[:, SWITCHED] = -0.5 * cost.site[:, STARTED]
    if net.storage:
        y.site[:, BATTERY] = -unit.mean(0)
    late = cost.work[:, LATE]
    y.work[:] = np.minimum(0.9 * load.mean(), 0.9 * late) if late.size else 0.0
    return flat
