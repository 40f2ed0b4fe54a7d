"""Every algorithm of the configuration, held to what a policy or a solver promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from equiload.agents import EGLBOff
from equiload.envs import DataError, Policy, rollout
from equiload.envs.data import synthetic
from equiload.envs.make import registered
from equiload.experiments.running import config
from equiload.robust import RobustPolicy
from equiload.testing import check_policy, odd_problems

NAMES = sorted(registered("algorithm"))
#: What an algorithm may refuse, and the beginning of its sentence.
REFUSALS = {
    name: {"three kinds": "the policy was trained for the footprints carbon, water"}
    for name in ("learned", "robust_learned", "ensemble", "robust_ensemble", "learned_knobs")
}
#: Of offline solvers that do not look as far as the optimum does.
STATUS = {"rolling_foresight": "rolling horizon"}


def agents() -> dict[str, Any]:
    config.register()
    with initialize_config_module("equiload.conf", version_base="1.3"):
        composed = compose("evaluate", overrides=[f"algorithm=[{','.join(NAMES)}]"])
    return {name: instantiate(composed.algorithms[name].agent, _convert_="all") for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_its_promises(name: str) -> None:
    agent = agents()[name]
    expected = REFUSALS.get(name, {})
    if isinstance(agent, Policy):
        refused = check_policy(agent)
        assert refused.keys() == expected.keys()
        assert all(refused[problem].startswith(expected[problem]) for problem in refused)
    else:
        for instance in odd_problems().values():
            for b in np.ndindex(*instance.batch) if instance.batch else [None]:
                one = instance if b is None else instance[b]
                solution = agent.solve(one)
                assert solution.status == STATUS.get(name, "optimal")
                assert solution.lower_bound <= solution.objective + 1e-6 * abs(solution.objective)
                assert solution.outcome.load.sum() == pytest.approx(one.trace.demand.sum())
                assert (solution.outcome.load <= one.capacity * (1 + 1e-9) + 1e-12).all()


@pytest.mark.parametrize("name", NAMES)
def test_with_knobs_it_plays_or_says_why_not(name: str) -> None:
    day = synthetic(0, horizon=5, regions=3, reachability="partial", knobs="all")
    agent, plans = agents()[name], ("mpc", "predicted", "ensemble")
    if name.startswith("robust"):  # what a slot can bring is not known
        with pytest.raises(DataError, match="the layer needs bounds="):
            rollout(agent, day)
    elif any(plan in name for plan in plans):
        with pytest.raises(DataError, match="eGLB on forecasts decides nothing but routing, and"):
            rollout(agent, day)
    else:
        outcome = rollout(agent, day) if isinstance(agent, Policy) else agent.solve(day).outcome
        assert outcome.operation is not None
        least = EGLBOff().solve(day).lower_bound
        assert least <= outcome.objective + 1e-6 * abs(outcome.objective)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("robust")])
def test_its_certificate_holds(name: str) -> None:
    policy = agents()[name]
    assert isinstance(policy, RobustPolicy)
    check_policy(policy, {"plain": odd_problems()["plain"]})
