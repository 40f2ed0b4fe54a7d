"""The check of a certificate where the past counts: every level, cost and potential anew.

It shares no function with the layer. From the raw decisions it recomputes what is stored, waits and
is on, of the layer and of the expert; whether each decision was possible; what both cost and emit;
the potentials; both sides of the condition, and the guarantee. One code does so in two kinds of
numbers: rational ones, exactly, an episode at a time; or in extended precision, a batch at a time
and with a bound on its own rounding. What the second cannot settle, the first does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from equiload.envs import Instance, Trace
from equiload.envs.knobs.operation import Operation
from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.envs.validation import LARGEST
from equiload.robust.bounds import Bounds
from equiload.robust.certificate import Certificate, digest_of
from equiload.robust.verify_physics import Physics, Taken
from equiload.robust.verify_spare import SpareCheck
from equiload.robust.violations import (
    BOUND_FLOOR,
    BOUND_ROOM,
    FEASIBLE,
    Verification,
    Violation,
    fractions,
)

#: What a part may hold at most: a product of two numbers of an instance.
_MOST = LARGEST**2


def verify_operated(
    certificate: Certificate,
    instance: Instance,
    allocations: object,
    operation: object,
    *,
    exact: bool,
    spot_checks: int,
) -> Verification:
    """See :func:`~equiload.robust.verify`."""
    violations = _misfits(certificate, instance, np.asarray(allocations), operation)
    if violations:
        return Verification(violations=tuple(violations))
    played = _decisions(allocations, operation)
    expert = _decisions(certificate.expert, certificate.operation)
    if str(certificate.digest) != digest_of(certificate.expert, certificate.operation):
        violations.append(Violation((), -1, "the digest is not that of the expert's decisions"))
    steps = played["allocation"].shape[-3]
    clear, least, breaches = np.zeros(instance.batch, dtype=np.bool_), np.inf, 0
    if not exact and instance.batch:
        check = _Check(certificate, instance, _extended)
        check.run(played, expert)
        clear = ~check.doubtful
        clear.reshape(-1)[:spot_checks] = False
        least = float(check.least[clear].min(initial=np.inf))
    for index in map(tuple, np.argwhere(~clear).tolist()) if instance.batch else [()]:
        decisions = [{n: a[index][None] for n, a in d.items()} for d in (played, expert)]
        check = _Check(certificate, instance, fractions, index)
        check.run(*decisions)
        violations += check.violations
        least, breaches = min(least, float(check.least[0])), breaches + check.breaches
    return Verification(
        episodes=int(clear.size),
        slots=int(clear.size) * steps,
        violations=tuple(violations),
        breaches=breaches,
        exact=int((~clear).sum()),
        smallest_slack=float(least),
    )


def _extended(values: object) -> Array:
    return np.asarray(values, dtype=np.longdouble)


def _decisions(allocations: Any, operation: Any) -> dict[str, FloatArray]:
    """Everything decided, with time after a batch: ``allocation [..., T, J, N]``, say."""
    named = {n: getattr(operation, n) for n in Operation.__slots__ if n != "grid"}
    parts = {"allocation": allocations} | {n: a for n, a in named.items() if a is not None}
    return {n: np.asarray(a) for n, a in parts.items()}


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

    In extended precision it leaves ``doubtful`` what does not hold by more than rounding; in
    rational numbers it collects ``violations``.
    """

    def __init__(
        self,
        certificate: Certificate,
        instance: Instance,
        number: Callable[[object], Array],
        index: tuple[int, ...] | None = None,
    ) -> None:
        if index is not None:
            alone = instance.trace[index] if index else instance.trace
            instance = instance.replace(trace=Trace.stack([alone]))

        def taken(values: Array) -> Array:
            return values if index is None else np.asarray(values)[index][None]

        self.index, self.exact = index or (), number is fractions
        self.physics, self.number = Physics(instance, number), number
        self.stated = {
            n: taken(getattr(certificate, n))
            for n in ("left", "right", "alpha", "refused", "breach", "excess", "allowed")
        }
        self.reserved = None if certificate.reserved is None else taken(certificate.reserved)
        self.complete, self.bounds = certificate.complete, certificate.bounds
        self.rho, self.allowance = number([certificate.rho, certificate.allowance])
        zero = self.physics.zero
        shape = (len(instance.objective.mu), len(instance.fleet.regions))
        nothing = number(np.zeros((*zero.shape, *shape)))
        self.bound = None
        if certificate.footprint_bound is not None:
            bound = certificate.footprint_bound
            bound = taken(bound) if np.ndim(bound) > 2 else bound
            self.bound = number(np.broadcast_to(bound, (*instance.batch, *shape)))
        # What the layer is ahead of the expert: US$, footprints, MWh stored, waiting and on.
        self.cost, self.footprint = zero, nothing
        self.stored = self.physics.none
        self.waiting = number(np.zeros((*zero.shape, self.physics.classes)))
        # The expert's, and for both what is left: so that feasibility can be told.
        self.gross, self.expert = zero, nothing
        start = instance.fleet.storage
        full = self.stored if start is None else self.stored + number(start.initial)
        self.levels = [[full, self.waiting], [full, self.waiting]]
        self.on = [self.stored + number(instance.fleet.capacity)] * 2
        self.size, self.footprint_size = zero, nothing
        self.right: Any = self.allowance + zero
        self.violations: list[Violation] = []
        self.doubtful = np.zeros(zero.shape, dtype=np.bool_)
        self.least, self.breaches = zero + number(np.finfo(np.float64).max), 0
        self._price_gaps(instance)

    def _price_gaps(self, instance: Instance) -> None:
        """The worth of every gap, from the declared bounds."""
        number, fleet, bounds, physics = self.number, instance.fleet, self.bounds, self.physics
        assert bounds is not None
        N = len(fleet.datacenters)
        price, negative = (
            number(np.broadcast_to(b, (N,))) for b in (bounds.price, bounds.negative)
        )
        self.intensity = number(np.broadcast_to(bounds.intensity, (len(physics.mu), N)))
        self.behind, self.ahead = price * 0, price * 0
        if (storage := fleet.storage) is not None:
            refill = number(storage.refill_price) / physics.into
            self.behind = np.maximum(price * physics.out, refill)
            self.ahead = negative / physics.into
        self.done = (negative * number(fleet.pue) / (physics.into * physics.out)).max()
        # A float compared with a float is compared exactly.
        trace, work = physics.trace, bounds.work
        self.broken: Array = (trace.price > bounds.price).any(-1)
        self.broken = self.broken | (-trace.price > bounds.negative).any(-1)
        self.broken |= (np.moveaxis(trace.intensity, -2, -3) > bounds.intensity).any((-1, -2))
        if trace.work is not None and work is not None:
            self.broken |= (trace.work > work).any(-1)
        self.spare = None if bounds.spare is None else SpareCheck(physics, bounds)
        if self.spare is not None and trace.onsite_intensity is not None:
            assert bounds.onsite is not None
            onsite = np.moveaxis(trace.onsite_intensity, -2, -3)
            self.broken |= (onsite > bounds.onsite).any((-1, -2))

    def run(self, played: dict[str, FloatArray], expert: dict[str, FloatArray]) -> None:
        """Check every slot, and the end."""
        steps = played["allocation"].shape[-3]
        time = self.physics.zero.ndim
        for t in range(steps):
            at = (slice(None),) * time + (t,)
            self.slot(t, *({n: a[at] for n, a in d.items()} for d in (played, expert)))
        self.end(steps)

    def slot(self, t: int, played: dict[str, FloatArray], expert: dict[str, FloatArray]) -> None:
        """Check slot ``t``."""
        ours, theirs = (
            self.physics.slot(t, d, on) for d, on in zip((played, expert), self.on, strict=True)
        )
        same = np.all([(ours.on == theirs.on).all(-1), (self.on[0] == self.on[1]).all(-1)], axis=0)
        for name, array in played.items():
            axes = (-1, -2) if name in {"allocation", "work"} else -1
            same &= (array == expert[name]).all(axes)
        self.on = [ours.on, theirs.on]
        if self.spare is not None:
            self.crowded = self.spare.crowded(t, expert)
        for which, (who, taken) in enumerate((("", ours), ("the expert: ", theirs))):
            self._possible(t, who, taken, self.levels[which])
        alpha, refused = self.stated["alpha"][..., t], self.stated["refused"][..., t]
        odd = ~((alpha >= 0) & (alpha <= 1)) | (refused & (alpha > 0))
        self._report(t, "alpha lies outside [0, 1], or above 0 where the advice was refused", odd)
        self.cost = self.cost + (ours.cost - theirs.cost)
        self.footprint = self.footprint + (ours.footprint - theirs.footprint)
        self.stored = self.stored + (ours.stored - theirs.stored)
        self.waiting = self.waiting - (ours.removed - theirs.removed)
        apart = np.where(same, 0, 1)
        self.size = self.size + apart * (ours.cost_size + theirs.cost_size)
        both = ours.footprint_size + theirs.footprint_size
        self.footprint_size = self.footprint_size + apart[..., None, None] * both
        self.gross, self.expert = self.gross + abs(theirs.cost), self.expert + theirs.footprint
        self._sides(t, theirs)

    def _sides(self, t: int, theirs: Taken) -> None:
        mu, peak = self.physics.mu, self.expert.max(-1)
        reserved, footprint = self._potential(t)
        scale = self.gross + (mu * peak).sum(-1)
        head = self.expert * 0
        if self.bound is not None:
            left_over = (self.physics.horizon - 1 - t) * self.bound
            head = np.maximum(peak[..., None] - self.expert - left_over, 0)
        height = self.footprint + footprint - head
        left = self.cost + sum(reserved) + (mu * height.max(-1)).sum(-1)
        right = self.right = self.rho * scale + self.allowance
        levels = (mu * (self.footprint_size.max(-1) + footprint.max(-1) + head.max(-1))).sum(-1)
        size = self.size + sum(reserved) + levels
        differences: Any = 0
        if self.spare is not None and not self.exact:  # of all that has arrived and was done
            differences = self.spare.size(t, self.waiting, self.levels[1][1])
        size = size + differences
        stated, stated_right = (self.number(self.stated[n][..., t]) for n in ("left", "right"))
        self._must(t, "the condition does not hold", left, self._least(right, t), size)
        self._must(t, "the stated left side is too low", left, stated, size)
        self._must(t, "the stated right side is too high", stated_right, self._least(right, t))
        self._must(t, "the stated slack is negative", stated, stated_right)
        if self.reserved is not None:
            for cause, amount in enumerate(reserved):
                said = self.number(self.reserved[..., t, cause])
                size = amount + differences * (cause == 1)
                self._must(t, "the stated reserve is too low", amount, said, size)
        whole = scale + self.allowance
        positive = whole > 0
        slack = np.where(positive, (right - left) / np.where(positive, whole, 1), 0)
        self.least = np.minimum(self.least, slack)
        broken = self.broken[..., t]
        if self.bound is not None:
            room, floor = self.number([BOUND_ROOM, BOUND_FLOOR])
            limit = self.bound * (1 + room) + floor
            broken = broken | (theirs.footprint > limit).any((-1, -2))
        said = self.stated["breach"][..., t]
        perhaps = broken
        if self.spare is not None:
            surely, maybe = self.crowded
            broken, perhaps = broken | surely, broken | maybe
        self.breaches += int(np.sum(broken))
        self.doubtful = self.doubtful | broken
        self._report(t, "a breach of the bounds is not reported", broken & ~said)
        if self.bound is None:
            self._report(t, "a breach of the bounds is reported for none", said & ~perhaps)

    def _least(self, right: Array, t: int) -> Array:
        """At most what ``right`` is the rounding of: it is the allowance, or more."""
        if self.exact:
            return right
        return np.maximum(right - self._rounding(t) * right, self.allowance)

    def end(self, steps: int) -> None:
        """Check the guarantee after the last slot."""
        complete = steps == self.physics.horizon
        if bool(self.complete) != complete:
            what = f"complete is {self.complete}, with {steps} of {self.physics.horizon} slots"
            self._report(-1, what, np.ones(self.physics.zero.shape, dtype=np.bool_))
        mu, storage = self.physics.mu, self.physics.fleet.storage
        peaks = [s.max(-1) for s in (self.expert + self.footprint, self.expert)]
        excess = self.cost + (mu * (peaks[0] - peaks[1])).sum(-1)
        size = self.size + (mu * self.footprint_size.max(-1)).sum(-1)
        if complete and storage is not None:
            unit, initial = self.number(storage.refill_price) / self.physics.into, storage.initial
            bills = [
                (unit * np.maximum(self.number(initial) - levels[0], 0)).sum(-1)
                for levels in self.levels
            ]
            apart = (self.stored != 0).any(-1)
            excess = excess + np.where(apart, bills[0] - bills[1], 0)
            size = size + np.where(apart, (unit * self.number(storage.energy)).sum(), 0)
        # Peaks are sums of their own: where nothing was ever apart they are equal.
        size = size + np.where(size > 0, (mu * (peaks[0] + peaks[1])).sum(-1), 0)
        stated, allowed = (self.number(self.stated[n]) for n in ("excess", "allowed"))
        self._must(-1, "the stated excess is too low", excess, stated, size)
        right = self._least(self.right, -1)
        self._must(-1, "the stated allowance is too high", allowed, right)
        if complete:
            self._must(-1, "the guarantee does not hold", excess, right, size)
            self._must(-1, "the stated guarantee does not hold", stated, allowed)

    def _possible(self, t: int, who: str, taken: Taken, levels: list[Array]) -> None:
        """Bring a sequence's ``levels`` up to date, and report what was not possible."""
        fleet, trace, number = self.physics.fleet, self.physics.trace, self.number
        excess = taken.excess
        levels[0] = levels[0] + taken.stored
        if fleet.storage is not None:
            excess["discharged what is not stored"] = (-levels[0]).max(-1)
            over = levels[0] - number(fleet.storage.energy)
            excess["stored beyond what fits"] = over.max(-1)
        if fleet.training is not None and trace.work is not None:
            levels[1] = levels[1] + number(trace.work[..., t, :]) - taken.removed
            excess["work that is not there"] = (-levels[1]).max(-1)
            excess["work that waits too long"] = (levels[1] - self.physics.may_wait(t)).max(-1)
        allowed = number(FEASIBLE) * self.physics.size(t)
        for what, amount in excess.items():
            self._must(t, f"{who}{what}", amount, allowed)

    def _potential(self, t: int) -> tuple[list[Array], Array]:
        """``Φ`` by cause, and ``Ψ [..., K, R]``."""
        fleet, number = self.physics.fleet, self.number
        less, more = np.maximum(-self.stored, 0), np.maximum(self.stored, 0)
        reserved = [(self.behind * less + self.ahead * more).sum(-1)]
        late: Array = 0
        if fleet.training is not None:
            late = number(fleet.training.late_cost)
        owed, early = np.maximum(self.waiting, 0), np.maximum(-self.waiting, 0)
        reserved.append((late * owed).sum(-1) + self.done * early.sum(-1))
        off = np.maximum(self.on[1] - self.on[0], 0)
        start: Array = 0 if fleet.servers is None else number(fleet.servers.start_cost)
        reserved.append((start * off).sum(-1))
        by_site = self.intensity * (self.physics.out * less)[..., None, :]
        if self.spare is not None:
            in_time = np.minimum(owed, self.spare.room(t, self.levels[1][1]))
            saved, drawn = self.spare.worth(in_time)
            reserved[1], by_site = reserved[1] - saved, by_site + drawn
        return reserved, self.physics.by_region(by_site)

    def _must(self, t: int, what: str, left: Any, right: Any, size: Any = 0) -> None:
        """``left <= right``, of sums of that ``size`` if they are rounded."""
        if self.exact:
            if left > right:
                sides = float(left[0]), float(right[0])
                self.violations.append(Violation(self.index, t, what, *sides))
            return
        self.doubtful = self.doubtful | ~(left + self._rounding(t) * abs(size) <= right)

    def _rounding(self, t: int) -> Any:
        """Twice the rounding of all that any number is made of, in extended precision."""
        fleet, physics = self.physics.fleet, self.physics
        J, N = fleet.reachable.shape
        steps = physics.horizon if t < 0 else t + 1
        terms = J * N + (physics.classes + 12) * N + 4 * J + physics.classes + len(physics.mu)
        return np.longdouble(2 * (terms + 2 * steps + 40) * np.finfo(np.longdouble).eps)

    def _report(self, t: int, what: str, where: BoolArray) -> None:
        if self.exact and where:
            self.violations.append(Violation(self.index, t, what))
        self.doubtful = self.doubtful | where
