"""Online algorithms that use forecasts: eGLB-MPC, and eGLB with predicted duals."""

from __future__ import annotations

import numpy as np

from equiload.agents.eglb import EGLB
from equiload.agents.forecast.planner import Planner
from equiload.envs import Setting, Slot, State, shadow_cost
from equiload.envs.checking import checked
from equiload.envs.forecast import Forecaster
from equiload.envs.typing import Count, FloatArray, Number, Positive, Share


class EGLBMPC:
    """Dispatch at the duals of eGLB-Off for the rest of the episode, solved again as time goes by.

    Every ``every`` slots the problem that is left is solved on a forecast, from the footprints so
    far; in each slot the cheapest allocation at the dual weights is played, with the slot's true
    prices and intensities. The weights follow the solutions as a moving average, from equal
    weights on: what one forecast got wrong the next may get right.

    Parameters
    ----------
    forecaster
        Point forecasts, or samples, whose dual weights are averaged.
    every
        Slots from one solution to the next.
    memory
        Slots over which solutions are averaged; at most ``every``: only the last one counts.
    tolerance
        Relative gap at which a solution is good enough.
    solutions
        Most solutions in an episode: of a longer one ``every`` grows, and ``memory`` with it, since
        what is left to solve is long, too, and changes less from slot to slot. None: no limit.

    Examples
    --------
    >>> from equiload.agents.forecast import PastDays
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> policy = EGLBMPC(PastDays(samples=2), every=6)
    >>> outcome = rollout(policy, synthetic(0, horizon=24))
    >>> policy.weights.shape, policy.weights.sum(-1).round(6)
    ((2, 10), array([1., 1.]))
    """

    @checked
    def __init__(
        self,
        forecaster: Forecaster,
        *,
        every: Count = 1,
        memory: Positive = 1.0,
        tolerance: Positive = 1e-3,
        solutions: Count | None = 672,
    ) -> None:
        self.every, self.memory, self.solutions = every, memory, solutions
        self.planner = Planner(forecaster, tolerance=tolerance)

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._fleet, self._physics = setting.fleet, setting.physics
        horizon = setting.horizon
        self._interval = max(self.every, -(-horizon // (self.solutions or horizon)))
        self._step = min(1.0, self.every / self.memory)
        self.planner.reset(setting)
        #: ``[..., K, R]``, the weights in use.
        self.weights = np.full(setting.footprint_shape, 1.0 / len(setting.fleet.regions))

    def price(self, slot: Slot, state: State) -> FloatArray:
        """Weights ``[..., K, R]``: see :class:`~equiload.agents.ensemble.SlotPricer`."""
        self.planner.see(slot)
        if slot.index % self._interval == 0:
            self.weights = self.weights + self._step * (self.planner.weights(state) - self.weights)
        return self.weights

    def act(self, slot: Slot, state: State) -> FloatArray:
        """Return the allocation ``[..., J, N]``."""
        unit = shadow_cost(slot, self.price(slot, state), self._physics)
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)


class EGLBPredicted:
    """eGLB that trusts predicted duals as far as it is told to.

    When slot ``after`` comes, eGLB-Off for the rest on a forecast gives weights ``ŵ``. The
    multipliers become ``trust·ŵ + (1 − trust)·γ`` once, and each slot from then on is dispatched at
    ``trust·ŵ + (1 − trust)·γ`` while mirror descent moves ``γ`` by what is played. With ``trust`` 0
    it is eGLB, with 1 the dispatch at ``ŵ``.

    Parameters
    ----------
    forecaster
        See :class:`EGLBMPC`.
    trust
        From 0 to 1.
    after
        Slots of plain eGLB before the forecast is made, for forecasters that need a history.
    every
        Slots until ``ŵ`` is found anew, from the footprints so far. None: never.
    eglb
        The mirror descent; by default eGLB's defaults.
    tolerance
        Relative gap at which a solution is good enough.
    """

    @checked
    def __init__(
        self,
        forecaster: Forecaster,
        *,
        trust: Share = 0.5,
        after: Number = 0,
        every: Count | None = None,
        eglb: EGLB | None = None,
        tolerance: Positive = 1e-3,
    ) -> None:
        self.trust, self.after, self.every = trust, after, every
        self.eglb = EGLB() if eglb is None else eglb
        self.planner = Planner(forecaster, tolerance=tolerance)

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self.eglb.reset(setting)
        self.planner.reset(setting)

    def act(self, slot: Slot, state: State) -> FloatArray:
        """Return the allocation ``[..., J, N]``."""
        eglb, since = self.eglb, slot.index - self.after
        if self.every or since <= 0:
            self.planner.see(slot)
        if since == 0 or (self.every and since > 0 and since % self.every == 0):
            self.predicted = self.planner.weights(state)
        if since == 0:
            eglb.multipliers += self.trust * (self.predicted - eglb.multipliers)
        weights = eglb.multipliers
        if since >= 0:
            weights = self.trust * self.predicted + (1 - self.trust) * weights
        allocation = eglb.dispatch(slot, weights)
        eglb.update(slot, allocation)
        return allocation
