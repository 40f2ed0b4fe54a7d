"""Checks for one's own policies, rewards, features and sources, as this project checks its own.

Each raises an ``AssertionError`` of one sentence where a promise is broken::

    from equiload.testing import check_policy

    def test_mine():
        check_policy(MyPolicy())

:func:`score` scores a policy on a task of the ladder (docs/tasks.md), beside eGLB and the optimum.
:mod:`equiload.testing.strategies` holds the Hypothesis strategies (they need Hypothesis).
"""

from equiload.testing.parts import check_feature, check_reward
from equiload.testing.policies import check_policy
from equiload.testing.problems import odd_problems
from equiload.testing.scores import Score, score
from equiload.testing.sources import check_source

__all__ = [
    "Score",
    "check_feature",
    "check_policy",
    "check_reward",
    "check_source",
    "odd_problems",
    "score",
]
