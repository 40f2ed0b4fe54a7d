"""Where the past counts, compiled: where a decision leads, and what that may cost to take back.

A problem of the batch at a time. Every bound is rounded outward as docs/robustness.md says; nothing
there depends on the order of a sum, and the compiler is not allowed to change the arithmetic.
"""

import numpy as np
from numba import njit

from equiload.envs.typing import BoolArray, FloatArray
from equiload.robust.level_tuples import (
    Expert,
    GapPrices,
    Parts,
    Plant,
    Reached,
    Rules,
    Scene,
    Standing,
)

_EPS = float(np.finfo(np.float64).eps)
# Products lose less than this when they underflow.
_TINY = 1e-280
# What each slot of the way back may add by rounding, in units of the terms of a sum.
_STEP = 64


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _flows(
    b: int, given: Parts, less: float, expert: Parts, plant: Plant, flow: FloatArray
) -> tuple[bool, float, float]:
    """Energy of ``given − less·expert``, and what is paid beside energy: its cost, and its size.

    ``flow [5, N]`` gets what is drawn, what the grid gives, both with every term taken positive,
    and the last of these for ``given`` alone. Is there a difference at all?
    """
    sends, works, lates, saves, ons, charges, discharges, uses, _ = given
    sent, worked, late, saved, on, charged, discharged, used, _ = expert
    pue, idles, wear, routing, late_cost = (
        plant.pue,
        plant.idle,
        plant.wear,
        plant.routing,
        plant.late_cost,
    )
    _, J, N = sends.shape
    moved, cost, size = False, 0.0, 0.0
    flow[:] = 0.0
    for j in range(J):
        moved |= saves[b, j] != less * saved[b, j]
        for i in range(N):
            away = sends[b, j, i] - less * sent[b, j, i]
            paid = routing[j, i] * away
            cost += paid
            size += abs(paid)
            flow[0, i] += away
            flow[2, i] += abs(away)
            flow[4, i] += abs(sends[b, j, i])
    for c in range(len(late_cost)):
        away = lates[b, c] - less * late[b, c]
        moved |= away != 0.0
        cost += late_cost[c] * away
        size += late_cost[c] * abs(away)
        for i in range(N):
            away = works[b, c, i] - less * worked[b, c, i]
            flow[0, i] += away
            flow[2, i] += abs(away)
            flow[4, i] += abs(works[b, c, i])
    for i in range(N):
        idle, warm = idles[i], ons[b, i] - less * on[b, i]
        into = charges[b, i] - less * charged[b, i]
        out = discharges[b, i] - less * discharged[b, i]
        away = uses[b, i] - less * used[b, i]
        rest = abs(into) + abs(out) + abs(away)
        moved |= flow[2, i] + abs(warm) + rest != 0.0
        flow[0, i] = (idle * warm + (1.0 - idle) * flow[0, i]) * pue[i]
        flow[1, i] = flow[0, i] + into - out - away
        flow[2, i] = (idle * abs(warm) + (1.0 - idle) * flow[2, i]) * pue[i]
        flow[3, i] = flow[2, i] + rest
        gross = (idle * abs(ons[b, i]) + (1.0 - idle) * flow[4, i]) * pue[i]
        flow[4, i] = gross + abs(charges[b, i]) + abs(discharges[b, i]) + abs(uses[b, i])
        cost += wear[i] * out
        size += wear[i] * abs(out)
    return moved, cost, size


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _effect(
    b: int, flow: FloatArray, scene: Scene, plant: Plant, terms: int, emitted: FloatArray
) -> tuple[float, float]:
    """Cost of energy, and its size; ``emitted [2, K, R]`` gets footprints, and their errors."""
    price, intensity, onsite, _, _, _ = scene
    region_of = plant.region_of
    cost = size = 0.0
    for i in range(flow.shape[1]):
        cost += price[b, i] * flow[1, i]
        size += abs(price[b, i]) * flow[3, i]
    emitted[:] = 0.0
    for k in range(emitted.shape[1]):
        for i in range(flow.shape[1]):
            e, at, r = intensity[b, k, i], onsite[b, k, i], region_of[i]
            emitted[0, k, r] += e * flow[1, i] + at * flow[0, i]
            emitted[1, k, r] += e * flow[3, i] + at * flow[2, i]
        for r in range(emitted.shape[2]):
            emitted[1, k, r] *= terms * _EPS
    return cost, size


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _hinges(
    b: int, given: Parts, on_before: FloatArray, demand: FloatArray, plant: Plant, kinks: FloatArray
) -> float:
    """US$ of starts and quality; where they begin to cost is ``kinks[b] = 0``, the first of it."""
    on, saved, start_cost = given.on, given.saved, plant.start_cost
    width, unit = plant.width, plant.unit
    value, m = 0.0, on.shape[1]
    for i in range(m):
        kinks[b, i] = on[b, i] - on_before[b, i]
        value += max(kinks[b, i], 0.0) * start_cost[i]
    for j in range(len(unit)):
        free = 0.0
        for h in range(unit.shape[1]):
            kinks[b, m] = saved[b, j] - free
            value += max(kinks[b, m], 0.0) * unit[j, h]
            free += demand[b, j] * width[j, h]
            m += 1
    return value


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _rise(b: int, kinks: FloatArray, theirs: FloatArray, plant: Plant) -> float:
    """US$ of starts and quality beyond the expert's: of those that are alike exactly nothing."""
    rise, m = 0.0, len(plant.start_cost)
    for i in range(m):
        rise += (max(kinks[b, i], 0.0) - max(theirs[b, i], 0.0)) * plant.start_cost[i]
    for j in range(plant.unit.shape[0]):
        for h in range(plant.unit.shape[1]):
            rise += (max(kinks[b, m], 0.0) - max(theirs[b, m], 0.0)) * plant.unit[j, h]
            m += 1
    return rise


@njit(cache=True, nogil=True, error_model="numpy")
def expert_effect(
    scene: Scene,
    plant: Plant,
    rules: Rules,
    expert: Expert,
    cost: FloatArray,
    footprint: FloatArray,
) -> None:
    """What the expert's decision costs: ``cost [3, B]``, its error and size, and its footprints.

    ``footprint [2, B, K, R]``, with their errors; what is compared with is written, too.
    """
    done, on_before, gross, kinks = expert
    flow = np.empty((5, len(plant.pue)))
    emitted = np.empty((2, *footprint.shape[2:]))
    error = rules.terms * _EPS
    for b in range(len(scene.price)):
        moved, paid, paid_size = _flows(b, done, 0.0, done, plant, flow)
        gross[b] = flow[4]
        energy, size = _effect(b, flow, scene, plant, rules.terms, emitted)
        value = _hinges(b, done, on_before, scene.demand, plant, kinks)
        tiny = _TINY if moved else 0.0
        size += paid_size
        cost[0, b] = energy + paid + value
        cost[1, b] = error * size + error * _sizes(b, done, on_before, scene.demand, plant) + tiny
        cost[2, b] = size + value
        footprint[0, b] = emitted[0]
        footprint[1, b] = emitted[1] + tiny


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _sizes(b: int, given: Parts, on_before: FloatArray, demand: FloatArray, plant: Plant) -> float:
    """US$ that the rounding of starts and quality goes with."""
    size = 0.0
    for i in range(given.on.shape[1]):
        size += (abs(given.on[b, i]) + abs(on_before[b, i])) * plant.start_cost[i]
    for j in range(demand.shape[1]):
        free = 0.0
        for h in range(plant.unit.shape[1]):
            size += (abs(given.saved[b, j]) + free) * plant.unit[j, h]
            free += demand[b, j] * plant.width[j, h]
    return size


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _up(total: float, change: float) -> float:
    """At least the exact sum."""
    summed = total + change
    up: float = summed + 2 * _EPS * (abs(summed) + abs(change))
    return up


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _behind_and_ahead(value: float, error: float, behind: float, ahead: float) -> float:
    """US$ that a gap may cost to give back, at least."""
    return max(error - value, 0.0) * behind + max(error + value, 0.0) * ahead


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _gaps(
    b: int, given: Parts, expert: Parts, plant: Plant, terms: int, before: Standing, after: Standing
) -> None:
    """What the gaps between the levels come to, with their errors."""
    works, lates, worked, late = given.work, given.late, expert.work, expert.late
    for i in range(len(plant.pue)):
        charged = (given.charge[b, i] - expert.charge[b, i]) * plant.into[i]
        gave = (given.discharge[b, i] - expert.discharge[b, i]) / plant.out[i]
        size, gap = abs(charged) + abs(gave), before.stored[b, i]
        after.stored[b, i] = gap + (charged - gave)
        error = 8 * _EPS * (abs(gap) + size) if size > 0 else 0.0
        after.stored_error[b, i] = before.stored_error[b, i] + error
        after.on[b, i] = given.on[b, i] - expert.on[b, i]
    for c in range(len(plant.late_cost)):
        done = lates[b, c] - late[b, c]
        size = abs(done)
        for i in range(len(plant.pue)):
            more = works[b, c, i] - worked[b, c, i]
            done += more
            size += abs(more)
        after.waiting[b, c] = before.waiting[b, c] - done
        error = terms * _EPS * (abs(before.waiting[b, c]) + size) if size > 0 else 0.0
        after.waiting_error[b, c] = before.waiting_error[b, c] + error


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _potential(
    b: int,
    scene: Scene,
    plant: Plant,
    worth: GapPrices,
    terms: int,
    after: Standing,
    footprint: FloatArray,
) -> float:
    """At least ``Φ``, US$, by cause in ``after.reserved``; ``footprint [K, R]`` gets ``Ψ``."""
    up, reserved = 1.0 + terms * _EPS, after.reserved[b]
    reserved[:] = 0.0
    footprint[:] = 0.0
    for i in range(len(plant.pue)):
        gap, error = after.stored[b, i], after.stored_error[b, i]
        behind, ahead = worth.stored_behind[i], worth.stored_ahead[i]
        reserved[0] += _behind_and_ahead(gap, error, behind, ahead) * up
        gap = after.on[b, i]
        reserved[2] += max(2 * _EPS * abs(gap) - gap, 0.0) * worth.on_behind[i] * up
        missing = max(error - after.stored[b, i], 0.0)
        for k in range(len(footprint)):
            footprint[k, plant.region_of[i]] += worth.missing[k, i] * missing * up
    for c in range(len(plant.late_cost)):
        gap, error = after.waiting[b, c], after.waiting_error[b, c]
        behind, ahead = worth.waiting_behind[c], worth.waiting_ahead[c]
        reserved[1] += _behind_and_ahead(gap, error, behind, ahead) * up
        surplus = max(gap + error, 0.0)
        reserved[1] += max(surplus - scene.least[b, c], 0.0) * worth.waiting_late[c] * up
        in_time = min(surplus, scene.most[b, c])
        if in_time > 0.0:
            for k in range(footprint.shape[0]):
                for r in range(footprint.shape[1]):
                    footprint[k, r] += in_time * worth.surplus[c, k, r] * up
    phi: float = (reserved[0] + reserved[1] + reserved[2]) * (1 + 4 * _EPS)
    return phi


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _reserve(b: int, plant: Plant, worth: GapPrices, rules: Rules, after: Standing) -> float:
    """US$: what rounding may add on the way back; 0 where levels were never apart."""
    apart, scale = False, abs(after.cost[b])
    for k in range(len(rules.mu)):
        most = 0.0
        for r in range(after.footprint.shape[2]):
            most = max(most, abs(after.footprint[b, k, r]))
        scale += rules.mu[k] * most
    for i in range(len(plant.pue)):
        apart |= after.stored_error[b, i] > 0 or after.on[b, i] != 0.0
        unit = worth.stored_behind[i] + worth.stored_ahead[i] + worth.stray[i]
        scale += abs(after.stored[b, i]) * unit + abs(after.on[b, i]) * worth.on_behind[i]
    for c in range(len(plant.late_cost)):
        apart |= after.waiting_error[b, c] > 0
        unit = worth.waiting_behind[c] + worth.waiting_ahead[c] + worth.waiting_late[c]
        scale += abs(after.waiting[b, c]) * unit
    scale = _STEP * scale + worth.drift
    return rules.slots_left * rules.terms * _EPS * scale if apart else 0.0


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _stay(b: int, before: Standing, after: Standing) -> None:
    """Nothing has changed."""
    after.total[b], after.left[b] = before.total[b], before.left[b]
    after.cost[b] = before.cost[b]
    after.total_footprint[b], after.footprint[b] = before.total_footprint[b], before.footprint[b]
    after.stored[b], after.stored_error[b] = before.stored[b], before.stored_error[b]
    after.waiting[b], after.waiting_error[b] = before.waiting[b], before.waiting_error[b]
    after.on[b], after.reserved[b] = before.on[b], before.reserved[b]


@njit(cache=True, nogil=True, error_model="numpy")
def reach(
    scene: Scene,
    plant: Plant,
    worth: GapPrices,
    rules: Rules,
    given: Parts,
    of_expert: Expert,
    on_before: FloatArray,
    head: FloatArray,
    right: FloatArray,
    before: Standing,
    after: Standing,
    reached: Reached,
) -> None:
    """Where ``given`` leads from ``before``: ``after``, and what is ``reached``.

    To the last bit what the expert does, with as much on before, changes nothing, unless work waits
    that has to be done in time.
    """
    mu, terms, _ = rules
    expert, expert_on_before, gross, theirs = of_expert
    need, certain, curve = reached
    B, K, R = after.footprint.shape
    N, (J, steps) = len(plant.pue), plant.unit.shape
    flow = np.empty((5, N))
    emitted, extra = np.empty((2, K, R)), np.empty((K, R))
    for b in range(B):
        moved, cost, size = _flows(b, given, 1.0, expert, plant, flow)
        # The grid gives nothing where the balance is below 0 by rounding: so the difference of two
        # decisions is off by the rounding of both.
        if moved:
            for i in range(N):
                flow[3, i] += flow[4, i] + gross[b, i]
        energy, energy_size = _effect(b, flow, scene, plant, terms, emitted)
        size += energy_size
        tiny = _TINY if moved else 0.0
        error = terms * _EPS * size + tiny
        value = _hinges(b, given, on_before, scene.demand, plant, curve.kinks)
        rise = _rise(b, curve.kinks, theirs, plant)
        same = not moved
        apart = 0.0
        for i in range(N):
            alike = on_before[b, i] == expert_on_before[b, i]
            same &= alike
            if not alike or given.on[b, i] != expert.on[b, i]:
                sizes = abs(given.on[b, i]) + abs(on_before[b, i])
                sizes += abs(expert.on[b, i]) + abs(expert_on_before[b, i])
                apart += sizes * plant.start_cost[i]
        for j in range(J):
            if given.saved[b, j] != expert.saved[b, j]:
                free = 0.0
                for h in range(steps):
                    sizes = abs(given.saved[b, j]) + abs(expert.saved[b, j]) + 2 * free
                    apart += sizes * plant.unit[j, h]
                    free += scene.demand[b, j] * plant.width[j, h]
        change = cost + energy + rise
        error += terms * _EPS * apart + (_TINY if apart > 0 else 0.0)
        curve.line[b] = before.cost[b] + change + error - value
        after.cost[b] = _up(before.cost[b], change + error)
        for k in range(K):
            for r in range(R):
                step = emitted[0, k, r] + (emitted[1, k, r] + tiny)
                curve.footprint[b, k, r] = before.footprint[b, k, r] + step
                after.footprint[b, k, r] = _up(before.footprint[b, k, r], step)
        _gaps(b, given, expert, plant, terms, before, after)
        total = _up(after.cost[b] + _potential(b, scene, plant, worth, terms, after, extra), 0.0)
        after.total[b] = left = total
        scale = abs(total)
        curve.size[b] = size + apart + abs(total)
        for k in range(K):
            top, most = -np.inf, 0.0
            for r in range(R):
                full = _up(after.footprint[b, k, r] + extra[k, r], 0.0)
                after.total_footprint[b, k, r] = full
                top = max(top, full - head[b, k, r])
                most = max(most, abs(full))
            left += mu[k] * top
            scale += mu[k] * abs(top)
            curve.size[b] += mu[k] * most
        after.left[b] = left + (K + 8) * _EPS * scale
        for c in range(len(plant.late_cost)):  # the room for work that waits shrinks by itself
            waits = after.waiting[b, c] + after.waiting_error[b, c] > 0.0
            same &= not (waits and worth.waiting_late[c] > 0.0)
        if same:
            _stay(b, before, after)
        m = N + J * steps
        for i in range(N):
            curve.kinks[b, m + i] = -after.stored[b, i]
            curve.kinks[b, m + N + i] = after.stored[b, i]
            curve.kinks[b, m + 2 * N + i] = -after.on[b, i]
        m += 3 * N
        for c in range(len(plant.late_cost)):
            waiting, at = after.waiting[b, c], m + 4 * c
            curve.kinks[b, at], curve.kinks[b, at + 1] = -waiting, waiting
            curve.kinks[b, at + 2] = waiting - scene.least[b, c]
            curve.kinks[b, at + 3] = waiting - scene.most[b, c]
        need[b] = after.left[b] + _reserve(b, plant, worth, rules, after)
        certain[b] = np.isfinite(need[b]) and np.isfinite(right[b]) and need[b] <= right[b]


@njit(cache=True, nogil=True, error_model="numpy")
def give_up(certain: BoolArray, back: Parts, here: Standing, to: Parts, after: Standing) -> None:
    """Where a decision ``to`` is not ``certain [B]``, the way ``back`` and where that leads."""
    for b in range(len(certain)):
        if not certain[b]:
            _replace(b, back, to)
            _stay(b, here, after)


@njit(cache=True, nogil=True, error_model="numpy")
def replace(where: BoolArray, one: Parts, other: Parts) -> None:
    """Where ``where [B]``, ``one`` in place of ``other``."""
    for b in range(len(where)):
        if where[b]:
            _replace(b, one, other)


@njit(cache=True, nogil=True, error_model="numpy")
def _replace(b: int, one: Parts, other: Parts) -> None:
    other.allocation[b], other.work[b], other.late[b] = one.allocation[b], one.work[b], one.late[b]
    other.saved[b], other.on[b], other.grid[b] = one.saved[b], one.on[b], one.grid[b]
    other.charge[b], other.discharge[b] = one.charge[b], one.discharge[b]
    other.generation[b] = one.generation[b]
