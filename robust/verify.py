"""An independent check of a certificate, from the raw allocations.

This module shares no function with the layer. It recomputes both sides of the condition and of the
guarantee from the instance, the expert's allocations and the allocations played, as the definitions
read, in exact rational arithmetic: every float is a fraction. Where a whole batch is checked, one
pass in extended precision with a bound on its own rounding settles what it can, and only what it
cannot settle is recomputed exactly. A verdict therefore never depends on a tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from equiload.envs import DataError, Instance
from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.robust.certificate import Certificate

#: How far an allocation may miss its demand or capacity, relative to the slot's demand: floats
#: cannot add up exactly. The inequalities are checked without any tolerance.
FEASIBLE = 1e-9

#: Room in the declared bound before a slot counts as a breach of it.
BOUND_ROOM = Fraction(1, 10**9)


@dataclass(frozen=True, slots=True)
class Violation:
    """What does not hold, and where: ``problem`` in the batch, ``slot`` (−1: at the end)."""

    problem: tuple[int, ...]
    slot: int
    what: str
    left: float
    right: float

    def __str__(self) -> str:
        place = f"problem {self.problem}, " if self.problem else ""
        when = f"slot {self.slot}" if self.slot >= 0 else "the end of the episode"
        return f"{place}{when}: {self.what}: {self.left!r} > {self.right!r}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Verification:
    """What the check found.

    Parameters
    ----------
    episodes, slots
        How much was checked.
    violations
        What does not hold; empty where all does.
    breaches
        Slots that exceeded the declared footprint bound, as recomputed here.
    exact
        Episodes that were settled in rational arithmetic.
    smallest_slack
        The smallest ``(right − left) / scale`` of the condition over all slots, with ``scale`` what
        the expert has spent and emitted so far, plus ``B``.
    """

    episodes: int
    slots: int
    violations: tuple[Violation, ...]
    breaches: int
    exact: int
    smallest_slack: float

    @property
    def ok(self) -> bool:
        """Does everything hold?"""
        return not self.violations


def verify(
    certificate: Certificate,
    instance: Instance,
    allocations: FloatArray,
    *,
    exact: bool = False,
    spot_checks: int = 0,
) -> Verification:
    """Check a certificate against what was played.

    Checked: allocations and the expert's are feasible; in every slot the stated sides bound the
    exact ones and the condition holds; so does the guarantee at the end; α = 0 means the expert's
    allocation; every breach of the declared bound is reported.

    Parameters
    ----------
    certificate
        Of one episode or a batch.
    instance
        The problem, or the same batch.
    allocations
        ``[..., T, J, N]``, as played.
    exact
        Settle every episode in rational arithmetic (about 2 ms a slot of 10 × 10).
    spot_checks
        Settle at least the first so many episodes of a batch in rational arithmetic.
    """
    played = np.asarray(allocations, dtype=np.float64)
    if not certificate.expert.size:
        raise DataError("the layer kept no allocations of its expert: make it with keep_expert")
    if played.shape != certificate.expert.shape:
        raise DataError(
            f"the allocations have shape {played.shape}, "
            f"the certificate's {certificate.expert.shape}"
        )
    if played.shape[-3] > instance.horizon or played.shape[:-3] != instance.batch:
        raise DataError(
            f"the certificate covers {played.shape[:-2]} slots, "
            f"the instance {(*instance.batch, instance.horizon)}"
        )
    violations = _infeasible(instance, certificate.expert, "the expert's allocation")
    violations += _infeasible(instance, played, "the allocation")
    clear = np.zeros(instance.batch, dtype=bool)
    slack, breaches = np.inf, 0
    if not exact:
        clear, slack, breaches = _filter(certificate, instance, played, spot_checks)
    for problem in zip(*np.nonzero(~clear), strict=True) if instance.batch else [()]:
        if instance.batch or not clear:
            index = tuple(int(i) for i in problem)
            wrong, least, broken = _exact(certificate, instance, played, index)
            violations += wrong
            slack, breaches = min(slack, least), breaches + broken
    return Verification(
        episodes=int(clear.size),
        slots=int(clear.size) * played.shape[-3],
        violations=tuple(violations),
        breaches=breaches,
        exact=int((~clear).sum()),
        smallest_slack=float(slack),
    )


def _infeasible(instance: Instance, allocations: FloatArray, name: str) -> list[Violation]:
    steps = allocations.shape[-3]
    demand = instance.trace.demand[..., :steps, :]
    allowed = FEASIBLE * np.maximum(demand.sum(-1), 1e-300)
    reach = np.where(instance.fleet.reachable, 0.0, np.abs(allocations)).max((-1, -2))
    problems = {
        "is negative": -allocations.min((-1, -2)),
        "leaves the reach": reach,
        "misses the demand": np.abs(allocations.sum(-1) - demand).max(-1),
        "exceeds the capacity": (allocations.sum(-2) - instance.capacity[..., :steps, :]).max(-1),
    }
    return [
        Violation(
            tuple(int(i) for i in place[:-1]),
            int(place[-1]),
            f"{name} {what}",
            float(amount[tuple(place)]),
            float(allowed[tuple(place)]),
        )
        for what, amount in problems.items()
        for place in np.argwhere(~(amount <= allowed))
    ]


def _exact(
    certificate: Certificate, instance: Instance, played: FloatArray, index: tuple[int, ...]
) -> tuple[list[Violation], float, int]:
    """Check one episode in rational arithmetic: violations, smallest slack, breaches."""
    mu = [Fraction(float(m)) for m in instance.objective.mu]
    rho, allowance = Fraction(certificate.rho), Fraction(certificate.allowance)
    bound = _bound(certificate, instance, index)
    own, expert = _Totals(instance, index), _Totals(instance, index)
    violations: list[Violation] = []
    least, breaches = np.inf, 0

    def check(slot: int, what: str, left: Fraction, right: Fraction) -> None:
        if left > right:
            violations.append(Violation(index, slot, what, float(left), float(right)))

    right = allowance
    for t in range(played.shape[-3]):
        own.add(t, played[(*index, t)])
        expert.add(t, certificate.expert[(*index, t)])
        scale = expert.spent + sum(m * p for m, p in zip(mu, expert.peak, strict=True))
        left = own.cost - expert.cost
        for k, gaps in enumerate(_gaps(own, expert, bound, instance.horizon - 1 - t)):
            left += mu[k] * max(gaps)
        right = rho * scale + allowance
        stated_left = Fraction(float(certificate.left[(*index, t)]))
        stated_right = Fraction(float(certificate.right[(*index, t)]))
        check(t, "the condition does not hold", left, right)
        check(t, "the stated left side is too low", left, stated_left)
        check(t, "the stated right side is too high", stated_right, right)
        check(t, "the stated slack is negative", stated_left, stated_right)
        moved = not np.array_equal(played[(*index, t)], certificate.expert[(*index, t)])
        if moved and certificate.alpha[(*index, t)] == 0:
            check(t, "alpha is 0, yet the expert is not played", Fraction(1), Fraction(0))
        whole = scale + allowance
        least = min(least, float((right - left) / whole) if whole else 0.0)
        if bound is not None and expert.exceeds(bound):
            breaches += 1
            if not certificate.breach[(*index, t)]:
                check(t, "a breach of the bound is not reported", Fraction(1), Fraction(0))
    objective = own.cost + sum(m * p for m, p in zip(mu, own.peak, strict=True))
    benchmark = expert.cost + sum(m * p for m, p in zip(mu, expert.peak, strict=True))
    excess = Fraction(float(np.asarray(certificate.excess)[index]))
    allowed = Fraction(float(np.asarray(certificate.allowed)[index]))
    check(-1, "the stated excess is too low", objective - benchmark, excess)
    check(-1, "the stated allowance is too high", allowed, right)
    if certificate.complete:
        check(-1, "the guarantee does not hold", objective, benchmark + right)
        check(-1, "the stated guarantee does not hold", excess, allowed)
    return violations, least, breaches


class _Totals:
    """Exact running totals of one allocation after another: cost, footprints, what was spent."""

    def __init__(self, instance: Instance, index: tuple[int, ...]) -> None:
        self._instance, self._index = instance, index
        self.cost = self.spent = Fraction(0)
        kinds, regions = len(instance.trace.footprints), len(instance.fleet.regions)
        self.footprint = [[Fraction(0)] * regions for _ in range(kinds)]
        self.added = [[Fraction(0)] * regions for _ in range(kinds)]

    @property
    def peak(self) -> list[Fraction]:
        return [max(row) for row in self.footprint]

    def add(self, t: int, allocation: FloatArray) -> None:
        fleet, trace = self._instance.fleet, self._instance.trace
        slot = Fraction(0)
        self.added = [[Fraction(0)] * len(row) for row in self.footprint]
        for i in range(allocation.shape[1]):
            pue, region = Fraction(float(fleet.pue[i])), fleet.region_of[i]
            load = Fraction(0)
            for j in range(allocation.shape[0]):
                sent = Fraction(float(allocation[j, i]))
                load += sent
                if fleet.routing_cost is not None:
                    slot += Fraction(float(fleet.routing_cost[j, i])) * sent
            slot += Fraction(float(trace.price[(*self._index, t, i)])) * pue * load
            for k, row in enumerate(self.added):
                row[region] += (
                    Fraction(float(trace.intensity[(*self._index, k, t, i)])) * pue * load
                )
        for total, new in zip(self.footprint, self.added, strict=True):
            for r, value in enumerate(new):
                total[r] += value
        self.cost += slot
        self.spent += abs(slot)

    def exceeds(self, bound: list[list[Fraction]]) -> bool:
        return any(
            value > most * (1 + BOUND_ROOM)
            for row, limits in zip(self.added, bound, strict=True)
            for value, most in zip(row, limits, strict=True)
        )


def _bound(
    certificate: Certificate, instance: Instance, index: tuple[int, ...]
) -> list[list[Fraction]] | None:
    if certificate.footprint_bound is None:
        return None
    shape = (*instance.batch, len(instance.objective.mu), len(instance.fleet.regions))
    rows = np.broadcast_to(certificate.footprint_bound, shape)[index]
    return [[Fraction(float(value)) for value in row] for row in rows]


def _gaps(
    own: _Totals, expert: _Totals, bound: list[list[Fraction]] | None, slots_left: int
) -> list[list[Fraction]]:
    """What each region may still add to the excess, by kind: (★) or, with a bound, (★′)."""
    gaps = []
    for k, peak in enumerate(expert.peak):
        row = []
        for r, (ours, theirs) in enumerate(zip(own.footprint[k], expert.footprint[k], strict=True)):
            reach = peak - theirs
            if bound is not None:
                reach = min(reach, slots_left * bound[k][r])
            row.append(ours + reach - peak)
        gaps.append(row)
    return gaps


def _filter(
    certificate: Certificate, instance: Instance, played: FloatArray, spot_checks: int
) -> tuple[BoolArray, float, int]:
    """Which episodes are settled in extended precision, their smallest slack and breaches.

    An episode is settled only where everything holds by more than this function's own rounding.
    """
    sides = _sides(certificate, instance, played)
    stated = certificate
    moved = (played != stated.expert).any((-1, -2))
    slots = (sides.left <= stated.left) & (stated.left <= stated.right)
    slots &= (stated.right <= sides.right) & ~(moved & (stated.alpha == 0))
    slots &= ~(sides.breach & ~stated.breach)
    episodes = slots.all(-1)
    # Where the expert was followed throughout, the end is as exact as the slots were.
    followed = ~moved.any(-1)
    episodes &= np.where(followed, stated.excess >= 0, sides.end <= stated.excess)
    episodes &= (stated.excess <= stated.allowed) | (not stated.complete)
    episodes &= stated.allowed <= sides.right[..., -1]
    episodes = np.array(episodes)
    episodes.reshape(-1)[:spot_checks] = False
    slack = (sides.right - sides.left) / np.where(sides.scale > 0, sides.scale, 1)
    slack = np.where(sides.scale > 0, slack, 0)
    least = np.min(slack, axis=-1)[episodes].min(initial=np.inf)
    return episodes, max(float(least), 0.0), int((sides.breach & episodes[..., None]).sum())


class _Sides(NamedTuple):
    """Both sides of the condition, bounded in extended precision.

    ``left [..., T]`` from above, ``right`` from below, ``scale`` what the slack is measured by,
    ``breach`` the slots that are certain to exceed the declared bound, ``end [...]`` the excess at
    the end from above.
    """

    left: Array
    right: Array
    scale: Array
    breach: Array
    end: Array


def _sides(certificate: Certificate, instance: Instance, played: FloatArray) -> _Sides:
    mu = instance.objective.mu.astype(np.longdouble)
    unit = _rounding(instance, played.shape[-3])
    expert = certificate.expert.astype(np.longdouble)
    away, away_size = _series(instance, played.astype(np.longdouble) - expert)
    own, own_size = _series(instance, expert)
    cost, cost_size = np.cumsum(away[0], -1), np.cumsum(away_size[0], -1)
    footprint = np.cumsum(away[1], -2) + unit * np.cumsum(away_size[1], -2)
    reached = np.cumsum(own[1], -2)  # [..., K, T, R]
    peak = reached.max(-1)

    def weighed(values: Array) -> Array:
        total: Array = np.einsum("k,...kt->...t", mu, values)
        return total

    def left(head: Array) -> Array:
        """``[..., T]``: at least ``D + Σ_k μ_k max_r (Δ − h)`` for every ``h`` above ``head``."""
        most = (footprint - head).max(-1)
        size = cost_size + weighed(np.abs(most))
        total: Array = cost + weighed(most) + unit * size
        return total

    head, breach = _head(certificate, instance, own[1], reached, unit)
    due = np.cumsum(np.abs(own[0]), -1) + weighed(peak)
    due_size = np.cumsum(own_size[0], -1) + weighed(peak)
    rho, allowance = np.longdouble(certificate.rho), np.longdouble(certificate.allowance)
    size = np.where(rho * due_size > 0, rho * due_size + allowance, 0)
    sides = left(head)
    lag = np.maximum(peak[..., None] - reached - unit * (peak[..., None] + reached), 0)
    end = left(lag)[..., -1]
    if certificate.complete or certificate.footprint_bound is None:  # the condition bounds it too
        end = np.minimum(end, sides[..., -1])
    right = np.maximum(rho * due + allowance - unit * size, allowance)
    return _Sides(sides, right, due + allowance, breach, end)


def _rounding(instance: Instance, steps: int) -> np.longdouble:
    """Twice the rounding of all products and sums that any number of :func:`_sides` is made of."""
    J, N = instance.fleet.reachable.shape
    terms = J * N + N + J + 2 * steps + len(instance.objective.mu) + 20
    return np.longdouble(2 * terms * np.finfo(np.longdouble).eps)


def _head(
    certificate: Certificate,
    instance: Instance,
    added: Array,
    reached: Array,
    unit: np.longdouble,
) -> tuple[Array, BoolArray]:
    """Head-room ``[..., K, T, R]`` from below, and slots ``[..., T]`` beyond the declared bound."""
    steps = reached.shape[-2]
    if certificate.footprint_bound is None:
        return np.zeros_like(reached), np.zeros(certificate.left.shape, dtype=bool)
    bound = np.asarray(certificate.footprint_bound, dtype=np.longdouble)[..., :, None, :]
    left_over = (instance.horizon - 1 - np.arange(steps))[:, None] * bound
    peak = reached.max(-1, keepdims=True)
    # From below, and never under 0: too low a head-room only raises the left side.
    size = peak + reached + left_over
    head = np.maximum(peak - reached - left_over - unit * size, 0)
    limit = bound * (1 + np.longdouble(BOUND_ROOM.numerator) / BOUND_ROOM.denominator)
    return head, (added > limit * (1 - unit)).any((-1, -3))


def _series(
    instance: Instance, allocation: Array
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Cost ``[..., T]`` and footprint ``[..., K, T, R]`` per slot; the same of absolute terms."""
    fleet, trace, wide = instance.fleet, instance.trace, np.longdouble
    steps = allocation.shape[-3]
    price = trace.price[..., :steps, :].astype(wide) * fleet.pue
    rate = trace.intensity[..., :steps, :].astype(wide) * fleet.pue
    member = fleet.membership.astype(wide)
    sides = []
    for sent, paid in ((allocation, price), (np.abs(allocation), np.abs(price))):
        load = sent.sum(-2)
        cost = (paid * load).sum(-1)
        if fleet.routing_cost is not None:
            pair = fleet.routing_cost if paid is price else np.abs(fleet.routing_cost)
            cost = cost + (sent * pair).sum((-1, -2))
        sides.append((cost, (rate * load[..., None, :, :]) @ member))
    return sides[0], sides[1]
