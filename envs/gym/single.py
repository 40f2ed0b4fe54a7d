"""``equiload/GLB-v0``: one episode at a time."""

from __future__ import annotations

from typing import Any, Unpack

import gymnasium as gym

from equiload.envs.errors import UsageError
from equiload.envs.gym.actions import finite_actions
from equiload.envs.gym.core import Core, Options
from equiload.envs.gym.render import Rendered
from equiload.envs.instance import Instance


class GLBEnv(Rendered, gym.Env[Any, Any]):
    """Equity-aware geographical load balancing as a Markov decision process.

    One step is one slot. Prices, footprint intensities, demand and capacity of the slot are seen,
    then the load is placed; what comes later is not seen. The world is exogenous: no action
    changes it. docs/environment.md holds the tables of options, observations and ``info``.

    ================  ==========================================================================
    action            ``"shadow_prices"``: ``Box(-1, 1, (K·R,))``, weights over regions by softmax,
                      then the cheapest dispatch. ``"routing"``: ``Box(-1, 1, (J·N,))``, a split
                      per gateway by softmax, made feasible. ``"residual"``: ``Box(-3, 3, (K·R,))``,
                      departures from an expert's prices. Any finite number is understood, and
                      ``(K, R)`` or ``(J, N)`` in place of a row. Fleets with knobs have further
                      numbers: ``action_names`` names them, docs/knobs.md tells what they mean.
    observation       ``Box`` or ``Dict`` of float32, all of order one
                      (:class:`~equiload.envs.gym.Observer`).
    reward            US$; sums to ``−J``, or to the constant that the scheme states.
    episode end       ``terminated`` after the last slot: the horizon belongs to the problem and
                      is observed. Never ``truncated``.
    ``reset`` options ``start`` and ``member`` fix the window, which is random otherwise.
    ================  ==========================================================================

    Version history: v0, first release.

    Parameters
    ----------
    render_mode
        ``"ansi"``, ``"rgb_array"`` or none.
    options
        See :class:`~equiload.envs.gym.core.Core`.

    Examples
    --------
    >>> env = GLBEnv(horizon=24)
    >>> observation, info = env.reset(seed=0)
    >>> done, total = False, 0.0
    >>> while not done:
    ...     observation, reward, done, _, info = env.step(env.action_space.sample())
    ...     total += reward
    >>> bool(abs(total + info["objective"]) < 1e-6)
    True
    """

    def __init__(self, render_mode: str | None = None, **options: Unpack[Options]) -> None:
        self._set_render_mode(render_mode)
        self.core = Core(1, **options)
        self.action_space = self.core.action_space
        self.observation_space = self.core.observation_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Draw an episode and observe its first slot; equal seeds draw equal episodes."""
        super().reset(seed=seed)
        observation, info = self.core.reset([self.np_random], options)
        self._begin_film()
        return self.core.present(observation[0]), _scalars(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Place the slot's load; raises :class:`DataError` for an action that is not numbers."""
        values = finite_actions(action, (), self.core.action.shape)
        observation, reward, done, info = self.core.step(values[None])
        self._extend_film()
        return self.core.present(observation[0]), float(reward[0]), done, False, _scalars(info)

    def render(self) -> Any:
        """Text, or a picture ``[height, width, 3]`` of uint8, by ``render_mode``."""
        return super().render()[0]

    @property
    def instance(self) -> Instance:
        """The running episode with all its slots: for evaluation, not for acting."""
        if self.core.episodes is None:
            raise UsageError("there is no episode before the first reset")
        return self.core.episodes.instance(0)


def _scalars(info: dict[str, Any]) -> dict[str, Any]:
    return {name: values[0] for name, values in info.items()}
