"""The hindsight learner: gradients of the episode's own objective, through the simulator.

Nothing that is played changes the inputs, so ``J`` of a whole episode is a function of the policy's
parameters, differentiable once the dispatch is soft (hindsight differentiable policy optimisation,
Alvo et al. 2023; Madeka et al. 2022). No value function, no exploration.

Episodes are played exactly and without gradients; then the derivative of ``J`` in every slot's load
is followed back into that slot's action, all else as played. What an action changes in later
*actions* is left out: near a good policy it is of second order (envelope theorem), while its
variance is not. One pass over all slots at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from equiload.agents.offline.decomposition import Decomposition
from equiload.envs import DataError, Instance, dual_bound
from equiload.envs.checking import checked
from equiload.envs.gym import DifferentiableSimulator
from equiload.envs.gym.actions import ActionSpec, Layer
from equiload.envs.gym.features import ACTION_SCALE, PRICE_SCALE, Feature
from equiload.envs.typing import Count, Number, Positive


class Stream(Protocol):
    """Training problems: a function of the step's number alone, so that training can resume."""

    def __call__(self, step: int) -> Instance:
        """A batch of instances with one leading axis."""
        ...


@checked
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
        US$/MWh, of the dispatch that gradients go through, at the first and the last step.
    share
        Share of an episode's slots in a gradient, drawn anew each step.
    smoothing
        ``max_r S`` counts as its soft maximum, of a width of this share of it.
    target
        At which shadow prices a slot's load is judged: those of the episode as played
        (``"own"``), or eGLB-Off's duals (``"offline"``), which is imitation.
    average
        Decay of the exponential moving average of the parameters, which is what is evaluated.
    """

    steps: Count = 1500
    learning_rate: Positive = 2e-3
    warmup: Number = 20
    clip: Positive = 0.05
    temperature: tuple[Positive, Positive] = (10.0, 1.5)
    share: Annotated[float, Field(gt=0, le=1)] = 0.25
    smoothing: Positive = 0.01
    target: Literal["own", "offline"] = "own"
    average: Annotated[float, Field(ge=0, lt=1)] = 0.98

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature", tuple(self.temperature))


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
        costs. The blend's α counts as constant.
    device
        Where to compute.
    seed
        Of the slots drawn.

    Examples
    --------
    >>> from equiload.agents.learn import Layout, RegionNetwork, SyntheticStream
    >>> from equiload.envs import Setting
    >>> from equiload.envs.gym import Observer
    >>> stream, observer = SyntheticStream(batch=2, horizons=[12], regions=3), Observer()
    >>> setting = Setting.of(stream(0))
    >>> observer.reset(setting)
    >>> network = RegionNetwork(Layout.of(observer, setting), hidden=8, depth=1)
    >>> def bind(network, simulator):
    ...     network.bind(Layout.of(simulator.observer, simulator.setting))
    >>> learner = HindsightLearner(network, stream, HindsightOptions(steps=1), bind=bind)
    >>> sorted(learner.step())
    ['gradient_norm', 'learning_rate', 'objective', 'temperature']
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
        temperature = self._temperature()
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
        simulator.setting.require_plain("the hindsight learner")
        self._bind(self.network, simulator)
        size = torch.as_tensor(_size(instance), dtype=torch.float32, device=self._device)
        loss, objective = self._loss(simulator, temperature, size)
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
            "temperature": temperature,
        }

    def _loss(
        self, simulator: DifferentiableSimulator, temperature: float, size: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss whose gradient is that of ``J`` with all other slots as played; and ``J``."""
        T, mu = simulator.horizon, simulator.mu
        observations, alphas = [], []
        with torch.no_grad():
            simulator.temperature = 0.0
            state, observation = simulator.reset()
            for t in range(T):
                observations.append(observation)
                state, observation = simulator.step(t, state, self.network(observation))
                if simulator.layer is not None:
                    alphas.append(torch.as_tensor(simulator.layer.info()["alpha"]))
            weights = self._prices(simulator.instance, state.footprint)
            objective = (state.objective(mu) / size).mean()
        rng = np.random.default_rng([self._seed, self.steps])
        count = max(1, round(self.options.share * T))
        index = np.sort(rng.choice(T, count, replace=False)).tolist()
        slots = simulator.slots(index)
        simulator.temperature = temperature
        drawn = torch.stack([observations[t] for t in index])
        decision = simulator.decide(self.network(drawn), slots)
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
        for average, now in pairs:
            average.lerp_(now, 1 - decay)


def _size(instance: Instance) -> np.ndarray:
    """``[B]``, US$: what the problems cost, about: the dual bound at equal weights."""
    K, R = len(instance.objective.mu), len(instance.fleet.regions)
    bound = dual_bound(instance, np.full((K, R), 1.0 / R))
    return np.maximum(np.abs(bound.value), 1e-2 * bound.outcome.gross) + 1e-300
