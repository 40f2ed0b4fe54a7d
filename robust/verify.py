"""An independent check of a certificate, from the raw allocations.

This module shares no function with the layer. It recomputes both sides of the condition and of the
guarantee from the instance, the expert's allocations and the allocations played, as the definitions
read, in exact rational arithmetic: every float is a fraction. Where a whole batch is checked, one
pass in extended precision with a bound on its own rounding settles what it can, and only what it
cannot settle is recomputed exactly; with knobs (:mod:`~equiload.robust.verify_levels`) everything
is. A verdict therefore never depends on a tolerance. What is no certificate of this instance at all
(a shape, a type, a number that is none) is a violation as well.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from equiload.envs import Instance
from equiload.envs.knobs.operation import Operation
from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.envs.validation import LARGEST
from equiload.robust.certificate import Certificate, digest
from equiload.robust.verify_levels import verify_operated
from equiload.robust.violations import (
    BOUND_FLOOR,
    BOUND_ROOM,
    FEASIBLE,
    Verification,
    Violation,
    beyond,
    fractions,
)

_MOST = sys.float_info.max
#: Of each part: its axes, and the least and the most it may hold (truth values where both are so).
_PARTS: dict[str, tuple[str, float, float]] = {
    "allocations": ("BTJN", -LARGEST, LARGEST),
    "expert": ("BTJN", -LARGEST, LARGEST),
    "left": ("BT", -_MOST, _MOST),
    "right": ("BT", -_MOST, _MOST),
    "alpha": ("BT", 0.0, 1.0),
    "refused": ("BT", False, True),
    "breach": ("BT", False, True),
    "excess": ("B", -_MOST, _MOST),
    "allowed": ("B", -_MOST, _MOST),
    "rho": ("", 0.0, LARGEST),
    "allowance": ("", 0.0, LARGEST),
    "complete": ("", False, True),
    "footprint_bound": ("BKR", 0.0, _MOST),
}


def verify(
    certificate: Certificate,
    instance: Instance,
    allocations: FloatArray,
    operation: Operation | None = None,
    *,
    exact: bool = False,
    spot_checks: int = 0,
) -> Verification:
    """Check a certificate against what was played.

    Checked: every part has the instance's shape, its type, and finite numbers; allocations and the
    expert's are feasible, and the digest is the expert's; in every slot the stated sides bound the
    exact ones and the condition holds; so does the guarantee at the end; it is complete when the
    instance has ended; α lies in [0, 1] and is 0 where advice was refused, and 0 means the expert's
    allocation; every breach of the declared bound is reported, and nothing else as one. Whatever
    fails is a violation; nothing raises.

    Parameters
    ----------
    certificate
        Of one episode or a batch.
    instance
        The problem, or the same batch.
    allocations
        ``[..., T, J, N]``, as played.
    operation
        What else was done, on a fleet with knobs.
    exact
        Settle every episode in rational arithmetic (about 2 ms a slot of 10 × 10); on a fleet with
        knobs every one is.
    spot_checks
        Settle at least the first so many episodes of a batch in rational arithmetic.

    Examples
    --------
    >>> from equiload.agents import EGLB, GLBCost
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> from equiload.robust import RobustPolicy
    >>> policy, instance = RobustPolicy(GLBCost(), EGLB(), rho=0.05), synthetic(0, horizon=24)
    >>> outcome = rollout(policy, instance, keep=True)
    >>> verify(policy.certificate(), instance, outcome.allocation, exact=True).ok
    True
    """
    if instance.knobs:
        return verify_operated(certificate, instance, allocations, operation)
    parts, violations = _parts(certificate, instance, allocations)
    if violations:
        return Verification(violations=tuple(violations))
    played = parts.pop("allocations")
    certificate = replace(certificate, **parts)
    violations = _inconsistent(certificate, instance, played)
    # From here on it is the instance that says whether the episode has ended.
    certificate = replace(certificate, complete=played.shape[-3] == instance.horizon)
    violations += _infeasible(instance, certificate.expert, "the expert's allocation")
    violations += _infeasible(instance, played, "the allocation")
    clear = np.zeros(instance.batch, dtype=bool)
    slack, breaches = np.inf, 0
    if not exact:
        clear, slack = _filter(certificate, instance, played, spot_checks)
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


def _parts(
    certificate: Certificate, instance: Instance, allocations: object
) -> tuple[dict[str, Any], list[Violation]]:
    """Allocations and certificate as plain arrays and numbers, or the first misfit of each part."""
    given = {**vars(certificate), "allocations": allocations}
    played = _array(allocations).shape
    steps = min(max(played[-3], 1), instance.horizon) if len(played) > 2 else instance.horizon
    sizes = (steps, *instance.fleet.reachable.shape, *_shape(instance)[-2:])
    parts: dict[str, Any] = {}
    violations = []
    for name, (axes, least, most) in _PARTS.items():
        shape = tuple(sizes["TJNKR".index(axis)] for axis in axes.strip("B"))
        shape = (*instance.batch, *shape) if "B" in axes else shape
        array, bound = _array(given[name]), name == "footprint_bound"
        if bound and given[name] is None:
            continue
        with suppress(ValueError):
            array = np.broadcast_to(array, shape) if bound else array
        kinds, dtype = ("b", np.bool_) if most is True else ("fiu", np.float64)
        what = f"{name} is {array.dtype} {array.shape}, expected {dtype.__name__} {shape}"
        if array.dtype.kind in kinds and np.can_cast(array.dtype, dtype) and array.shape == shape:
            array = array.astype(dtype)
            parts[name] = array[()]
            wrong = np.argwhere(~((array >= least) & (array <= most)))[:1].tolist()
            if not wrong:
                continue
            what = f"{name}{wrong[0]} is {array[tuple(wrong[0])]}, expected {least:g} to {most:g}"
        elif name == "expert" and not array.size:
            what += ": make the layer with keep_expert"
        violations.append(Violation((), -1, what))
    return parts, violations


def _array(values: object) -> Array:
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        return np.empty(0, dtype=np.object_)


def _inconsistent(
    certificate: Certificate, instance: Instance, played: FloatArray
) -> list[Violation]:
    """Where parts of the certificate contradict each other, the horizon or what was played."""
    steps, alpha = played.shape[-3], certificate.alpha
    moved = np.abs(played - certificate.expert).max((-1, -2))
    amounts = {
        "refused, yet alpha is above 0": np.where(certificate.refused, alpha, 0.0),
        "alpha is 0, yet the expert is not played": np.where(alpha == 0, moved, 0.0),
    }
    violations = beyond(amounts, np.zeros_like(alpha))
    if certificate.complete != (steps == instance.horizon):
        what = f"complete is {certificate.complete}, with {steps} of {instance.horizon} slots"
        violations.append(Violation((), -1, what))
    if str(certificate.digest) != digest(np.moveaxis(certificate.expert, -3, 0)):
        violations.append(Violation((), -1, "the digest is not that of the expert's allocations"))
    return violations


def _infeasible(instance: Instance, allocations: FloatArray, name: str) -> list[Violation]:
    steps = allocations.shape[-3]
    demand = instance.trace.demand[..., :steps, :]
    allowed = FEASIBLE * np.maximum(demand.sum(-1), 1e-300)
    reach = np.where(instance.fleet.reachable, 0.0, np.abs(allocations)).max((-1, -2))
    over = allocations.sum(-2) - instance.capacity[..., :steps, :]
    amounts = {
        f"{name} is negative": -allocations.min((-1, -2)),
        f"{name} leaves the reach": reach,
        f"{name} misses the demand": np.abs(allocations.sum(-1) - demand).max(-1),
        f"{name} exceeds the capacity": over.max(-1),
    }
    return beyond(amounts, allowed)


def _exact(
    certificate: Certificate, instance: Instance, played: FloatArray, index: tuple[int, ...]
) -> tuple[list[Violation], float, int]:
    """Check one episode in rational arithmetic: violations, smallest slack, breaches."""
    mu = fractions(instance.objective.mu)
    rho, allowance = Fraction(certificate.rho), Fraction(certificate.allowance)
    bound = None
    if certificate.footprint_bound is not None:
        bound = fractions(certificate.footprint_bound[index])
    layer, expert = _Totals(instance, index), _Totals(instance, index)
    violations: list[Violation] = []
    least, breaches = np.inf, 0

    def check(slot: int, what: str, left: Fraction, right: Fraction) -> None:
        if left > right:
            violations.append(Violation(index, slot, what, float(left), float(right)))

    right = allowance
    for t in range(played.shape[-3]):
        at = (*index, t)
        layer.add(t, played[at])
        expert.add(t, certificate.expert[at])
        scale = expert.gross + mu @ expert.peak
        # What each region may still add to the excess: (★) or, with a bound, (★′).
        reach = expert.peak[:, None] - expert.footprint
        if bound is not None:
            reach = np.minimum(reach, (instance.horizon - 1 - t) * bound)
        gaps = layer.footprint + reach - expert.peak[:, None]
        left = layer.cost - expert.cost + mu @ gaps.max(-1)
        right = rho * scale + allowance
        stated_left, stated_right = fractions((certificate.left[at], certificate.right[at]))
        check(t, "the condition does not hold", left, right)
        check(t, "the stated left side is too low", left, stated_left)
        check(t, "the stated right side is too high", stated_right, right)
        check(t, "the stated slack is negative", stated_left, stated_right)
        whole = scale + allowance
        slack = (right - left) / whole if whole else Fraction(0)
        least = min(least, float(min(max(slack, Fraction(-_MOST)), Fraction(_MOST))))
        broken = bound is not None and (expert.added > bound * (1 + BOUND_ROOM) + BOUND_FLOOR).any()
        breaches += int(broken)
        if certificate.breach[at]:
            full = expert.regional(t, fractions(instance.capacity[at]))
            if bound is None or (np.maximum(expert.added, full) <= bound).all():
                violations.append(Violation(index, t, "a breach of the bound is reported for none"))
        elif broken:
            violations.append(Violation(index, t, "a breach of the bound is not reported"))
    objective, benchmark = (total.cost + mu @ total.peak for total in (layer, expert))
    excess, allowed = fractions((certificate.excess[index], certificate.allowed[index]))
    check(-1, "the stated excess is too low", objective - benchmark, excess)
    check(-1, "the stated allowance is too high", allowed, right)
    if certificate.complete:
        check(-1, "the guarantee does not hold", objective, benchmark + right)
        check(-1, "the stated guarantee does not hold", excess, allowed)
    return violations, least, breaches


class _Totals:
    """Exact running totals of one allocation after another.

    ``cost`` and ``gross`` (each slot's cost taken positive) in US$, ``footprint [K, R]``, what the
    last slot ``added [K, R]`` to it, and its ``peak [K]`` over regions.
    """

    def __init__(self, instance: Instance, index: tuple[int, ...]) -> None:
        self._fleet = instance.fleet
        self._trace = instance.trace[index] if index else instance.trace
        self._pue = fractions(self._fleet.pue)
        self.cost = self.gross = Fraction(0)
        self.footprint = self.added = fractions(np.zeros(_shape(instance)[-2:]))
        self.peak = self.footprint.max(-1)

    def add(self, t: int, allocation: FloatArray) -> None:
        """Play ``allocation [J, N]`` in slot ``t``."""
        sent = fractions(allocation)
        load = sent.sum(0)
        cost = fractions(self._trace.price[t]) @ (self._pue * load)
        if self._fleet.routing_cost is not None:
            cost += (fractions(self._fleet.routing_cost) * sent).sum()
        self.added = self.regional(t, load)
        self.footprint = self.footprint + self.added
        self.cost += cost
        self.gross += abs(cost)
        self.peak = self.footprint.max(-1)

    def regional(self, t: int, load: Array) -> Array:
        """Footprint ``[K, R]`` of ``load [N]`` in slot ``t``."""
        added = np.zeros_like(self.footprint)
        by_datacenter = fractions(self._trace.intensity[:, t]) * self._pue * load
        np.add.at(added.T, self._fleet.region_of, by_datacenter.T)
        return added


def _shape(instance: Instance) -> tuple[int, ...]:
    return (*instance.batch, len(instance.objective.mu), len(instance.fleet.regions))


def _filter(
    certificate: Certificate, instance: Instance, played: FloatArray, spot_checks: int
) -> tuple[BoolArray, float]:
    """Which episodes are settled in extended precision, and their smallest slack.

    An episode is settled only where everything holds by more than this function's own rounding, and
    no breach of the bound is possible.
    """
    sides = _sides(certificate, instance, played)
    stated = certificate
    moved = (played != stated.expert).any((-1, -2))
    slots = (sides.left <= stated.left) & (stated.left <= stated.right)
    slots &= (stated.right <= sides.right) & ~(sides.breach | stated.breach)
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
    return episodes, max(float(least), 0.0)


class _Sides(NamedTuple):
    """Both sides of the condition, bounded in extended precision.

    ``left [..., T]`` from above, ``right`` from below, ``scale`` what the slack is measured by,
    ``breach`` the slots that may exceed the declared bound, ``end [...]`` the excess at the end
    from above.
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
    limit = bound * (1 + np.longdouble(float(BOUND_ROOM))) + np.longdouble(float(BOUND_FLOOR))
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
