"""Certificates tampered with: each is caught, or still true by rational arithmetic written anew.

``python tests/robust/test_tampering.py 100000`` tries so many, and prints what became of them.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from equiload.agents import EGLB, GLBCost
from equiload.envs import InfeasibleError, Instance, SolverError, rollout
from equiload.experiments.hostile.campaign import Adversary
from equiload.robust import Certificate, FixedMethod, RobustPolicy, verify
from equiload.robust.certificate import digest
from equiload.testing.problems import random_problems

NAMES = [field.name for field in fields(Certificate)]
ROOM = Fraction(1e-9)
Case = tuple[Certificate, Instance, np.ndarray]


def is_array(value: object, shape: tuple[int, ...], kinds: str) -> bool:
    """Is it an array (or a number) of that shape, of plain finite numbers or of truth values?"""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return False
    if array.shape != shape or array.dtype.kind not in kinds or array.dtype.itemsize > 8:
        return False
    return bool(np.isfinite(array).all())


def well_formed(certificate: Certificate, instance: Instance, played: Any) -> bool:
    batch, mu, fleet = instance.batch, instance.objective.mu, instance.fleet
    pairs = fleet.reachable.shape
    horizons = range(1, instance.horizon + 1)
    steps = next((t for t in horizons if is_array(played, (*batch, t, *pairs), "fiu")), 0)
    if not 1 <= steps <= instance.horizon:
        return False
    slots = (*batch, steps)
    shapes = dict.fromkeys(["left", "right", "alpha"], slots) | {
        "expert": (*slots, *pairs), "excess": batch, "allowed": batch, "rho": (), "allowance": (),
    }  # fmt: skip
    good = all(is_array(getattr(certificate, name), s, "fiu") for name, s in shapes.items())
    for name, shape in (("refused", slots), ("breach", slots), ("complete", ())):
        good = good and is_array(getattr(certificate, name), shape, "b")
    bound = certificate.footprint_bound
    if good and bound is not None:
        try:
            bound = np.broadcast_to(bound, (*batch, len(mu), len(fleet.regions)))
        except (TypeError, ValueError):
            return False
        good = is_array(bound, bound.shape, "fiu") and bool((bound >= 0).all())
    if not good or isinstance(certificate.digest, bytes):
        return False
    in_range = all(0 <= getattr(certificate, name) <= 1e50 for name in ("rho", "allowance"))
    loads = np.float64(played), np.float64(certificate.expert)
    return in_range and all(np.abs(load).max() <= 1e50 for load in loads)


def still_true(certificate: Certificate, instance: Instance, played: Any) -> bool:
    """Is all that the certificate says of the episodes true? Loops over fractions alone."""
    if not well_formed(certificate, instance, played):
        return False
    steps = certificate.left.shape[-1]
    whole = steps == instance.horizon
    if bool(certificate.complete) != whole:
        return False
    if certificate.digest != digest(np.moveaxis(np.float64(certificate.expert), -3, 0)):
        return False
    return all(
        true_of_episode(certificate, instance, np.float64(played), index, steps, whole)
        for index in np.ndindex(instance.batch)
    )


def feasible(instance: Instance, allocation: list, index: tuple, t: int) -> bool:
    demand = [Fraction(x) for x in instance.trace.demand[(*index, t)]]
    capacity = [Fraction(x) for x in instance.capacity[(*index, t)]]
    room = ROOM * max(sum(demand), Fraction(1e-300))
    reach = instance.fleet.reachable
    for j, row in enumerate(allocation):
        if abs(sum(row) - demand[j]) > room or min(row) < -room:
            return False
        if any(abs(x) > room and not reach[j, i] for i, x in enumerate(row)):
            return False
    return all(sum(column) - capacity[i] <= room for i, column in enumerate(zip(*allocation)))  # noqa: B905


def true_of_episode(
    c: Certificate, instance: Instance, played: Any, index: tuple, steps: int, whole: bool
) -> bool:
    fleet, trace = instance.fleet, instance.trace
    mu = [Fraction(x) for x in instance.objective.mu]
    K, R, N = len(mu), len(fleet.regions), len(fleet.datacenters)
    pue = [Fraction(x) for x in fleet.pue]
    rho, extra = Fraction(float(c.rho)), Fraction(float(c.allowance))
    bound = None
    if c.footprint_bound is not None:
        full = np.broadcast_to(c.footprint_bound, (*instance.batch, K, R))[index]
        bound = [[Fraction(float(x)) for x in row] for row in full]
    sums = {who: [Fraction(0), [[Fraction(0)] * R for _ in range(K)]] for who in "ye"}
    gross = Fraction(0)

    def by_region(load: list, t: int) -> list:
        added = [[Fraction(0)] * R for _ in range(K)]
        for k in range(K):
            for i in range(N):
                rate = Fraction(trace.intensity[(*index, k, t, i)]) * pue[i]
                added[k][fleet.region_of[i]] += rate * load[i]
        return added

    for t in range(steps):
        at = (*index, t)
        alpha, refused = c.alpha[at], c.refused[at]
        if not 0 <= alpha <= 1 or (refused and alpha != 0):
            return False
        if alpha == 0 and (played[at] != c.expert[at]).any():
            return False
        for who, given in (("y", played[at]), ("e", c.expert[at])):
            sent = [[Fraction(float(x)) for x in row] for row in given]
            if not feasible(instance, sent, index, t):
                return False
            load = [sum(row[i] for row in sent) for i in range(N)]
            cost = sum(Fraction(trace.price[(*at, i)]) * pue[i] * load[i] for i in range(N))
            if fleet.routing_cost is not None:
                for j, row in enumerate(sent):
                    cost += sum(Fraction(fleet.routing_cost[j, i]) * x for i, x in enumerate(row))
            added = by_region(load, t)
            sums[who][0] += cost
            for k in range(K):
                for r in range(R):
                    sums[who][1][k][r] += added[k][r]
        gross += abs(cost)  # the expert's: it came last
        (paid, prints), (cost_e, print_e) = sums["y"], sums["e"]
        peaks = [max(row) for row in print_e]
        right = rho * (gross + sum(m * p for m, p in zip(mu, peaks, strict=True))) + extra
        left = paid - cost_e
        for k in range(K):
            terms = []
            for r in range(R):
                head = Fraction(0)
                if bound is not None:
                    remaining = (instance.horizon - 1 - t) * bound[k][r]
                    head = max(head, peaks[k] - print_e[k][r] - remaining)
                terms.append(prints[k][r] - print_e[k][r] - head)
            left += mu[k] * max(terms)
        stated = Fraction(float(c.left[at])), Fraction(float(c.right[at]))
        if not left <= stated[0] <= stated[1] <= right:
            return False
        broken = able = False
        if bound is not None:
            possible = by_region([Fraction(x) for x in instance.capacity[at]], t)
            for k in range(K):
                for r in range(R):
                    limit = bound[k][r]
                    broken |= added[k][r] > limit * (1 + Fraction(1, 10**9)) + Fraction(1e-279)
                    able |= max(added[k][r], possible[k][r]) > limit
        if (broken and not c.breach[at]) or (c.breach[at] and not able):
            return False
    excess = paid - cost_e + sum(m * (max(prints[k]) - peaks[k]) for k, m in enumerate(mu))
    stated = (
        Fraction(float(np.asarray(c.excess)[index])),
        Fraction(float(np.asarray(c.allowed)[index])),
    )
    if excess > stated[0] or stated[1] > right:
        return False
    return not whole or stated[0] <= stated[1]


def bases(rng: np.random.Generator) -> Iterator[Case]:
    """Endless certificates: one episode or three, any method and size, with and without a bound."""
    while True:
        instance = random_problems(rng, 3, wide=bool(rng.integers(2)))
        instance = instance if rng.random() < 0.3 else instance[0]
        drawn = instance.fleet.pue * instance.capacity[..., None, :, :]
        most = (instance.trace.intensity * drawn @ instance.fleet.membership).max(-2)
        methods = ["blend", "blend", "project", "switch", FixedMethod(0.5)]
        make = [EGLB, GLBCost][rng.integers(2)]
        policy = RobustPolicy(
            Adversary(make(), int(rng.integers(99))),
            make(),
            rho=float(rng.choice([0.0, 0.01, 0.3])),
            allowance=float(rng.choice([0.0, 1.0])),
            method=methods[rng.integers(5)],
            footprint_bound=[None, most, 0.5 * most][rng.integers(3)],
        )
        try:
            played = rollout(policy, instance, keep=True).allocation
        except (SolverError, InfeasibleError):  # costs too far apart to dispatch at
            continue
        yield policy.certificate(), instance, played


def number(rng: np.random.Generator, old: float) -> float:
    """Another number in place of ``old``: by a bit, by a share, by an amount, or nonsense."""
    small = 10.0 ** -rng.integers(1, 18)
    sign = rng.choice([-1.0, 1.0])
    near = [np.nextafter(old, sign * np.inf), old * (1 + sign * small), old + sign * small, -old]
    odd = [np.nan, np.inf, -np.inf, 0.0, 1.0, 7.0, -1e9, 1e308, 5e-324, old + sign * 10.0**9]
    return float(rng.choice(near if rng.random() < 0.6 else odd))


def value(rng: np.random.Generator, old: Any) -> Any:
    """Something else in place of a part."""
    if isinstance(old, str):
        return (
            rng.choice([old[:-1], old[::-1], old.upper() + " ", ""]) if rng.random() < 0.8 else None
        )
    if isinstance(old, bool):
        return [not old, int(not old), None, np.array([old])][rng.integers(4)]
    if isinstance(old, float):
        other = [number(rng, old), number(rng, old), str(old), None, np.array([old]), old + 1e-3]
        return other[rng.integers(6)]
    if old is None:
        return [np.array(number(rng, 1.0)), np.zeros(()), "none", np.ones((7, 7, 7))][
            rng.integers(4)
        ]
    new = old.copy()
    way = rng.integers(10)
    if way == 0:  # shapes
        shapes = [new[None], new[..., None], None, [[1.0], []], {}]
        if new.ndim:
            shapes += [new[..., :0], new[:-1], new.T, np.concatenate([new, new], -1)]
        return shapes[rng.integers(len(shapes))]
    if way == 1:  # types
        types = ["U8", object, complex, np.longdouble, bool, np.int64, np.float32, "O"]
        with np.errstate(all="ignore"):
            return new.astype(types[rng.integers(len(types))])
    if way == 2 and new.ndim:  # order
        return new[rng.permutation(len(new))] if rng.random() < 0.5 else new[..., ::-1]
    if old.dtype == bool:
        new[tuple(rng.integers(n) for n in new.shape)] ^= True
        return new if way < 8 else np.full_like(new, way == 8)
    if way == 3:
        with np.errstate(all="ignore"):
            return new * number(rng, 1.0) if rng.random() < 0.5 else new + number(rng, 0.0)
    place = tuple(rng.integers(n) for n in new.shape)
    if way < 7 and new.ndim > 2 and new.shape[-1] > 1:  # load goes elsewhere; demand is served
        other = (*place[:-1], (place[-1] + 1) % new.shape[-1])
        amount = new[place] * 10.0 ** -rng.integers(0, 17)
        new[place] -= amount
        new[other] += amount
        return new
    new[place] = number(rng, float(new[place]))
    return new


def tampered(rng: np.random.Generator, case: Case) -> tuple[str, Case]:
    """The case with something changed, and what."""
    certificate, instance, played = case
    name = str(rng.choice([*NAMES, "allocations", "expert", "forged", "shorter", "instance"]))
    if name == "allocations":
        return name, (certificate, instance, value(rng, played))
    if name == "forged":  # an expert with a digest of its own
        expert = value(rng, certificate.expert)
        new = certificate.digest
        if isinstance(expert, np.ndarray) and expert.dtype.kind == "f" and expert.ndim > 2:
            new = digest(np.moveaxis(np.float64(expert), -3, 0))
        return name, (replace(certificate, expert=expert, digest=new), instance, played)
    if name == "shorter":  # the first slots alone, with or without saying so
        steps = int(rng.integers(0, instance.horizon + 1))
        parts = {n: getattr(certificate, n)[..., :steps] for n in
                 ("left", "right", "alpha", "refused", "breach")}  # fmt: skip
        parts["expert"] = certificate.expert[..., :steps, :, :]
        parts["complete"] = bool(rng.integers(2))
        parts["digest"] = digest(np.moveaxis(parts["expert"], -3, 0))
        if steps and rng.random() < 0.7:
            parts |= {"excess": parts["left"][..., -1], "allowed": parts["right"][..., -1]}
        return name, (replace(certificate, **parts), instance, played[..., :steps, :, :])
    if name == "instance":
        trace = instance.trace
        other = [
            instance.replace(trace=replace(trace, price=trace.price[..., ::-1])),
            instance.replace(trace=replace(trace, intensity=trace.intensity[..., ::-1])),
            instance.replace(fleet=instance.fleet.replace(pue=instance.fleet.pue * 1.25)),
        ][rng.integers(3)]
        return name, (certificate, other, played)
    return name, (replace(certificate, **{name: value(rng, getattr(certificate, name))}), instance,
                  played)  # fmt: skip


def try_out(count: int, seed: int) -> Counter[tuple[str, str]]:
    """Tamper so often; counts by what was tampered with, and ``caught`` or ``true``."""
    rng = np.random.default_rng(seed)
    counts: Counter[tuple[str, str]] = Counter()
    for base in bases(rng):
        genuine = verify(*base).ok
        assert genuine == still_true(*base) == bool(base[0].holds.all())
        for _ in range(40):
            name, case = tampered(rng, base)
            quick, exact = (verify(*case, exact=e) for e in (False, True))
            verdicts = (quick.ok, exact.ok, still_true(*case))
            assert len(set(verdicts)) == 1, (name, verdicts, [*map(str, exact.violations)], case)
            assert quick.ok or all(str(violation).isprintable() for violation in quick.violations)
            counts[name, "true" if quick.ok else "caught"] += 1
            if counts.total() == count:
                return counts
    raise AssertionError


@pytest.mark.parametrize("seed", range(2))
def test_what_is_tampered_with_is_caught_or_still_true(seed: int) -> None:
    counts = try_out(500, seed)
    for name in (*NAMES, "allocations", "forged", "shorter", "instance"):
        assert counts[name, "caught"] > 0
    assert sum(n for (_, verdict), n in counts.items() if verdict == "true") > 10


if __name__ == "__main__":
    found = try_out(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    for name in sorted({name for name, _ in found}):
        print(f"{name}: {found[name, 'caught']} caught, {found[name, 'true']} still true")
    print(f"{found.total()} tamperings, none taken for true that is not, none the other way round")
