"""The checks find what they are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from equiload.agents import EGLB, GLBCost
from equiload.agents.forecast import SameHour
from equiload.envs import DataError, Instance, Setting, Slot, State
from equiload.envs.data import Bloom10Source, RecordedSource, Source, SyntheticSource, synthetic
from equiload.envs.gym import Dense
from equiload.envs.gym.features import (
    make_features,
)
from equiload.envs.gym.rewards import Transition
from equiload.envs.make import make, registered
from equiload.envs.typing import FloatArray
from equiload.testing import check_feature, check_policy, check_reward, check_source


class Overfull(GLBCost):
    def act(self, slot: Slot, state: State) -> FloatArray:
        return 1.1 * super().act(slot, state)


class Remembering(GLBCost):
    """What it does depends on the episodes before."""

    episodes = 0

    def reset(self, setting: Setting) -> None:
        super().reset(setting)
        self.episodes += 1

    def act(self, slot: Slot, state: State) -> FloatArray:
        unit = slot.price * (-1) ** self.episodes
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)


class Mixing(GLBCost):
    """Takes the prices of a batch's first member for everyone's."""

    def act(self, slot: Slot, state: State) -> FloatArray:
        price = slot.price.reshape(-1, slot.price.shape[-1])[0]
        unit = np.broadcast_to(price, slot.price.shape)
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)


class Scribbling(GLBCost):
    def act(self, slot: Slot, state: State) -> FloatArray:
        slot.price[:] = 0.0
        return super().act(slot, state)


class Sharing(EGLB):
    """A copy is no copy: both count in one list."""

    slots: list[int] = []  # noqa: RUF012

    def reset(self, setting: Setting) -> None:
        super().reset(setting)
        self.slots.clear()

    def act(self, slot: Slot, state: State) -> FloatArray:
        self.slots.append(slot.index)
        unit = slot.price * (-1) ** len(self.slots)
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)


class Choosy(GLBCost):
    def reset(self, setting: Setting) -> None:
        raise DataError("not today")


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (Overfull(), "plain: slot 0: the allocation does not send out all demand of gateway 0"),
        (Remembering(), "plain: another episode on the same problem comes out otherwise"),
        (Mixing(), "batch: member .* of a batch comes out otherwise than alone"),
        (Scribbling(), "plain: the policy has changed the slot that it was handed"),
        (Sharing(), "plain: a (copy|pickle) made in mid-episode goes on otherwise"),
        (Choosy(), "the policy acts on no problem: not today"),
    ],
)
def test_a_policy_that_breaks_a_promise_is_found(policy: Any, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_policy(policy)


@pytest.mark.parametrize("name", sorted(registered("reward")))
def test_rewards_telescope(name: str) -> None:
    check_reward(make("reward", name))


def test_a_reward_that_does_not_telescope_is_found() -> None:
    class Thrifty(Dense):
        def __call__(self, step: Transition) -> FloatArray:
            return -step.cost.energy

    with pytest.raises(AssertionError, match="the reward does not telescope"):
        check_reward(Thrifty())


@pytest.mark.parametrize("name", sorted(registered("feature")))
def test_features_keep_their_promises(name: str) -> None:
    (feature,) = make_features([name], SameHour())
    check_feature(feature)


class Wrong:
    """A feature with a fault."""

    def __init__(self, fault: str) -> None:
        self.fault, self.slots = fault, 0

    def reset(self, setting: Setting, *, price_scale: float) -> Mapping[str, Any]:
        self.batch = setting.batch
        if self.fault != "memory":
            self.slots = 0
        return {"mine": "common"}

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | ({"slots": 0} if self.fault == "pickle" else {})

    def observe(self, slot: Slot) -> FloatArray:
        self.slots += 1
        row = np.full((*self.batch, 2 if self.fault == "width" else 1), float(self.slots))
        return row * np.nan if self.fault == "nan" else row


class Prophetic(Wrong):
    """Says the price of the next slot, where a copy of it has met that hour before."""

    prices: dict[Any, FloatArray] = {}  # noqa: RUF012

    def observe(self, slot: Slot) -> FloatArray:
        self.prices[np.max(slot.timestamp)] = slot.price
        later = self.prices.get(np.max(slot.timestamp) + np.timedelta64(1, "h"))
        return np.full((*self.batch, 1), 0.0 if later is None else float(np.max(later)))


@pytest.mark.parametrize(
    ("feature", "sentence"),
    [
        (Wrong("width"), "plain: the feature's blocks have 1 entries, what it observes has shape"),
        (Wrong("nan"), "plain: the feature is not finite"),
        (Wrong("memory"), "plain: another episode on the same problem is seen otherwise"),
        (Prophetic(""), "plain: another episode on the same problem is seen otherwise"),
        (Wrong("pickle"), "plain: a pickled copy made in mid-episode goes on otherwise"),
    ],
)
def test_a_feature_that_breaks_a_promise_is_found(feature: Any, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_feature(feature)


def test_sources_keep_their_promises() -> None:
    recorded = RecordedSource(synthetic(0, horizon=400))
    for source in (SyntheticSource(3), recorded):
        check_source(source)


def test_a_source_that_breaks_a_promise_is_found() -> None:
    class Fickle(SyntheticSource):
        calls = 0

        def draw(self, draw: Any, **options: Any) -> Instance:
            Fickle.calls += 1
            return super().draw(Fickle.calls, **options)

    class Stuck(SyntheticSource):
        def draw(self, draw: Any, **options: Any) -> Instance:
            return super().draw(0, **options)

    class Same(SyntheticSource):
        def instance(self, *, reachability: str = "full", horizon: int | None = None) -> Instance:
            return super().instance(horizon=horizon)

    for source, sentence in (
        (Fickle(), "train/0 is not the same again"),
        (Stuck(), "train/0 and train/1 are the same"),
        (Same(), "the reachabilities full, partial are the same"),
    ):
        with pytest.raises(AssertionError, match=sentence):
            check_source(source)


def test_the_published_trace(bloom10_root: Any) -> None:
    source: Source = Bloom10Source(bloom10_root)
    check_source(source)
