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
    Judged,
    Parts,
    Plant,
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
    start_cost, unit = plant.start_cost, plant.unit
    rise, m = 0.0, len(start_cost)
    for i in range(m):
        rise += (max(kinks[b, i], 0.0) - max(theirs[b, i], 0.0)) * start_cost[i]
    for j in range(unit.shape[0]):
        for h in range(unit.shape[1]):
            rise += (max(kinks[b, m], 0.0) - max(theirs[b, m], 0.0)) * unit[j, h]
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
    demand = scene.demand
    flow = np.empty((5, len(plant.pue)))
    emitted = np.empty((2, *footprint.shape[2:]))
    error = rules.terms * _EPS
    for b in range(len(scene.price)):
        moved, paid, paid_size = _flows(b, done, 0.0, done, plant, flow)
        gross[b] = flow[4]
        energy, size = _effect(b, flow, scene, plant, rules.terms, emitted)
        value = _hinges(b, done, on_before, demand, plant, kinks)
        tiny = _TINY if moved else 0.0
        size += paid_size
        cost[0, b] = energy + paid + value
        cost[1, b] = error * size + error * _sizes(b, done, on_before, demand, plant) + tiny
        cost[2, b] = size + value
        footprint[0, b] = emitted[0]
        footprint[1, b] = emitted[1] + tiny


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _sizes(b: int, given: Parts, on_before: FloatArray, demand: FloatArray, plant: Plant) -> float:
    """US$ that the rounding of starts and quality goes with."""
    on, saved, start_cost = given.on, given.saved, plant.start_cost
    width, unit = plant.width, plant.unit
    size = 0.0
    for i in range(on.shape[1]):
        size += (abs(on[b, i]) + abs(on_before[b, i])) * start_cost[i]
    for j in range(demand.shape[1]):
        free = 0.0
        for h in range(unit.shape[1]):
            size += (abs(saved[b, j]) + free) * unit[j, h]
            free += demand[b, j] * width[j, h]
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
    works, lates, _, ons, charges, discharges = given[1:7]
    worked, late, _, on, charge, discharge = expert[1:7]
    into, out, late_cost = plant.into, plant.out, plant.late_cost
    stored, stored_error, waiting, waiting_error = before[5:9]
    stores, store_errors, waits, wait_errors, gaps_on, _ = after[5:]
    for i in range(len(into)):
        charged = (charges[b, i] - charge[b, i]) * into[i]
        gave = (discharges[b, i] - discharge[b, i]) / out[i]
        size, gap = abs(charged) + abs(gave), stored[b, i]
        stores[b, i] = gap + (charged - gave)
        error = 8 * _EPS * (abs(gap) + size) if size > 0 else 0.0
        store_errors[b, i] = stored_error[b, i] + error
        gaps_on[b, i] = ons[b, i] - on[b, i]
    for c in range(len(late_cost)):
        done = lates[b, c] - late[b, c]
        size = abs(done)
        for i in range(len(into)):
            more = works[b, c, i] - worked[b, c, i]
            done += more
            size += abs(more)
        waits[b, c] = waiting[b, c] - done
        error = terms * _EPS * (abs(waiting[b, c]) + size) if size > 0 else 0.0
        wait_errors[b, c] = waiting_error[b, c] + error


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
    stored, stored_error, waiting, waiting_error, on, reserved = after[5:]
    stored_behind, stored_ahead, waiting_behind, waiting_ahead, waiting_late, on_behind = worth[:6]
    missing, surplus, region_of = worth.missing, worth.surplus, plant.region_of
    least, most = scene.least, scene.most
    (K, R), up = footprint.shape, 1.0 + terms * _EPS
    footprint[:] = 0.0
    stores = waits = starts = 0.0
    for i in range(len(region_of)):
        gap, error, r = stored[b, i], stored_error[b, i], region_of[i]
        stores += _behind_and_ahead(gap, error, stored_behind[i], stored_ahead[i]) * up
        starts += max(2 * _EPS * abs(on[b, i]) - on[b, i], 0.0) * on_behind[i] * up
        lacks = max(error - gap, 0.0)
        for k in range(K):
            footprint[k, r] += missing[k, i] * lacks * up
    for c in range(len(waiting_behind)):
        gap, error = waiting[b, c], waiting_error[b, c]
        waits += _behind_and_ahead(gap, error, waiting_behind[c], waiting_ahead[c]) * up
        more = max(gap + error, 0.0)
        waits += max(more - least[b, c], 0.0) * waiting_late[c] * up
        in_time = min(more, most[b, c])
        if in_time > 0.0:
            for k in range(K):
                for r in range(R):
                    footprint[k, r] += in_time * surplus[c, k, r] * up
    reserved[b, 0], reserved[b, 1], reserved[b, 2] = stores, waits, starts
    phi: float = (stores + waits + starts) * (1 + 4 * _EPS)
    return phi


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _reserve(b: int, worth: GapPrices, rules: Rules, after: Standing) -> float:
    """US$: what rounding may add on the way back; 0 where levels were never apart."""
    cost, footprint, stored, stored_error, waiting, waiting_error, on, _ = after[3:]
    stored_behind, stored_ahead, waiting_behind, waiting_ahead, waiting_late, on_behind = worth[:6]
    (mu, terms, slots_left), stray = rules, worth.stray
    apart, scale = False, abs(cost[b])
    for k in range(len(mu)):
        most = 0.0
        for r in range(footprint.shape[2]):
            most = max(most, abs(footprint[b, k, r]))
        scale += mu[k] * most
    for i in range(len(stray)):
        apart |= stored_error[b, i] > 0 or on[b, i] != 0.0
        unit = stored_behind[i] + stored_ahead[i] + stray[i]
        scale += abs(stored[b, i]) * unit + abs(on[b, i]) * on_behind[i]
    for c in range(len(waiting_behind)):
        apart |= waiting_error[b, c] > 0
        unit = waiting_behind[c] + waiting_ahead[c] + waiting_late[c]
        scale += abs(waiting[b, c]) * unit
    scale = _STEP * scale + worth.drift
    return slots_left * terms * _EPS * scale if apart else 0.0


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _stay(b: int, before: Standing, after: Standing) -> None:
    """Nothing has changed."""
    after.total[b], after.left[b] = before.total[b], before.left[b]
    after.cost[b] = before.cost[b]
    after.total_footprint[b], after.footprint[b] = before.total_footprint[b], before.footprint[b]
    after.stored[b], after.stored_error[b] = before.stored[b], before.stored_error[b]
    after.waiting[b], after.waiting_error[b] = before.waiting[b], before.waiting_error[b]
    after.on[b], after.reserved[b] = before.on[b], before.reserved[b]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _apart(
    b: int,
    given: Parts,
    expert: Parts,
    on_before: FloatArray,
    expert_on_before: FloatArray,
    demand: FloatArray,
    plant: Plant,
) -> float:
    """US$ that the rounding of starts and quality beyond the expert's goes with."""
    on, on_expert, saved, saved_expert = given.on, expert.on, given.saved, expert.saved
    start_cost, width, unit = plant.start_cost, plant.width, plant.unit
    apart = 0.0
    for i in range(len(start_cost)):
        if on_before[b, i] != expert_on_before[b, i] or on[b, i] != on_expert[b, i]:
            sizes = abs(on[b, i]) + abs(on_before[b, i])
            sizes += abs(on_expert[b, i]) + abs(expert_on_before[b, i])
            apart += sizes * start_cost[i]
    for j in range(unit.shape[0]):
        if saved[b, j] != saved_expert[b, j]:
            free = 0.0
            for h in range(unit.shape[1]):
                sizes = abs(saved[b, j]) + abs(saved_expert[b, j]) + 2 * free
                apart += sizes * unit[j, h]
                free += demand[b, j] * width[j, h]
    return apart


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _bend(b: int, scene: Scene, after: Standing, kinks: FloatArray) -> None:
    """Where the gaps begin to cost: the last of ``kinks[b] = 0``."""
    stored, _, waiting, _, on, _ = after[5:]
    least, most = scene.least, scene.most
    N, C = on.shape[1], waiting.shape[1]
    m = kinks.shape[1] - 3 * N - 4 * C
    for i in range(N):
        kinks[b, m + i], kinks[b, m + N + i] = -stored[b, i], stored[b, i]
        kinks[b, m + 2 * N + i] = -on[b, i]
    m += 3 * N
    for c in range(C):
        waits, at = waiting[b, c], m + 4 * c
        kinks[b, at], kinks[b, at + 1] = -waits, waits
        kinks[b, at + 2], kinks[b, at + 3] = waits - least[b, c], waits - most[b, c]


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
    judged: Judged,
) -> None:
    """Where ``given`` leads from ``before``: ``after``, and how that is ``judged``.

    To the last bit what the expert does, with as much on before, changes nothing, unless work waits
    that has to be done in time.
    """
    mu, terms, _ = rules
    expert, expert_on_before, gross, theirs = of_expert
    need, certain, (line, kinks, heights, sizes) = judged
    costs, emissions = before.cost, before.footprint
    totals, total_footprint, lefts, cost_after, footprint, _, _, waiting, waiting_error = after[:9]
    demand, waiting_late = scene.demand, worth.waiting_late
    B, K, R = footprint.shape
    N = given.on.shape[1]
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
        value = _hinges(b, given, on_before, demand, plant, kinks)
        rise = _rise(b, kinks, theirs, plant)
        apart = _apart(b, given, expert, on_before, expert_on_before, demand, plant)
        change = cost + energy + rise
        error += terms * _EPS * apart + (_TINY if apart > 0 else 0.0)
        line[b] = costs[b] + change + error - value
        cost_after[b] = _up(costs[b], change + error)
        for k in range(K):
            for r in range(R):
                step = emitted[0, k, r] + (emitted[1, k, r] + tiny)
                heights[b, k, r] = emissions[b, k, r] + step
                footprint[b, k, r] = _up(emissions[b, k, r], step)
        _gaps(b, given, expert, plant, terms, before, after)
        total = _up(cost_after[b] + _potential(b, scene, plant, worth, terms, after, extra), 0.0)
        totals[b] = left = total
        scale = abs(total)
        size += apart + abs(total)
        for k in range(K):
            top, most = -np.inf, 0.0
            for r in range(R):
                full = _up(footprint[b, k, r] + extra[k, r], 0.0)
                total_footprint[b, k, r] = full
                top = max(top, full - head[b, k, r])
                most = max(most, abs(full))
            left += mu[k] * top
            scale += mu[k] * abs(top)
            size += mu[k] * most
        lefts[b] = left + (K + 8) * _EPS * scale
        sizes[b] = size
        same = not moved
        for i in range(N):
            same &= on_before[b, i] == expert_on_before[b, i]
        for c in range(len(waiting_late)):  # the room for work that waits shrinks by itself
            waits = waiting[b, c] + waiting_error[b, c] > 0.0
            same &= not (waits and waiting_late[c] > 0.0)
        if same:
            _stay(b, before, after)
        _bend(b, scene, after, kinks)
        need[b] = lefts[b] + _reserve(b, worth, rules, after)
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
