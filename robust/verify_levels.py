"""The check of a certificate where the past counts: every level, cost and potential anew, exactly.

It shares no function with the layer. From the raw decisions, as rational numbers, it recomputes
what is stored, waits and is on, of the layer and of the expert; whether each decision was possible;
what both cost and emit; the potentials; both sides of the condition, and the guarantee.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from equiload.envs import Instance
from equiload.envs.knobs.operation import Operation
from equiload.envs.typing import Array, FloatArray
from equiload.envs.validation import LARGEST
from equiload.robust.bounds import Bounds
from equiload.robust.certificate import Certificate, digest_of
from equiload.robust.violations import FEASIBLE, Verification, Violation, fractions

_ZERO = Fraction(0)


def verify_operated(
    certificate: Certificate, instance: Instance, allocations: object, operation: object
) -> Verification:
    """See :func:`~equiload.robust.verify`; every episode in rational arithmetic."""
    violations = _misfits(certificate, instance, allocations, operation)
    if violations:
        return Verification(violations=tuple(violations))
    played, expert = (
        _decisions(allocations, operation),
        _decisions(certificate.expert, certificate.operation),
    )
    steps, least, breaches = played["allocation"].shape[-3], np.inf, 0
    if str(certificate.digest) != digest_of(certificate.expert, certificate.operation):
        violations.append(Violation((), -1, "the digest is not that of the expert's decisions"))
    for index in np.ndindex(instance.batch):
        check = _Check(certificate, instance, index)
        for t in range(steps):
            at = (*index, t)
            decisions = [{n: a[at] for n, a in d.items()} for d in (played, expert)]
            check.slot(t, *decisions)
        check.end(steps)
        violations += check.violations
        least, breaches = min(least, check.least), breaches + check.breaches
    count = int(np.prod(instance.batch, dtype=np.int64))
    return Verification(
        episodes=count,
        slots=count * steps,
        violations=tuple(violations),
        breaches=breaches,
        exact=count,
        smallest_slack=float(least),
    )


def _decisions(allocations: Any, operation: Any) -> dict[str, FloatArray]:
    """Everything decided, with time after a batch: ``allocation [..., T, J, N]``, say."""
    named = {n: getattr(operation, n) for n in Operation.__slots__ if n != "grid"}
    return {"allocation": allocations} | {n: a for n, a in named.items() if a is not None}


def _misfits(
    certificate: Certificate, instance: Instance, allocations: object, operation: object
) -> list[Violation]:
    """What has another shape, or holds what no decision or certificate can."""
    if not isinstance(operation, Operation) or not isinstance(certificate.operation, Operation):
        return [Violation((), -1, "the fleet has knobs: what was done with them must be given")]
    if not isinstance(certificate.bounds, Bounds):
        return [Violation((), -1, "the fleet has knobs: the certificate must have bounds")]
    steps = np.shape(allocations)[-3] if np.ndim(allocations) > 2 else 0
    sizes = _sizes(instance)
    sizes["T"] = min(max(steps, 1), instance.horizon)
    axes = {"left": "T", "right": "T", "alpha": "T", "refused": "T", "breach": "T"}
    axes |= {"excess": "", "allowed": ""}
    given = {n: (getattr(certificate, n), axes[n]) for n in axes}
    for who, record, sent in (
        ("", operation, allocations),
        ("the expert's ", certificate.operation, certificate.expert),
    ):
        given[f"{who}allocation"] = (sent, "TJN")
        given |= {f"{who}{n}": (getattr(record, n), "T" + a) for n, a in _axes(instance).items()}
    violations = []
    for name, (values, letters) in given.items():
        shape = (*instance.batch, *(sizes[letter] for letter in letters))
        array = np.asarray(np.nan if values is None else values)
        if array.shape != shape or array.dtype.kind not in "biuf":
            what = f"{name} is {array.dtype} {array.shape}, expected {shape}"
            violations.append(Violation((), -1, what))
        elif not (np.isfinite(array) & (np.abs(array) <= LARGEST**2)).all():
            violations.append(Violation((), -1, f"{name} holds what is no number, or too large"))
    return violations


def _sizes(instance: Instance) -> dict[str, int]:
    J, N = instance.fleet.reachable.shape
    training = instance.fleet.training
    return {"J": J, "N": N, "C": 0 if training is None else len(training.classes)}


def _axes(instance: Instance) -> dict[str, str]:
    """Axes of each part that there must be, beside those of time."""
    fleet = instance.fleet
    axes = {}
    if fleet.training is not None:
        axes |= {"work": "CN", "late": "C"}
    if fleet.models is not None:
        axes |= {"saved": "J"}
    if fleet.servers is not None:
        axes |= {"on": "N"}
    if fleet.storage is not None:
        axes |= {"charge": "N", "discharge": "N"}
    if instance.trace.generation is not None:
        axes |= {"generation": "N"}
    return axes


class _Totals:
    """One sequence of decisions, exactly: levels, what they cost and emit, what is not possible."""

    def __init__(self, instance: Instance, index: tuple[int, ...]) -> None:
        fleet = self.fleet = instance.fleet
        self.trace = instance.trace[index] if index else instance.trace
        self.capacity = fractions(instance.capacity[index])
        self.horizon = instance.horizon
        N, K = len(fleet.datacenters), len(instance.objective.mu)
        self.stored = fractions(np.zeros(N) if fleet.storage is None else fleet.storage.initial)
        training = 0 if fleet.training is None else len(fleet.training.classes)
        self.waiting = fractions(np.zeros(training))
        self.on = fractions(fleet.capacity)
        self.cost = self.gross = _ZERO
        self.footprint = self.added = fractions(np.zeros((K, len(fleet.regions))))
        self.impossible: dict[str, Fraction] = {}

    @property
    def peak(self) -> Array:
        """``[K]``."""
        return self.footprint.max(-1)

    def add(self, t: int, given: dict[str, FloatArray]) -> None:
        """Take the decisions of slot ``t``."""
        fleet, trace = self.fleet, self.trace
        exact = {name: fractions(array) for name, array in given.items()}
        nothing = fractions(np.zeros(len(fleet.datacenters)))
        sent = exact["allocation"]
        demand = fractions(trace.demand[t])
        load = sent.sum(0)
        excess = {
            "negative": -min(array.min() for array in exact.values() if array.size),
            "out of reach": (sent * ~fleet.reachable).max(),
            "not all demand": abs(sent.sum(1) + exact.get("saved", 0) - demand).max(),
        }
        cost = _ZERO
        if fleet.routing_cost is not None:
            cost += (fractions(fleet.routing_cost) * sent).sum()
        if fleet.models is not None:
            cost += self._quality(exact["saved"], demand, excess)
        if fleet.training is not None:
            load = load + exact["work"].sum(0)
            cost += self._work(t, exact["work"], exact["late"], excess)
        on = exact.get("on", load)
        excess["load that is not on"] = (load - on).max()
        excess["on beyond the capacity"] = (on - self.capacity[t]).max()
        idle = nothing
        if fleet.servers is not None:
            idle = fractions(fleet.servers.idle)
            started = np.maximum(on - self.on, _ZERO)
            cost += fractions(fleet.servers.start_cost) @ started
            self.on = on
        drawn = fractions(fleet.pue) * (idle * on + (1 - idle) * load)
        charge, discharge = exact.get("charge", nothing), exact.get("discharge", nothing)
        if fleet.storage is not None:
            cost += self._battery(charge, discharge, excess)
        excess["discharged beyond what is drawn"] = (discharge - drawn - charge).max()
        used = exact.get("generation", nothing)
        if trace.generation is not None:
            excess["generation that is not there"] = (used - fractions(trace.generation[t])).max()
        grid = drawn + charge - discharge - used
        excess["given back to the grid"] = (-grid).max()
        grid = np.maximum(grid, _ZERO)  # below 0 it is by rounding
        cost += fractions(trace.price[t]) @ grid
        by_site = fractions(trace.intensity[:, t]) * grid
        if trace.onsite_intensity is not None:
            by_site = by_site + fractions(trace.onsite_intensity[:, t]) * drawn
        self.added = fractions(np.zeros(self.footprint.shape))
        np.add.at(self.added.T, fleet.region_of, by_site.T)
        self.footprint = self.footprint + self.added
        self.cost += cost
        self.gross += abs(cost)
        self.impossible = excess

    def _quality(self, saved: Array, demand: Array, excess: dict[str, Fraction]) -> Fraction:
        models = self.fleet.models
        assert models is not None
        widths, losses = (fractions(part) for part in models.steps)
        can = demand * fractions(models.share)
        excess["saved beyond what may be"] = (saved - can * widths.sum()).max()
        cost, left = _ZERO, saved
        for width, loss in zip(widths, losses, strict=True):
            here = np.minimum(left, can * width)
            cost += (fractions(models.worth) * loss) @ here
            left = left - here
        return Fraction(cost)

    def _work(self, t: int, work: Array, late: Array, excess: dict[str, Fraction]) -> Fraction:
        training, series = self.fleet.training, self.trace.work
        assert training is not None
        assert series is not None
        reach = training.reach(len(self.fleet.datacenters))
        excess["work out of reach"] = (work * ~reach).max()
        self.waiting = self.waiting + fractions(series[t]) - work.sum(1) - late
        may_wait = []
        for c, deadline in enumerate(training.deadline):
            recent = series[max(t + 1 - int(deadline), 0) : t + 1, c]
            last = t == self.horizon - 1 or deadline == 0
            may_wait.append(_ZERO if last else fractions(recent).sum())
        excess["work that is not there"] = (-self.waiting).max()
        excess["work that waits too long"] = (self.waiting - np.array(may_wait)).max()
        return Fraction(fractions(training.late_cost) @ late)

    def _battery(self, charge: Array, discharge: Array, excess: dict[str, Fraction]) -> Fraction:
        storage = self.fleet.storage
        assert storage is not None
        into, out = fractions(storage.charge_efficiency), fractions(storage.discharge_efficiency)
        self.stored = self.stored + into * charge - discharge / out
        excess["charged too fast"] = (charge - fractions(storage.charge)).max()
        excess["discharged too fast"] = (discharge - fractions(storage.discharge)).max()
        excess["discharged what is not stored"] = (-self.stored).max()
        excess["stored beyond what fits"] = (self.stored - fractions(storage.energy)).max()
        return Fraction(fractions(storage.wear) @ discharge)

    def objective(self, mu: Array, *, complete: bool) -> Fraction:
        """``J``, with refilled batteries where the episode is ``complete``."""
        total = self.cost + mu @ self.peak
        storage = self.fleet.storage
        if complete and storage is not None:
            missing = np.maximum(fractions(storage.initial) - self.stored, _ZERO)
            unit = fractions(storage.refill_price) / fractions(storage.charge_efficiency)
            total += unit @ missing
        return Fraction(total)


class _Check:
    """Both sides of the condition for one episode, slot by slot."""

    def __init__(self, certificate: Certificate, instance: Instance, index: tuple[int, ...]):
        self.certificate, self.instance, self.index = certificate, instance, index
        self.layer, self.expert = _Totals(instance, index), _Totals(instance, index)
        self.mu = fractions(instance.objective.mu)
        self.rho, self.allowance = Fraction(certificate.rho), Fraction(certificate.allowance)
        self.bound = None
        if certificate.footprint_bound is not None:
            shape = (*instance.batch, *self.layer.footprint.shape)
            whole = np.broadcast_to(certificate.footprint_bound, shape)
            self.bound = fractions(whole[index])
        self.violations: list[Violation] = []
        self.least, self.breaches, self.right = np.inf, 0, self.allowance
        self._bounds(certificate.bounds)

    def _bounds(self, bounds: Any) -> None:
        """The worth of every gap, from the declared bounds."""
        fleet, K = self.instance.fleet, len(self.mu)
        N = len(fleet.datacenters)
        price, negative = (
            fractions(np.broadcast_to(b, (N,))) for b in (bounds.price, bounds.negative)
        )
        self.price, self.negative = price, negative
        self.intensity = fractions(np.broadcast_to(bounds.intensity, (K, N)))
        self.work = None if fleet.training is None else fractions(bounds.work)
        into = out = fractions(np.ones(N))
        self.behind = self.ahead = fractions(np.zeros(N))
        if (storage := fleet.storage) is not None:
            into = fractions(storage.charge_efficiency)
            out = fractions(storage.discharge_efficiency)
            self.behind = np.maximum(price * out, fractions(storage.refill_price) / into)
            self.ahead = negative / into
        self.out = out
        self.done = (negative * fractions(fleet.pue) / (into * out)).max()

    def slot(self, t: int, played: dict[str, FloatArray], expert: dict[str, FloatArray]) -> None:
        """Check slot ``t``."""
        certificate, at = self.certificate, (*self.index, t)
        for who, totals, given in (("", self.layer, played), ("the expert: ", self.expert, expert)):
            totals.add(t, given)
            for what, amount in totals.impossible.items():
                self._must(t, f"{who}{what}", amount, self._tolerance(t, totals))
        alpha = certificate.alpha[at]
        if not 0 <= alpha <= 1 or (certificate.refused[at] and alpha > 0):
            self._report(t, "alpha lies outside [0, 1], or above 0 where the advice was refused")
        reserved, footprint = self._potential()
        ours, theirs = self.layer, self.expert
        scale = theirs.gross + self.mu @ theirs.peak
        reach = theirs.peak[:, None] - theirs.footprint
        if self.bound is not None:
            reach = np.minimum(reach, (self.instance.horizon - 1 - t) * self.bound)
        gaps = ours.footprint + footprint + reach - theirs.peak[:, None]
        left = ours.cost + sum(reserved) - theirs.cost + self.mu @ gaps.max(-1)
        right = self.right = self.rho * scale + self.allowance
        stated, stated_right = fractions((certificate.left[at], certificate.right[at]))
        self._must(t, "the condition does not hold", left, right)
        self._must(t, "the stated left side is too low", left, stated)
        self._must(t, "the stated right side is too high", stated_right, right)
        self._must(t, "the stated slack is negative", stated, stated_right)
        if certificate.reserved is not None:
            for cause, amount in enumerate(reserved):
                said = Fraction(float(certificate.reserved[at][cause]))
                self._must(t, "the stated reserve is too low", amount, said)
        whole = scale + self.allowance
        self.least = min(self.least, float((right - left) / whole) if whole else 0.0)
        self._breach(t, bool(certificate.breach[at]))

    def end(self, steps: int) -> None:
        """Check the guarantee after the last slot."""
        certificate = self.certificate
        complete = steps == self.instance.horizon
        if bool(certificate.complete) != complete:
            what = f"complete is {certificate.complete}, with {steps} of {self.instance.horizon}"
            self._report(-1, f"{what} slots")
        ours, theirs = (t.objective(self.mu, complete=complete) for t in (self.layer, self.expert))
        excess, allowed = fractions(
            (certificate.excess[self.index], certificate.allowed[self.index])
        )
        self._must(-1, "the stated excess is too low", ours - theirs, excess)
        self._must(-1, "the stated allowance is too high", allowed, self.right)
        if complete:
            self._must(-1, "the guarantee does not hold", ours, theirs + self.right)
            self._must(-1, "the stated guarantee does not hold", excess, allowed)

    def _potential(self) -> tuple[list[Fraction], Array]:
        """``Φ`` by cause, and ``Ψ [K, R]``."""
        ours, theirs, fleet = self.layer, self.expert, self.instance.fleet
        less = np.maximum(theirs.stored - ours.stored, _ZERO)
        more = np.maximum(ours.stored - theirs.stored, _ZERO)
        reserved = [Fraction(self.behind @ less + self.ahead @ more), _ZERO, _ZERO]
        if fleet.training is not None:
            owed = np.maximum(ours.waiting - theirs.waiting, _ZERO)
            early = np.maximum(theirs.waiting - ours.waiting, _ZERO)
            reserved[1] = Fraction(fractions(fleet.training.late_cost) @ owed)
            reserved[1] += self.done * early.sum()
        if fleet.servers is not None:
            off = np.maximum(theirs.on - ours.on, _ZERO)
            reserved[2] = Fraction(fractions(fleet.servers.start_cost) @ off)
        footprint = fractions(np.zeros(ours.footprint.shape))
        if fleet.storage is not None:
            np.add.at(footprint.T, fleet.region_of, (self.intensity * self.out * less).T)
        return reserved, footprint

    def _breach(self, t: int, reported: bool) -> None:
        """A slot beyond what was declared must be reported, and no other."""
        trace = self.layer.trace
        price = fractions(trace.price[t])
        broken = (price > self.price).any() or (-price > self.negative).any()
        broken = broken or (fractions(trace.intensity[:, t]) > self.intensity).any()
        if self.work is not None and trace.work is not None:
            broken = broken or (fractions(trace.work[t]) > self.work).any()
        if self.bound is not None:
            broken = broken or (self.expert.added > self.bound).any()
        self.breaches += bool(broken)
        if broken and not reported:
            self._report(t, "a breach of the bounds is not reported")
        if reported and not broken and self.bound is None:
            self._report(t, "a breach of the bounds is reported for none")

    def _tolerance(self, t: int, totals: _Totals) -> Fraction:
        """What rounding may come to, MWh."""
        fleet, size = self.instance.fleet, totals.capacity[t].sum()
        size += fractions(totals.trace.demand[t]).sum() + abs(totals.waiting).sum()
        if totals.trace.work is not None:
            size += fractions(totals.trace.work[t]).sum()
        if fleet.storage is not None:
            size += fractions(fleet.storage.energy).sum()
        return Fraction(FEASIBLE) * max(Fraction(size), Fraction(1e-300))

    def _must(self, t: int, what: str, left: Any, right: Any) -> None:
        if left > right:
            self.violations.append(Violation(self.index, t, what, float(left), float(right)))

    def _report(self, t: int, what: str) -> None:
        self.violations.append(Violation(self.index, t, what))
