"""What the layer can prove about an episode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from equiload.envs import DataError, Outcome, dual_bound
from equiload.envs.knobs.bound import knob_bound
from equiload.envs.knobs.operation import Operation
from equiload.envs.knobs.prices import Prices
from equiload.envs.typing import BoolArray, FloatArray
from equiload.robust.bounds import Bounds
from equiload.robust.kernels import Ledger
from equiload.robust.safe import SafeSet

_ASCENT_ROUNDS = 200


class SlotRecord(NamedTuple):
    """A slot's record: ``expert [..., J, N]`` or its seal, ``alpha``, ``refused [...]``, books.

    Where the past counts also what else the expert did, what was reserved ``[..., 3]``, and at
    least the difference in cost and footprints if the episode ended here.
    """

    expert: FloatArray | bytes
    alpha: FloatArray
    refused: BoolArray
    ledger: Ledger
    operation: Operation | None = None
    reserved: FloatArray | None = None
    ends: tuple[FloatArray, FloatArray] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Certificate:
    """Both sides of the condition in every slot, and of the guarantee at the end.

    Every ``left`` and ``excess`` is an upper bound, every ``right`` and ``allowed`` a lower bound
    on the exact number, so ``left <= right`` between the stored floats proves the inequality
    between the exact ones. Sides are stated relative to the expert: ``F^π`` (for the guarantee,
    ``J^π``) is subtracted from both.

    Parameters
    ----------
    rho, allowance, footprint_bound
        What was promised.
    expert
        ``[..., T, J, N]``, the expert's own allocations, which :func:`~equiload.robust.verify`
        needs; empty where they were not kept.
    digest
        SHA-256 of the expert's allocations (:func:`digest`), also where they were not kept: whose
        decisions these are shows when whoever is said to have made them makes them again.
    left, right
        ``[..., T]``, US$.
    alpha
        ``[..., T]``: 1 where the advice was played, 0 where the expert was.
    refused
        ``[..., T]``: the advice was not a feasible allocation.
    breach
        ``[..., T]``: the slot exceeded ``footprint_bound``, on which (★′) leans.
    excess
        ``[...]``, US$: at least ``J − J^π`` so far.
    allowed
        ``[...]``, US$: at most ``ρ·(G^π + Σ_k μ_k M^π_k) + B`` so far.
    complete
        Did the episode reach its horizon?
    operation
        What else the expert did, ``on [..., T, N]``, say; none on a fleet without knobs.
    bounds
        What no slot was said to exceed; none on a fleet without knobs. A slot beyond is a breach.
    reserved
        ``[..., T, 3]``, US$: what giving back may cost, of storage, waiting work and servers; none
        on a fleet without knobs.

    Examples
    --------
    >>> from equiload.agents import EGLB, GLBCost
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> from equiload.robust import RobustPolicy
    >>> policy = RobustPolicy(GLBCost(), EGLB(), rho=0.05)
    >>> outcome = rollout(policy, synthetic(0, horizon=24))
    >>> certificate = policy.certificate()
    >>> bool(certificate.holds), certificate.slack.shape, bool((certificate.slack >= 0).all())
    (True, (24,), True)
    >>> bool(1 <= certificate.ratio(outcome) < 1.2)
    True
    """

    rho: float
    allowance: float
    footprint_bound: FloatArray | None
    expert: FloatArray
    digest: str
    left: FloatArray
    right: FloatArray
    alpha: FloatArray
    refused: BoolArray
    breach: BoolArray
    excess: FloatArray
    allowed: FloatArray
    complete: bool
    operation: Operation | None = None
    bounds: Bounds | None = None
    reserved: FloatArray | None = None

    @property
    def slack(self) -> FloatArray:
        """``[..., T]``, US$: what the condition leaves."""
        slack: FloatArray = self.right - self.left
        return slack

    @property
    def holds(self) -> BoolArray:
        """``[...]``: was the condition certified in every slot, and the guarantee at the end?

        False for an episode cut short where only the horizon-aware condition (★′) was kept.
        """
        held: BoolArray = (self.left <= self.right).all(-1) & (self.excess <= self.allowed)
        return held

    def verdict(self) -> dict[str, float | bool]:
        """What was promised to one episode, and US$ left of it at the end, as plain numbers."""
        return {
            "holds": bool(self.holds),
            "rho": self.rho,
            "allowance": self.allowance,
            "slack": float(self.allowed - self.excess),
        }

    def ratio(self, outcome: Outcome, weights: FloatArray | Prices | None = None) -> FloatArray:
        """``[...]``: certified bound on ``J / J(eGLB-Off)``, by weak duality.

        Parameters
        ----------
        outcome
            Of the episode.
        weights
            ``[..., K, R]``, shadow prices on the simplex. Default: found by mirror ascent. On a
            fleet with knobs all prices over time, as a solution has them; any are valid, and there
            is no default.

        Returns
        -------
        ``inf`` where the lower bound is not positive.

        Raises
        ------
        DataError
            Without prices over time, on a fleet with knobs.
        """
        if outcome.instance.knobs and not isinstance(weights, Prices):
            raise DataError(
                f"{outcome.instance.name} has {', '.join(outcome.instance.knobs)}: its bound needs "
                "prices over time, ratio(outcome, solution.prices) say"
            )
        if weights is None:
            lower = lower_bound(outcome)
        elif isinstance(weights, Prices):
            lower = knob_bound(outcome.instance, weights)
        else:
            lower = dual_bound(outcome.instance, weights).value
        ratio: FloatArray = np.where(
            lower > 0, outcome.objective / np.where(lower > 0, lower, 1.0), np.inf
        )
        return ratio


def certificate_of(
    safe: SafeSet, records: Sequence[SlotRecord], bounds: Bounds | None = None
) -> Certificate:
    """Certificate of the slots played so far, under the ``bounds`` that were declared.

    Raises
    ------
    DataError
        Before the first slot.
    """
    if not records:
        raise DataError("there is no slot to certify yet")
    last = records[-1].ledger
    eps = float(np.finfo(np.float64).eps)
    # At the end the expert's lagging regions cannot catch up any more.
    peak = last.low.max(-1, keepdims=True)
    head = np.maximum(peak - last.high - 4 * eps * (peak + last.high), 0.0)
    cost, footprint = records[-1].ends or (last.cost, last.footprint)
    excess = np.asarray(safe.left(cost, footprint, head))
    complete = len(records) == safe.setting.horizon
    if complete or safe.footprint_bound is None:  # then the condition itself bounds it too
        excess = np.minimum(excess, last.left)
    ledgers = [record.ledger for record in records]
    experts = [record.expert for record in records if not isinstance(record.expert, bytes)]
    operations = [record.operation for record in records if record.operation is not None]
    reserved = [record.reserved for record in records if record.reserved is not None]
    return Certificate(
        rho=safe.rho,
        allowance=safe.allowance,
        footprint_bound=safe.footprint_bound,
        expert=np.stack(experts, axis=-3) if experts else np.empty(0),
        digest=digest(
            r.expert if isinstance(r.expert, bytes) else seal(r.expert, r.operation)
            for r in records
        ),
        left=np.stack([ledger.left for ledger in ledgers], axis=-1),
        right=np.stack([ledger.right for ledger in ledgers], axis=-1),
        alpha=np.stack([record.alpha for record in records], axis=-1),
        refused=np.stack([record.refused for record in records], axis=-1),
        breach=np.stack([ledger.breach for ledger in ledgers], axis=-1),
        excess=excess,
        allowed=np.asarray(last.right),
        complete=complete,
        operation=Operation.stack(operations, len(safe.setting.batch)) if operations else None,
        bounds=bounds,
        reserved=np.stack(reserved, axis=-2) if reserved else None,
    )


def seal(allocation: FloatArray, operation: Operation | None = None) -> bytes:
    """SHA-256 of one slot's decision: little-endian float64, no zero negative.

    Its allocation ``[..., J, N]`` and, in the order of its fields, all that the operation has.
    """
    arrays = [allocation]
    if operation is not None:
        arrays += operation.named().values()
    return sha256(b"".join((np.asarray(a, dtype="<f8") + 0.0).tobytes() for a in arrays)).digest()


def digest_of(expert: FloatArray, operation: Operation | None = None) -> str:
    """:func:`digest` of an expert's decisions, with time after the axes of a batch."""
    steps = range(expert.shape[-3])
    slots = np.moveaxis(expert, -3, 0)
    if operation is None:
        return digest(slots)
    series = operation.map(lambda array: np.moveaxis(array, expert.ndim - 3, 0))
    done = (series.map(lambda array, t=t: array[t]) for t in steps)  # type: ignore[misc]
    return digest(map(seal, slots, done))


def digest(slots: Iterable[FloatArray | bytes]) -> str:
    """SHA-256, in hexadecimal, of the slots' seals; a slot is its allocation or its seal."""
    seals = (slot if isinstance(slot, bytes) else seal(slot) for slot in slots)
    return sha256(b"".join(seals)).hexdigest()


def lower_bound(outcome: Outcome, rounds: int = _ASCENT_ROUNDS) -> FloatArray:
    """``[...]``, US$: a lower bound on eGLB-Off's ``J``: the best of some rounds of mirror ascent.

    The dual function's supergradient at ``w`` is the footprint of the dispatch at ``w``.
    """
    instance = outcome.instance
    mu = instance.objective.mu[:, None]
    weights = np.full_like(outcome.footprint, 1.0 / outcome.footprint.shape[-1])
    best = np.full(outcome.objective.shape, -np.inf)
    for i in range(rounds):
        bound = dual_bound(instance, weights)
        best = np.maximum(best, bound.value)
        gain = mu * bound.outcome.footprint
        gain = gain - gain.max(-1, keepdims=True)
        spread = np.maximum(-gain.min((-1, -2), keepdims=True), 1e-300)
        weights = weights * np.exp(2.0 * gain / (spread * np.sqrt(i + 1)))
        weights = weights / weights.sum(-1, keepdims=True)
    return best
