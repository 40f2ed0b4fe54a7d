"""``equity_for``: the weight that reaches a target, against weights tried one by one."""

from __future__ import annotations

import re

import numpy as np
import pytest

from equiload.agents import EGLBOff, equity_for
from equiload.envs import DataError, Instance
from equiload.envs.data import synthetic

DAY = synthetic("validation/2", horizon=24, reachability="partial")
STORED = synthetic("validation/2", horizon=24, knobs=["storage"])


def peak(instance: Instance, kind: str, weight: float) -> float:
    outcome = EGLBOff().solve(instance.weighed({kind: weight})).outcome
    return float(outcome.max_footprint[instance.trace.footprints.index(kind)])


@pytest.mark.parametrize(
    ("instance", "kind"), [(DAY, "carbon"), (DAY, "water"), (STORED, "carbon")]
)
def test_no_weight_of_a_grid_is_between_it_and_the_target(instance: Instance, kind: str) -> None:
    usual = instance.objective.equity_weight[kind]
    weights = usual * np.geomspace(0.02, 50.0, 18)
    peaks = np.array([peak(instance, kind, weight) for weight in weights])
    assert peaks[0] > 1.05 * peaks[-1]
    for target in np.linspace(peaks[-1], peaks[0], 5)[1:-1]:
        found = equity_for(instance, kind, at_most=float(target))
        assert peak(instance, kind, found) <= target < peak(instance, kind, 0.998 * found)
        first = int(np.argmax(peaks <= target))  # the first of the grid that reaches it
        assert weights[first - 1] < found <= 1.001 * weights[first]


def test_what_the_cheapest_keeps_to_needs_no_weight() -> None:
    assert equity_for(DAY, "carbon", at_most=1.01 * peak(DAY, "carbon", 0.0)) == 0.0


def test_a_target_that_no_weight_reaches_is_refused_with_the_lowest() -> None:
    free = DAY.replace(trace=DAY.trace.replace(price=np.zeros(DAY.trace.price.shape)))
    lowest = EGLBOff().solve(free.weighed({"carbon": 1.0, "water": 0.0})).lower_bound
    with pytest.raises(DataError, match="no weight of carbon keeps every region below") as refused:
        equity_for(DAY, "carbon", at_most=0.999 * lowest)
    told = re.search(r"the highest carries (\S+) t", str(refused.value))
    assert told is not None
    assert float(told[1]) == pytest.approx(lowest, rel=1e-5)
    assert peak(DAY, "carbon", equity_for(DAY, "carbon", at_most=1.001 * lowest)) <= 1.001 * lowest


def test_what_is_no_question_is_refused() -> None:
    with pytest.raises(DataError, match="no footprint kind 'carbn'; did you mean 'carbon'"):
        equity_for(DAY, "carbn", at_most=1.0)
    with pytest.raises(DataError, match="'at_most' must be at least 0, got -1"):
        equity_for(DAY, at_most=-1.0)
    with pytest.raises(DataError, match="one instance"):
        equity_for(synthetic(0, horizon=4, batch=2), at_most=1.0)


def test_other_kinds_keep_their_weights_and_a_solver_may_be_chosen() -> None:
    target = 0.9 * peak(DAY, "carbon", 0.0)
    exact = equity_for(DAY, at_most=target, tolerance=1e-6, solver=EGLBOff(solver="lp"))
    assert equity_for(DAY, at_most=target, tolerance=1e-6) == pytest.approx(exact, rel=1e-4)
    dry = DAY.weighed({"water": 0.0})
    assert equity_for(dry, at_most=target) != pytest.approx(exact, rel=1e-2)
