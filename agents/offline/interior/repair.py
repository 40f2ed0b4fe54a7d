"""What an iterate decides, put within what is possible: work, loads, energy."""

from __future__ import annotations

import numpy as np
from numba import njit

from equiload.agents.offline.interior.form import Form
from equiload.agents.offline.interior.layout import (
    CHARGE,
    DISCHARGE,
    DONE,
    GENERATION,
    LATE,
    ON,
    Network,
)
from equiload.agents.offline.program import Answer
from equiload.envs.dispatch import Dispatch
from equiload.envs.typing import BoolArray, FloatArray

_HALVINGS = 50


def repaired(form: Form, values: FloatArray) -> Answer:
    """Blocks of the linear program, in the problem's units, that a schedule can be read from."""
    v, problem = form.sizes.vector(values), form.problem
    instance, unit, named = problem.instance, form.load, {}
    demand = problem.senders.by_group(instance.trace.demand) / unit
    if instance.fleet.models is not None:
        room = form.sizes.vector(form.upper).saved
        saved = np.clip(v.saved, 0.0, room)
        groups = np.eye(form.sizes.groups)[form.network.saver_group]
        demand = np.maximum(demand - saved @ groups, 0.0)
        steps = len(instance.fleet.models.steps[0])
        named["saved"] = unit * saved.reshape(len(saved), steps, -1)
    capacity = instance.capacity / unit
    fit = _Fit(form, demand, capacity)
    if instance.fleet.training is not None:
        done = fit.done(np.maximum(v.work[:, DONE], 0.0))
        named["done"], named["late"] = unit * done, unit * np.maximum(v.work[:, LATE], 0.0)
        demand = demand + done @ np.eye(form.sizes.groups)[form.network.class_group]
    loads = fit.loads(np.maximum(v.load, 0.0), demand)
    named["loads"] = unit * loads.ravel()
    on = np.clip(v.site[:, ON], 0.0, capacity)
    if form.network.servers:
        named["on"] = unit * on
    charge, discharge = np.maximum(v.site[:, CHARGE], 0.0), np.maximum(v.site[:, DISCHARGE], 0.0)
    dear = instance.trace.price >= 0
    if form.network.storage:
        _net(form.network, dear, _drawn(form, loads, on), charge, discharge)
    named["charge"], named["discharge"] = unit * charge, unit * discharge
    # All of the sun that can be used, where what it saves costs something.
    used = np.where(dear, np.inf, np.maximum(v.site[:, GENERATION], 0.0))
    named["generation"] = unit * used
    return Answer(named, {}, 0)


def _drawn(form: Form, loads: FloatArray, on: FloatArray) -> FloatArray:
    """``[T, N]``, of loads ``[T, P]`` and what is on."""
    load = _by_site(form, loads)
    if form.network.servers:
        on = np.maximum(on, load)
    drawn: FloatArray = form.network.per_load * load + form.network.per_on * on
    return drawn


def _by_site(form: Form, loads: FloatArray) -> FloatArray:
    load = np.zeros((form.sizes.slots, form.sizes.sites))
    for p, i in enumerate(form.network.pair_site):
        load[:, i] += loads[:, p]
    return load


@njit(cache=True, nogil=True, error_model="numpy")
def _net(
    net: Network, dear: BoolArray, drawn: FloatArray, charge: FloatArray, discharge: FloatArray
) -> None:
    """Never charge and discharge at once, where energy costs something: what is stored stays.

    As far as what is not charged any more is not what took the sun.
    """
    for t in range(len(charge)):
        for i in range(charge.shape[1]):
            if dear[t, i]:
                both = min(net.gain[i] * charge[t, i], net.loss[i] * discharge[t, i])
                wasted = 1.0 / net.gain[i] - 1.0 / net.loss[i]
                needed = max(drawn[t, i] + charge[t, i] - discharge[t, i], 0.0)
                if both * wasted > needed:
                    both = needed / wasted
                charge[t, i] -= both / net.gain[i]
                discharge[t, i] -= both / net.loss[i]


class _Fit:
    """Puts loads within the capacities, near to where an iterate has them."""

    def __init__(self, form: Form, demand: FloatArray, capacity: FloatArray) -> None:
        self._form, self._demand, self._capacity = form, demand, capacity
        self._senders = form.problem.senders
        self._classes = np.eye(form.sizes.groups)[form.network.class_group]
        self._one = form.sizes.groups == 1

    def done(self, done: FloatArray) -> FloatArray:
        """``[T, C]``: work that has room, beside inference."""
        if self._one and self._senders.reachable.all():
            room = np.maximum(self._capacity.sum(1) - self._demand[:, 0], 0.0)
            total = done.sum(1)
            share = np.divide(room, total, out=np.ones_like(room), where=total > room)
            fitting: FloatArray = done * share[:, None]
            return fitting
        reach = Dispatch(self._senders.reachable)
        low, high = np.zeros(len(done)), np.ones(len(done))

        def short(share: FloatArray, at: BoolArray) -> BoolArray:
            rows = self._demand[at] + (done[at] * share[at, None]) @ self._classes
            missing = reach.unserved(rows, self._capacity[at])
            beyond: BoolArray = missing > 1e-13 * rows.sum(1)
            return beyond

        at = np.ones(len(done), dtype=np.bool_)
        at = short(high, at)
        for _ in range(_HALVINGS if at.any() else 0):
            middle = (low + high) / 2
            full = np.zeros(len(done), dtype=np.bool_)
            full[at] = short(middle, at)
            low, high = np.where(at & ~full, middle, low), np.where(full, middle, high)
        return done * np.where(at, low, 1.0)[:, None]

    def loads(self, loads: FloatArray, demand: FloatArray) -> FloatArray:
        """``[T, P]``: loads that add up to the groups' demands ``[T, G]``."""
        net, (T, N) = self._form.network, self._capacity.shape
        near = np.minimum(_by_site(self._form, loads), self._capacity)
        if self._one and self._senders.reachable.all():
            asked, total = demand[:, 0], near.sum(1)
            less = np.divide(asked, total, out=np.ones(T), where=total > asked)
            near = near * less[:, None]
            spare = self._capacity - near
            left, room = np.maximum(asked - total * less, 0.0), spare.sum(1)
            near += spare * np.divide(left, room, out=np.zeros(T), where=room > 0)[:, None]
            filled: FloatArray = np.minimum(near, self._capacity)[:, net.pair_site]
            return filled
        # Each site twice: as far as it is loaded, at no cost, and the rest.
        routing = self._senders.routing
        far = 4.0 * np.abs(routing).max() or 1.0
        twice = np.hstack([self._senders.reachable] * 2)
        pairs = np.hstack([routing] * 2) if routing.any() else None
        cost = np.broadcast_to(np.repeat([0.0, far], N), (T, 2 * N))
        room = np.hstack([near, self._capacity - near])
        sent = Dispatch(twice, pairs).allocation(cost, demand, room)
        both = sent[..., :N] + sent[..., N:]
        placed: FloatArray = both[:, net.pair_group, net.pair_site]
        return placed
