"""The check of a certificate where the past counts: every level, cost and potential anew.

It shares no function with the layer. From the raw decisions it recomputes what is stored, waits and
is on, of the layer and of the expert; whether each decision was possible; what both cost and emit;
the potentials; both sides of the condition, and the guarantee. All that is compared is exact
(:mod:`~equiload.robust.verify_numbers`), of every episode, many of them at a time; only whether a
decision was possible, which has a tolerance anyway, is told in floats.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from equiload.envs import Instance
from equiload.envs.knobs.operation import Operation
from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.envs.validation import LARGEST
from equiload.robust.bounds import Bounds
from equiload.robust.certificate import Certificate, digest_of
from equiload.robust.verify_numbers import Exact
from equiload.robust.verify_physics import Decisions, Physics, Taken, impossible
from equiload.robust.verify_spare import SpareCheck
from equiload.robust.violations import (
    BOUND_FLOOR,
    BOUND_ROOM,
    Verification,
    Violation,
    fractions,
)

#: What a part may hold at most: a product of two numbers of an instance.
_MOST = LARGEST**2


def verify_operated(
    certificate: Certificate, instance: Instance, allocations: object, operation: object
) -> Verification:
    """See :func:`~equiload.robust.verify`."""
    violations = _misfits(certificate, instance, np.asarray(allocations), operation)
    if violations:
        return Verification(violations=tuple(violations))
    played = _decisions(instance, allocations, operation)
    expert = _decisions(instance, certificate.expert, certificate.operation)
    if str(certificate.digest) != digest_of(certificate.expert, certificate.operation):
        violations.append(Violation((), -1, "the digest is not that of the expert's decisions"))
    violations += impossible(instance, played, "")
    violations += impossible(instance, expert, "the expert: ")
    check = _Check(certificate, instance)
    check.run(played, expert)
    violations += sorted(check.violations, key=lambda violation: violation.problem)
    return Verification(
        episodes=check.least.size,
        slots=check.least.size * played["allocation"].shape[-3],
        violations=tuple(violations),
        breaches=check.breaches,
        exact=check.least.size,
        smallest_slack=float(check.least.min(initial=np.inf)),
    )


def _decisions(instance: Instance, allocations: Any, operation: Any) -> dict[str, FloatArray]:
    """All that the fleet lets decide, with time after a batch: ``allocation [..., T, J, N]``, say.

    What it has no part for is not done: who says to have saved demand without models has not.
    """
    parts = {"allocation": allocations} | {n: getattr(operation, n) for n in _axes(instance)}
    return {n: np.asarray(a, dtype=np.float64) for n, a in parts.items()}


def _misfits(
    certificate: Certificate, instance: Instance, allocations: Array, operation: object
) -> list[Violation]:
    """What has another shape, or holds what no decision or certificate can."""
    if not isinstance(operation, Operation) or not isinstance(certificate.operation, Operation):
        return [Violation((), -1, "the fleet has knobs: what was done with them must be given")]
    if not isinstance(certificate.bounds, Bounds):
        return [Violation((), -1, "the fleet has knobs: the certificate must have bounds")]
    training, (J, N) = instance.fleet.training, instance.fleet.reachable.shape
    steps = allocations.shape[-3] if allocations.ndim > 2 else 0
    sizes = {"T": min(max(steps, 1), instance.horizon), "J": J, "N": N}
    sizes |= {"C": 0 if training is None else len(training.classes), "X": 3}
    given: dict[str, tuple[Any, str]] = {
        name: (getattr(certificate, name), "T")
        for name in ("left", "right", "alpha", "refused", "breach")
    }
    given |= {name: (getattr(certificate, name), "") for name in ("excess", "allowed")}
    if certificate.reserved is not None:
        given["reserved"] = (certificate.reserved, "TX")
    for who, record, sent in (
        ("", operation, allocations),
        ("the expert's ", certificate.operation, certificate.expert),
    ):
        given[f"{who}allocation"] = (sent, "TJN")
        given |= {f"{who}{n}": (getattr(record, n), "T" + a) for n, a in _axes(instance).items()}
    violations = _promises(certificate, certificate.bounds, instance)
    for name, (values, letters) in given.items():
        shape = (*instance.batch, *(sizes[letter] for letter in letters))
        array = np.asarray(np.nan if values is None else values)
        if array.shape != shape or array.dtype.kind not in "biuf":
            what = f"{name} is {array.dtype} {array.shape}, expected {shape}"
            violations.append(Violation((), -1, what))
        elif not (np.isfinite(array) & (np.abs(array) <= _MOST)).all():
            violations.append(Violation((), -1, f"{name} holds what is no number, or too large"))
    return violations


def _promises(certificate: Certificate, bounds: Bounds, instance: Instance) -> list[Violation]:
    """What is no ρ, no allowance and no bound of this fleet."""
    violations = []
    for name in ("rho", "allowance"):
        value = np.asarray(getattr(certificate, name))
        if value.shape or value.dtype.kind not in "iuf" or not 0 <= value <= LARGEST:
            violations.append(Violation((), -1, f"{name} is {value}, expected 0 to {LARGEST:g}"))
    fleet, K = instance.fleet, len(instance.objective.mu)
    N, R = len(fleet.datacenters), len(fleet.regions)
    given: dict[str, tuple[Any, tuple[int, ...]]] = {
        "bounds.price": (bounds.price, (N,)),
        "bounds.negative": (bounds.negative, (N,)),
        "bounds.intensity": (bounds.intensity, (K, N)),
    }
    if fleet.training is not None:
        classes = len(fleet.training.classes)
        given["bounds.work"] = (bounds.work, (classes,))
        if bounds.spare is not None:
            given["bounds.spare"] = (bounds.spare, (classes, N))
            if instance.trace.onsite_intensity is not None:
                given["bounds.onsite"] = (bounds.onsite, (K, N))
    elif bounds.spare is not None:
        violations.append(Violation((), -1, "bounds.spare is for no training work"))
    if certificate.footprint_bound is not None:
        given["footprint_bound"] = (certificate.footprint_bound, (*instance.batch, K, R))
    for name, (values, shape) in given.items():
        array = np.asarray(np.nan if values is None else values)
        fits = array.ndim <= len(shape) and all(
            have in (1, wanted)
            for have, wanted in zip(array.shape[::-1], shape[::-1], strict=False)
        )
        if not fits:
            violations.append(Violation((), -1, f"{name} is {array.shape}, expected {shape}"))
        elif array.dtype.kind not in "iuf" or not (np.isfinite(array) & (array >= 0)).all():
            violations.append(Violation((), -1, f"{name} holds what is no number of at least 0"))
    return violations


def _axes(instance: Instance) -> dict[str, str]:
    """Axes of each part that there must be, beside those of time."""
    fleet, trace = instance.fleet, instance.trace
    parts: list[tuple[object, dict[str, str]]] = [
        (fleet.training, {"work": "CN", "late": "C"}),
        (fleet.models, {"saved": "J"}),
        (fleet.servers, {"on": "N"}),
        (fleet.storage, {"charge": "N", "discharge": "N"}),
        (trace.generation, {"generation": "N"}),
    ]
    return {n: a for part, axes in parts if part is not None for n, a in axes.items()}


class _Check:
    """Both sides of the condition, slot by slot; everything ``[...]`` with the axes of a batch.

    It collects ``violations``, counts ``breaches`` and keeps the ``least`` relative slack.
    """

    def __init__(self, certificate: Certificate, instance: Instance) -> None:
        kinds = {"refused": np.bool_, "breach": np.bool_}
        names = ("left", "right", "alpha", "excess", "allowed", *kinds)
        stated: dict[str, Any] = {
            n: np.asarray(getattr(certificate, n), kinds.get(n, np.float64)) for n in names
        }
        self.stated = replace(certificate, **stated)
        self.physics = Physics(instance)
        self.rho, self.allowance = (Exact.of(x) for x in (certificate.rho, certificate.allowance))
        zero, none, nothing = self.physics.zero, self.physics.none, self.physics.arrived[0]
        shape = (*instance.batch, len(instance.objective.mu), len(instance.fleet.regions))
        footprints, self.bound = Exact.of(np.zeros(shape)), None
        if certificate.footprint_bound is not None:
            self.bound = Exact.of(np.broadcast_to(certificate.footprint_bound, shape))
        # What the layer is ahead of the expert: US$, footprints, MWh stored and waiting.
        self.cost, self.footprint, self.stored, self.waiting = zero, footprints, none, nothing
        # The expert's own, the right side, and what is on of both.
        self.gross, self.expert, self.owed, self.right = zero, footprints, nothing, zero
        storage = instance.fleet.storage
        self.level = none if storage is None else none + storage.initial
        self.on = [none + instance.fleet.capacity] * 2
        self.violations: list[Violation] = []
        self.least, self.breaches = np.full(instance.batch, np.finfo(np.float64).max), 0
        assert certificate.bounds is not None
        self._price_gaps(instance, certificate.bounds)

    def _price_gaps(self, instance: Instance, bounds: Bounds) -> None:
        """The worth of every gap, from the declared bounds."""
        fleet, physics, mu = instance.fleet, self.physics, instance.objective.mu
        N, K = len(fleet.datacenters), len(mu)
        price, negative = (
            fractions(np.broadcast_to(b, (N,))) for b in (bounds.price, bounds.negative)
        )
        refill = price * 0
        if (storage := fleet.storage) is not None:
            refill = fractions(storage.refill_price) / physics.into
        done = (negative * fractions(fleet.pue) / (physics.into * physics.out)).max()
        self.refill, self.done = Exact.of(refill), Exact.of(np.asarray(done))
        self.behind = Exact.of(np.maximum(price * physics.out, refill))
        self.ahead = Exact.of(negative / physics.into)
        intensity = fractions(np.broadcast_to(bounds.intensity, (K, N)))
        self.missing = Exact.of(intensity * physics.out)
        # A float compared with a float is compared exactly.
        trace, work = instance.trace, bounds.work
        self.broken: Array = (trace.price > bounds.price).any(-1)
        self.broken = self.broken | (-trace.price > bounds.negative).any(-1)
        self.broken |= (np.moveaxis(trace.intensity, -2, -3) > bounds.intensity).any((-1, -2))
        if trace.work is not None and work is not None:
            self.broken |= (trace.work > work).any(-1)
        self.spare = None if bounds.spare is None else SpareCheck(physics, bounds, mu)
        if self.spare is not None and trace.onsite_intensity is not None:
            assert bounds.onsite is not None
            onsite = np.moveaxis(trace.onsite_intensity, -2, -3)
            self.broken |= (onsite > bounds.onsite).any((-1, -2))

    def run(self, played: dict[str, FloatArray], expert: dict[str, FloatArray]) -> None:
        """Check every slot, and the end."""
        steps = played["allocation"].shape[-3]
        at: tuple[Any, ...] = (slice(None),) * self.least.ndim
        for t in range(steps):
            self._slot(
                t, *({n: Exact.of(a[*at, t]) for n, a in d.items()} for d in (played, expert))
            )
        self._end(steps)

    def _slot(self, t: int, ours: Decisions, theirs: Decisions) -> None:
        physics = self.physics
        physics.begin(t)
        taken, expert = (physics.slot(d, on) for d, on in zip((ours, theirs), self.on, strict=True))
        if physics.fleet.servers is not None:
            self.on = [ours["on"], theirs["on"]]
        self.cost = self.cost + taken.cost - expert.cost
        self.footprint = self.footprint + taken.footprint - expert.footprint
        self.gross, self.expert = self.gross + abs(expert.cost), self.expert + expert.footprint
        stored, removed = physics.moved(theirs)
        self.level, self.owed = self.level + stored, self.owed - removed
        if physics.trace.work is not None:
            self.owed = self.owed + physics.trace.work[..., t, :]
        more, done = physics.moved({n: numbers - theirs[n] for n, numbers in ours.items()})
        self.stored, self.waiting = self.stored + more, self.waiting - done
        alpha, refused = self.stated.alpha[..., t], self.stated.refused[..., t]
        odd = ~((alpha >= 0) & (alpha <= 1)) | (refused & (alpha > 0))
        self._report(t, "alpha lies outside [0, 1], or above 0 where the advice was refused", odd)
        self._sides(t)
        self._breaches(t, theirs, expert)

    def _sides(self, t: int) -> None:
        mu, peak = self.physics.mu, self.expert.max()
        reserved, footprint = self._potential(t)
        scale = self.gross + (mu * peak).sum()
        height = self.footprint + footprint
        if self.bound is not None:
            left_over = self.bound * (self.physics.horizon - 1 - t)
            height = height - (peak[..., None] - self.expert - left_over).positive()
        left = self.cost + reserved[0] + reserved[1] + reserved[2] + (mu * height.max()).sum()
        right = self.right = self.rho * scale + self.allowance
        stated, stated_right = (
            Exact.of(side[..., t]) for side in (self.stated.left, self.stated.right)
        )
        self._must(t, "the condition does not hold", left, right)
        self._must(t, "the stated left side is too low", left, stated)
        self._must(t, "the stated right side is too high", stated_right, right)
        self._must(t, "the stated slack is negative", stated, stated_right)
        if self.stated.reserved is not None:
            for cause, amount in enumerate(reserved):
                said = Exact.of(self.stated.reserved[..., t, cause])
                self._must(t, "the stated reserve is too low", amount, said)
        slack = (right - left).per(scale + self.allowance)
        self.least = np.minimum(self.least, slack)

    def _breaches(self, t: int, theirs: Decisions, expert: Taken) -> None:
        """What exceeds the declared bounds is said to, and nothing else."""
        broken = self.broken[..., t]
        if self.bound is not None:
            limit = self.bound * np.asarray(1 + BOUND_ROOM) + np.asarray(BOUND_FLOOR)
            broken = broken | ~(expert.footprint <= limit).all((-1, -2))
        perhaps = broken
        if self.spare is not None:
            by_more, by_whatever = self.spare.crowded(theirs)
            broken, perhaps = broken | by_more, broken | by_whatever
        said = self.stated.breach[..., t]
        self.breaches += int(np.sum(broken))
        self._report(t, "a breach of the bounds is not reported", broken & ~said)
        if self.bound is None:
            self._report(t, "a breach of the bounds is reported for none", said & ~perhaps)

    def _potential(self, t: int) -> tuple[list[Exact], Exact]:
        """``Φ`` by cause, and ``Ψ [..., K, R]``."""
        fleet, zero = self.physics.fleet, self.physics.zero
        less, more = (-self.stored).positive(), self.stored.positive()
        owed, early = self.waiting.positive(), (-self.waiting).positive()
        reserved = [(self.behind * less + self.ahead * more).sum(), zero, zero]
        by_site = self.missing * less[..., None, :]
        if fleet.training is not None:
            reserved[1] = (owed * fleet.training.late_cost).sum() + (self.done * early).sum()
        if fleet.servers is not None:
            off = (self.on[1] - self.on[0]).positive()
            reserved[2] = (off * fleet.servers.start_cost).sum()
        if self.spare is not None:
            in_time = owed.at_most(self.spare.room(t, self.owed))
            saved, drawn = self.spare.worth(in_time)
            reserved[1], by_site = reserved[1] - saved, by_site + drawn
        return reserved, self.physics.by_region(by_site)

    def _end(self, steps: int) -> None:
        """Check the guarantee after the last slot."""
        physics, storage = self.physics, self.physics.fleet.storage
        complete = steps == physics.horizon
        if bool(self.stated.complete) != complete:
            what = f"complete is {self.stated.complete}, with {steps} of {physics.horizon} slots"
            self._report(-1, what, np.ones(self.least.shape, dtype=np.bool_))
        higher = (self.expert + self.footprint).max() - self.expert.max()
        excess = self.cost + (physics.mu * higher).sum()
        if complete and storage is not None:
            missing = storage.initial - self.level
            more = (missing - self.stored).positive() - missing.positive()
            excess = excess + (self.refill * more).sum()
        stated, allowed = Exact.of(self.stated.excess), Exact.of(self.stated.allowed)
        self._must(-1, "the stated excess is too low", excess, stated)
        self._must(-1, "the stated allowance is too high", allowed, self.right)
        if complete:
            self._must(-1, "the guarantee does not hold", excess, self.right)
            self._must(-1, "the stated guarantee does not hold", stated, allowed)

    def _must(self, t: int, what: str, left: Exact, right: Exact) -> None:
        """``left <= right``."""
        if not (holds := left <= right).all():
            one = Exact.of(1.0)
            self._report(t, what, ~holds, left.per(one), right.per(one))

    def _report(self, t: int, what: str, where: BoolArray, *sides: FloatArray) -> None:
        for place in map(tuple, np.argwhere(where).tolist()):
            numbers = (float(np.broadcast_to(side, where.shape)[place]) for side in sides)
            self.violations.append(Violation(place, t, what, *numbers))
