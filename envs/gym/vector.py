"""``equiload/GLB-v0`` natively batched: ``B`` episodes in array operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, Unpack

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from equiload.envs.checking import checked
from equiload.envs.errors import DataError, UsageError
from equiload.envs.gym.actions import finite_actions
from equiload.envs.gym.core import Core, Options
from equiload.envs.gym.observer import Float32Array
from equiload.envs.gym.render import Rendered
from equiload.envs.instance import Instance, Trace
from equiload.envs.threads import side_by_side
from equiload.envs.typing import BoolArray, FloatArray

# Episodes per shard. Shards run side by side; smaller ones spend their time passing the interpreter
# lock on, larger ones leave a core's cache.
_SHARD = 4096

_T = TypeVar("_T")


class GLBVectorEnv(Rendered, VectorEnv[Any, Any, Any]):
    """``num_envs`` episodes in lock-step, each on its own instance; the numbers of single ones.

    Episodes have one horizon, so all end together. Environment ``b`` draws from a generator of its
    own, seeded ``seed + b`` as Gymnasium seeds single environments.

    Parameters
    ----------
    num_envs
        ``B``.
    autoreset_mode
        Gymnasium's: next step (default), same step, or disabled (call ``reset`` yourself).
    render_mode
        ``"ansi"``, ``"rgb_array"`` or none.
    options
        See :class:`~equiload.envs.gym.core.Core`.

    Examples
    --------
    >>> envs = GLBVectorEnv(4, horizon=24, reward="terminal")
    >>> observation, info = envs.reset(seed=0)
    >>> observation, reward, ended, _, info = envs.step(envs.action_space.sample())
    >>> observation.shape == (4, len(envs.feature_names)), reward
    (True, array([0., 0., 0., 0.]))
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (as in Gymnasium's base class)
        **Rendered.metadata,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    @checked
    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._set_render_mode(render_mode)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.num_envs = num_envs
        widest = num_envs if render_mode else _SHARD
        first = Core(min(num_envs, widest), **options)
        #: The episodes, in shards that fit a core's cache.
        self.shards = [(slice(0, first.count), first)]
        for start in range(widest, num_envs, widest):
            cut = slice(start, min(start + widest, num_envs))
            self.shards.append((cut, first.sibling(cut.stop - cut.start)))
        self.core = first
        self.single_action_space = self.core.action_space
        self.single_observation_space = self.core.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._rngs: list[np.random.Generator] = []
        self._over = False

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Draw every episode anew; ``seed`` is one number (environment ``b`` adds ``b``) or many.

        ``options`` may hold ``start`` and ``member`` (see the single environment) and
        ``reset_mask``, which must be all true, since episodes run in lock-step.
        """
        options = dict(options or {})
        if not np.all(options.pop("reset_mask", True)):
            raise DataError("episodes run in lock-step: reset_mask must hold for all of them")
        self._seed(seed)
        observation, info = self._begin(options)
        return observation, info

    def step(self, actions: Any) -> tuple[Any, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        """Place every episode's load; at the end of the episodes see ``autoreset_mode``."""
        never = np.zeros(self.num_envs, dtype=np.bool_)
        if self._over and self.autoreset_mode is AutoresetMode.NEXT_STEP:
            observation, info = self._begin({})
            return observation, np.zeros(self.num_envs), never.copy(), never, info
        values = finite_actions(actions, (self.num_envs,), self.core.action.shape)
        observation = self._blank()
        steps = self._each(lambda cut, core: core.step(values[cut], observation[cut]))
        reward = steps[0].reward
        if len(steps) > 1:
            reward = np.concatenate([step.reward for step in steps])
        info, done = self._joined([step.info for step in steps]), steps[0].done
        self._extend_film()
        self._over = done
        shown = self.core.present(observation)
        if done and self.autoreset_mode is AutoresetMode.SAME_STEP:
            rows = np.empty(self.num_envs, dtype=object)
            rows[:] = [self.core.present(row) for row in observation]
            final = self._joined([{"final_obs": rows, "final_info": info}])
            shown, info = self._begin({})
            info |= final
        return shown, reward, np.full(self.num_envs, done), never, info

    @property
    def instance(self) -> Instance:
        """The running episodes with all their slots, a batch: for evaluation, not for acting."""
        if self.core.episodes is None:
            raise UsageError("there is no episode before the first reset")
        parts = [core.episodes.instance() for _, core in self.shards if core.episodes]
        return parts[0].replace(
            trace=Trace.stack([p.trace[b] for p in parts for b in range(p.batch[0])])
        )

    def _seed(self, seed: int | Sequence[int | None] | None) -> None:
        if seed is None and self._rngs:
            return
        if seed is None or isinstance(seed, int | np.integer):
            seeds = [None if seed is None else int(seed) + b for b in range(self.num_envs)]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise DataError(f"expected {self.num_envs} seeds, got {len(seeds)}")
        running: Sequence[np.random.Generator | None] = self._rngs or [None] * self.num_envs
        self._rngs = [
            rng if rng is not None and s is None else seeding.np_random(s)[0]
            for s, rng in zip(seeds, running, strict=True)
        ]

    def _begin(self, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        self._over = False
        observation = self._blank()
        starts = self._each(
            lambda cut, core: core.reset(self._rngs[cut], options, observation[cut])
        )
        self._begin_film()
        return self.core.present(observation), self._joined([info for _, info in starts])

    def _blank(self) -> Float32Array:
        return np.empty((self.num_envs, self.core.observer.size), dtype=np.float32)

    def _each(self, work: Callable[[slice, Core], _T]) -> list[_T]:
        """Run the shards, side by side where there are several."""
        return side_by_side(lambda shard: work(*shard), self.shards)

    def _joined(self, infos: list[dict[str, Any]]) -> dict[str, Any]:
        """The shards' numbers, and by Gymnasium's convention which environments have them."""
        info = infos[0]
        if len(infos) > 1:
            info = {name: np.concatenate([shard[name] for shard in infos]) for name in info}
        everywhere = np.ones(self.num_envs, dtype=np.bool_)
        return info | {f"_{name}": everywhere for name in info}
