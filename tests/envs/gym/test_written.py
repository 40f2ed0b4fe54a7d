"""A ``spec`` goes through JSON with every documented option, and makes an equal environment."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from equiload.agents import EGLB
from equiload.agents.forecast import SameHour
from equiload.agents.offline import dual_weights
from equiload.envs.data import synthetic
from equiload.envs.data.source import SyntheticSource
from equiload.envs.errors import DataError
from equiload.envs.gym import ENVIRONMENT, HindsightDual, Relative
from equiload.envs.gym.actions import RoutingAction
from equiload.envs.gym.features import ExpertPrices, ForecastMeans
from equiload.envs.instance import Instance


def draw(rng: np.random.Generator, batch: tuple[int, ...]) -> Instance:
    return synthetic(int(rng.integers(9)), horizon=9, regions=3, batch=batch)


POOL = synthetic(
    "train/1",
    horizon=9,
    batch=2,
    regions=3,
    sites=2,
    reachability="partial",
    ranges={"outages": 4.0},
)
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "instance": {"instance": POOL},
    "source": {"instance": SyntheticSource("train/5", regions=3, ranges={"outages": 3.0})},
    "source's name": {"instance": "synthetic:train/3", "reachability": "partial"},
    "generator": {"instance": draw},
    "reachability": {"reachability": np.eye(10, dtype=bool) | (np.arange(10) < 5)},
    "equity weight": {"equity_weight": {"nox": np.float64(10.0)}},
    "reward": {"reward": Relative(EGLB(step_size=2.0), percent=True)},
    "reward's function": {"reward": HindsightDual(dual_weights)},
    "action": {"action": RoutingAction, "action_scale": 2},
    "expert": {"action": {"kind": "residual", "expert": EGLB(step_size=3.0)}, "hold": 3},
    "features": {"features": [ExpertPrices(EGLB()), "place", ForecastMeans(SameHour(), hours=4)]},
    "shown": {"observation": "dict", "price_scale": 50.0, "render_mode": "ansi"},
}


def episodes(env: gymnasium.Env[Any, Any]) -> list[Any]:
    """Two, all that is seen and told in them."""
    told: list[Any] = []
    for seed in (3, None):
        told.append(env.reset(seed=seed))
        env.action_space.seed(0)
        while told[-1][-3:-2] != (True,):
            told.append(env.step(env.action_space.sample()))
    return told


@pytest.mark.parametrize("name", OPTIONS)
def test_a_spec_goes_through_json(name: str) -> None:
    env = gymnasium.make(ENVIRONMENT, **{"horizon": 7, **OPTIONS[name]})
    assert env.spec is not None
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    np.testing.assert_equal(episodes(again), episodes(env))
    assert again.spec.to_json() == env.spec.to_json()  # type: ignore[union-attr]


def test_a_limit_of_ones_own_is_kept() -> None:
    env = gymnasium.make(ENVIRONMENT, horizon=7, max_episode_steps=3)
    assert env.spec is not None
    assert EnvSpec.from_json(env.spec.to_json()).max_episode_steps == 3


def test_a_vector_spec_goes_through_json() -> None:
    envs = gymnasium.make_vec(ENVIRONMENT, num_envs=2, horizon=7, instance=POOL)
    again = gymnasium.make_vec(EnvSpec.from_json(envs.spec.to_json()), num_envs=2)
    np.testing.assert_equal(again.reset(seed=0), envs.reset(seed=0))


class Holds:
    """It does not hold what it is made of."""

    def __init__(self, times: float) -> None:
        self.doubled = 2 * times

    reset = __call__ = lambda self, _: 0.0


@pytest.mark.parametrize(
    "reward", [HindsightDual(lambda _: np.ones((2, 10)) / 10), Holds(2.0)], ids=["lambda", "class"]
)
def test_what_cannot_be_written_is_one_sentence(reward: Any) -> None:
    env = gymnasium.make(ENVIRONMENT, horizon=7, reward=reward)
    with pytest.raises(DataError, match=r"^reward cannot be written down, since <.*> is not made"):
        env.spec.to_json()  # type: ignore[union-attr]
