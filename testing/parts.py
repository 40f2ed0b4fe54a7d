"""Do rewards and features keep to what their protocols promise?"""

from __future__ import annotations

import pickle
from copy import deepcopy
from dataclasses import replace

import numpy as np

from equiload.envs import Instance, Setting, Slot
from equiload.envs.gym import GLBVectorEnv
from equiload.envs.gym.features import Feature
from equiload.envs.gym.rewards import Reward
from equiload.envs.typing import FloatArray
from equiload.testing.problems import odd_problems

_ENTRIES = {"datacenter": "datacenters", "region": "regions", "gateway": "gateways"}


def check_reward(reward: Reward, instance: Instance | None = None) -> None:
    """Check that a reward telescopes: an episode's sum is ``−J`` plus a constant of the instance.

    So that whoever maximises it minimises ``J``. Two episodes of the same problems are played by
    different random actions, on a batch.

    Parameters
    ----------
    reward
        It is copied, and itself left alone.
    instance
        A batch of problems. Default: one of :func:`~equiload.testing.odd_problems`.

    Raises
    ------
    AssertionError
        The sums, where they differ by anything but what the objectives differ by.

    Examples
    --------
    >>> from equiload.envs.gym import Dense
    >>> check_reward(Dense())
    """
    instance = odd_problems()["batch"] if instance is None else instance
    count = int(np.prod(instance.batch, dtype=int))
    totals, objectives = [], []
    for seed in (0, 1):
        env = GLBVectorEnv(
            count, instance=instance, reward=deepcopy(reward), autoreset_mode="Disabled"
        )
        rng, total = np.random.default_rng(seed), np.zeros(count)
        env.reset(seed=0)  # the same episodes
        for _ in range(instance.horizon):
            actions = rng.normal(size=env.action_space.shape)
            _, earned, _, _, info = env.step(actions)
            total += earned * info.get("reward_unit", 1.0)  # US$
        totals.append(total)
        objectives.append(info["objective"])
    more, worse = totals[0] - totals[1], objectives[1] - objectives[0]
    size = np.abs(objectives).max()
    if not np.allclose(more, worse, rtol=0, atol=1e-7 * size):
        b = int(np.abs(more - worse).argmax())
        raise AssertionError(
            f"the reward does not telescope: two episodes of one problem differ by {more[b]:.6g} "
            f"US$ in reward, by {worse[b]:.6g} US$ in −J"
        )


def check_feature(feature: Feature, *, price_scale: float = 100.0) -> None:
    """Check that a feature is what it declares, and does not look ahead.

    On problems at the edges: as many finite entries as its blocks have; no dependence on later
    slots; a second episode is the first again; a batch gives what its members give; a copy or a
    pickle in mid-episode goes on as the original does.

    Parameters
    ----------
    feature
        It is copied, and itself left alone.
    price_scale
        US$/MWh, as the observer would hand it over.

    Raises
    ------
    AssertionError
        Which promise is broken, and on which problem.

    Examples
    --------
    >>> from equiload.envs.gym.features import SlotsLeft
    >>> check_feature(SlotsLeft())
    """
    for name, instance in odd_problems().items():
        used = deepcopy(feature)
        axes = used.reset(Setting.of(instance), price_scale=price_scale)
        fleet = instance.fleet
        width = sum(len(getattr(fleet, _ENTRIES[a])) if a in _ENTRIES else 1 for a in axes.values())
        rows = _observed(used, instance, price_scale)
        if rows.shape != (instance.horizon, *instance.batch, width):
            raise AssertionError(
                f"{name}: the feature's blocks have {width} entries, what it observes has shape "
                f"{rows.shape[1:]}"
            )
        if not np.isfinite(rows).all():
            raise AssertionError(f"{name}: the feature is not finite")
        if not np.array_equal(_observed(used, instance, price_scale), rows):
            raise AssertionError(f"{name}: another episode on the same problem is seen otherwise")
        half = instance.horizon // 2
        if not np.array_equal(_observed(used, instance, price_scale, copied=half), rows):
            raise AssertionError(f"{name}: a pickled copy made in mid-episode goes on otherwise")
        seen = _observed(deepcopy(feature), _changed_after(instance, half), price_scale)
        if not np.array_equal(seen[: half + 1], rows[: half + 1]):
            raise AssertionError(f"{name}: the feature depends on slots that are still to come")
        for b in np.ndindex(*instance.batch) if instance.batch else ():
            alone = _observed(deepcopy(feature), instance[b], price_scale)
            if not np.allclose(alone, rows[:, *b], rtol=1e-9, atol=1e-9):
                raise AssertionError(f"{name}: member {b} of a batch is seen otherwise than alone")


def _observed(
    feature: Feature, instance: Instance, price_scale: float, copied: int | None = None
) -> FloatArray:
    """``[T, ..., width]``; from slot ``copied`` on by the pickle of a copy."""
    feature.reset(Setting.of(instance), price_scale=price_scale)
    rows = []
    for t in range(instance.horizon):
        if t == copied:
            feature = pickle.loads(pickle.dumps(deepcopy(feature)))  # noqa: S301
        rows.append(np.asarray(feature.observe(Slot.of(instance, t)), dtype=np.float64))
    return np.stack(rows)


def _changed_after(instance: Instance, slot: int) -> Instance:
    """The same problem up to a slot, and other prices and intensities after it."""
    trace = instance.trace
    price, intensity = trace.price.copy(), trace.intensity.copy()
    price[..., slot + 1 :, :] += 17.0
    intensity[..., slot + 1 :, :] *= 1.5
    return instance.replace(trace=replace(trace, price=price, intensity=intensity))
