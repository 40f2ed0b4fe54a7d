"""The hindsight learner: gradients of the episode's own objective, through the simulator.

Nothing that is played changes the inputs, so ``J`` of a whole episode is a function of the policy's
parameters, differentiable once the dispatch is soft (hindsight differentiable policy optimisation,
Alvo et al. 2023; Madeka et al. 2022). No value function, no exploration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from equiload.agents.offline.decomposition import Decomposition
from equiload.envs import DataError, Instance, State, dual_bound
from equiload.envs.gym import DifferentiableSimulator
from equiload.envs.gym.actions import ActionSpec, Layer
from equiload.envs.gym.features import ACTION_SCALE, PRICE_SCALE, Feature

Gradient = Literal["slots", "episode"]


class Stream(Protocol):
    """Training problems: a function of the step's number alone, so that training can resume."""

    def __call__(self, step: int) -> Instance:
        """A batch of instances with one leading axis."""
        ...


@dataclass(frozen=True, kw_only=True)
class HindsightOptions:
    """How the hindsight learner learns.

    Parameters
    ----------
    steps
        Gradient steps in all: the cosine schedules of learning rate and temperature end there.
    learning_rate
        Adam's, at its highest, after a warm-up of ``warmup`` steps; it ends at a fiftieth of that.
    clip
        Gradients are scaled down to this norm; ``J`` counts relative to the problem's own size.
    temperature
        US$/MWh, of the dispatch, at the first and the last step. Gradients alone are softened in
        ``slots``, the episode too in ``episode``.
    gradient
        ``"slots"``: episodes are played exactly and without gradients; then the derivative of
        ``J`` in every slot's load is followed back into that slot's action, all else as played.
        What an action changes in later *actions* is left out: near a good policy it is of second
        order (envelope theorem), while its variance is not. One pass over all slots at once.
        ``"episode"``: back through time, later reactions included, over ``truncate`` slots.
    truncate
        With ``"episode"``: gradients flow through so many slots of observations; none: all.
    share
        With ``"slots"``: share of an episode's slots in a gradient, drawn anew each step.
    smoothing
        With ``"slots"``: ``max_r S`` counts as its soft maximum, of a width of this share of it.
    target
        With ``"slots"``, at which shadow prices a slot's load is judged: those of the episode
        as played (``"own"``), or eGLB-Off's duals (``"offline"``), which is imitation.
    average
        Decay of the exponential moving average of the parameters, which is what is evaluated.
    """

    steps: int = 1500
    learning_rate: float = 2e-3
    warmup: int = 20
    clip: float = 0.05
    temperature: tuple[float, float] = (10.0, 1.5)
    gradient: Gradient = "slots"
    truncate: int | None = None
    share: float = 0.25
    smoothing: float = 0.01
    target: Literal["own", "offline"] = "own"
    average: float = 0.98

    def __post_init__(self) -> None:
        if self.gradient not in ("slots", "episode"):
            raise DataError(f"gradient must be slots or episode, got {self.gradient!r}")
        if self.target not in ("own", "offline"):
            raise DataError(f"target must be own or offline, got {self.target!r}")
        object.__setattr__(self, "temperature", tuple(self.temperature))
        positive = ("steps", "learning_rate", "clip", "share", "smoothing")
        for name in positive:
            if not getattr(self, name) > 0:
                raise DataError(f"{name} must be above 0, got {getattr(self, name)}")
        if not (self.share <= 1 and 0 <= self.average < 1 and min(self.temperature) > 0):
            raise DataError(
                "share must be at most 1, average below 1 and temperatures above 0, got "
                f"{self.share}, {self.average}, {self.temperature}"
            )
        if self.truncate is not None and self.truncate < 1:
            raise DataError(f"truncate must be at least 1 slot, got {self.truncate}")


class HindsightLearner:
    """Trains a network on the objective itself.

    Parameters
    ----------
    network
        Maps observations ``[..., F]`` to actions; it is trained in place. :attr:`average` is the
        moving average of it, to be evaluated and kept.
    stream
        Where the problems come from.
    options
        See :class:`HindsightOptions`.
    bind
        Called with the network and the step's simulator: the fleet may be another one.
    features
        Makes the features for a batch of problems.
    action, action_scale, price_scale
        As for the environment.
    layer
        Makes the layer to train *through*, or nothing: ``J`` is then what the wrapped policy
        costs. With ``"slots"`` the blend's α counts as constant.
    device
        Where to compute.
    seed
        Of the slots drawn.
    """

    def __init__(
        self,
        network: nn.Module,
        stream: Stream,
        options: HindsightOptions,
        *,
        bind: Callable[[nn.Module, DifferentiableSimulator], None],
        features: Callable[[Instance], Sequence[Feature]] = lambda _: (),
        action: ActionSpec = "shadow_prices",
        action_scale: float = ACTION_SCALE,
        price_scale: float = PRICE_SCALE,
        layer: Callable[[], Layer] | None = None,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        self.network, self.stream, self.options = network.to(device), stream, options
        self.average = deepcopy(self.network)
        self._bind, self._features, self._layer = bind, features, layer
        self._action, self._scale, self._price_scale = action, action_scale, price_scale
        self._device, self._seed = device, seed
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=options.learning_rate)
        #: Gradient steps done.
        self.steps = 0

    def step(self) -> dict[str, float]:
        """One gradient step on fresh problems; what happened, by name."""
        options = self.options
        instance = self.stream(self.steps)
        heat = self._temperature()
        simulator = DifferentiableSimulator(
            instance,
            device=self._device,
            dtype=torch.float32,
            action=self._action,
            action_scale=self._scale,
            price_scale=self._price_scale,
            features=self._features(instance),
            layer=self._layer() if self._layer else None,
        )
        self._bind(self.network, simulator)
        size = torch.as_tensor(_size(instance), dtype=torch.float32, device=self._device)
        if options.gradient == "slots":
            loss, objective = self._by_slots(simulator, heat, size)
        else:
            loss = objective = self._by_episode(simulator, heat, size)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), options.clip)
        if not torch.isfinite(norm):
            raise DataError(f"the gradient of step {self.steps} is not finite: lower learning_rate")
        self.optimizer.step()
        self.steps += 1
        self._follow()
        return {
            "objective": float(objective.detach()),
            "gradient_norm": float(norm),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "temperature": heat,
        }

    def _by_slots(
        self, simulator: DifferentiableSimulator, heat: float, size: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss whose gradient is that of ``J`` with all other slots as played; and ``J``."""
        T, mu = simulator.horizon, simulator.mu
        seen, alphas = [], []
        with torch.no_grad():
            simulator.temperature = 0.0
            state, observation = simulator.reset()
            for t in range(T):
                seen.append(observation)
                state, observation = simulator.step(t, state, self.network(observation))
                if simulator.layer is not None:
                    alphas.append(torch.as_tensor(simulator.layer.info()["alpha"]))
            weights = self._prices(simulator.instance, state.footprint)
            objective = (state.objective(mu) / size).mean()
        rng = np.random.default_rng([self._seed, self.steps])
        count = max(1, round(self.options.share * T))
        index = np.sort(rng.choice(T, count, replace=False)).tolist()
        slots = simulator.slots(index)
        simulator.temperature = heat
        observations = torch.stack([seen[t] for t in index])
        decision = simulator.decide(self.network(observations), slots)
        cost = simulator.priced(decision, slots, weights)
        if alphas:
            cost = cost * torch.stack([alphas[t] for t in index]).to(cost.dtype)
        return (cost / size).sum(0).mean() * (T / count), objective

    def _prices(self, instance: Instance, footprint: Tensor) -> Tensor:
        """``[B, K, R]``: shadow prices that the slots are judged at."""
        if self.options.target == "own":
            top = footprint.amax(-1, keepdim=True)
            return torch.softmax((footprint - top) / (self.options.smoothing * top + 1e-30), -1)
        solver = Decomposition(tolerance=1e-3)
        ones = (instance.replace(trace=instance.trace[b]) for b in range(instance.batch[0]))
        return footprint.new_tensor(np.stack([solver.solve(one).weights for one in ones]))

    def _by_episode(self, simulator: DifferentiableSimulator, heat: float, size: Tensor) -> Tensor:
        """Mean relative ``J``, with gradients through ``truncate`` slots of observations."""
        simulator.temperature = heat
        state, observation = simulator.reset()
        begin = total = state
        for t in range(simulator.horizon):
            if self.options.truncate and t and t % self.options.truncate == 0:
                total = _plus(total, begin, state)
                begin = state = State(state.cost.detach(), state.footprint.detach())
                observation = observation.detach()
            state, observation = simulator.step(t, state, self.network(observation))
        objective: Tensor = _plus(total, begin, state).objective(simulator.mu)
        return (objective / size).mean()

    def _progress(self) -> float:
        return min(self.steps / self.options.steps, 1.0)

    # By hand: torch's LambdaLR and AveragedModel multiply in another order and copy the first
    # weights as they are, so that runs would not come out as they did.

    def _rate(self) -> float:
        falling = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self._progress()))
        rising = min(1.0, (self.steps + 1) / max(self.options.warmup, 1))
        return self.options.learning_rate * rising * falling

    def _temperature(self) -> float:
        first, last = self.options.temperature
        return float(first * (last / first) ** self._progress())

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(self.options.average, self.steps / (self.steps + 10))
        pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
        for kept, now in pairs:
            kept.lerp_(now, 1 - decay)


def _plus(total: State, begin: State, state: State) -> State:
    return State(
        total.cost + state.cost - begin.cost, total.footprint + state.footprint - begin.footprint
    )


def _size(instance: Instance) -> np.ndarray:
    """``[B]``, US$: what the problems cost, about: the dual bound at equal weights."""
    K, R = len(instance.objective.mu), len(instance.fleet.regions)
    bound = dual_bound(instance, np.full((K, R), 1.0 / R))
    return np.maximum(np.abs(bound.value), 1e-2 * bound.outcome.gross) + 1e-300
