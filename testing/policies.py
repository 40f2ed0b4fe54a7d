"""Does a policy keep to what :class:`~equiload.envs.Policy` promises?"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from copy import deepcopy

import numpy as np

from equiload.envs import (
    DataError,
    InfeasibleError,
    Instance,
    Outcome,
    Policy,
    Setting,
    Slot,
    Trajectory,
    rollout,
)
from equiload.testing.problems import odd_problems

# Members of a batch may be rounded otherwise than alone (float32 in a network), and break a tie
# the other way; what the episode comes to is the same to this share of its size.
_SAME = 1e-4


def check_policy(policy: Policy, problems: Mapping[str, Instance] | None = None) -> dict[str, str]:
    """Check a policy on problems at the edges of what it may meet.

    On each: every allocation is feasible; a second episode is the first again; a batch gives what
    its members give alone; a copy or a pickle made in mid-episode goes on as the original does; and
    the slots that it is handed are left as they are.

    Parameters
    ----------
    policy
        Any online policy; it is copied, and itself left alone.
    problems
        By name. Default: :func:`odd_problems`.

    Returns
    -------
    dict
        The problems that the policy says it cannot act on (by a :class:`~equiload.envs.DataError`),
        with its sentence.

    Raises
    ------
    AssertionError
        Which promise is broken, and on which problem; also for a policy that acts on none.

    Examples
    --------
    >>> from equiload.agents import EGLB
    >>> check_policy(EGLB())
    {}
    """
    problems = odd_problems() if problems is None else problems
    refused = {}
    for name, instance in problems.items():
        try:
            outcome = rollout(deepcopy(policy), instance)
        except InfeasibleError as error:
            raise AssertionError(f"{name}: {error}") from None
        except DataError as error:
            refused[name] = str(error)
            continue
        _same_again(policy, instance, outcome, name)
        _members(policy, instance, outcome, name)
        _copies(policy, instance, name)
    if len(refused) == len(problems):
        raise AssertionError(f"the policy acts on no problem: {next(iter(refused.values()))}")
    return refused


def _same_again(policy: Policy, instance: Instance, outcome: Outcome, name: str) -> None:
    used = deepcopy(policy)
    for _ in range(2):
        if not np.array_equal(rollout(used, instance).load, outcome.load):
            raise AssertionError(f"{name}: another episode on the same problem comes out otherwise")


def _members(policy: Policy, instance: Instance, outcome: Outcome, name: str) -> None:
    for b in np.ndindex(*instance.batch) if instance.batch else ():
        alone = rollout(deepcopy(policy), instance[b])
        apart = abs(float(outcome.objective[b]) - float(alone.objective))
        if apart > _SAME * float(alone.gross):
            raise AssertionError(f"{name}: member {b} of a batch comes out otherwise than alone")


def _copies(policy: Policy, instance: Instance, name: str) -> None:
    driven = Trajectory(deepcopy(policy))
    driven.reset(Setting.of(instance))
    half = instance.horizon // 2
    for t in range(half):
        slot = Slot.of(instance, t)
        driven.act(slot)
        pairs = zip(slot.arrays(), Slot.of(instance, t).arrays(), strict=True)
        if not all(np.array_equal(now, before) for now, before in pairs):
            raise AssertionError(f"{name}: the policy has changed the slot that it was handed")
    twins = {"copy": deepcopy(driven), "pickle": pickle.loads(pickle.dumps(driven))}  # noqa: S301
    for t in range(half, instance.horizon):
        expected = driven.act(Slot.of(instance, t)).allocation
        for how, twin in twins.items():
            if not np.array_equal(twin.act(Slot.of(instance, t)).allocation, expected):
                raise AssertionError(f"{name}: a {how} made in mid-episode goes on otherwise")
