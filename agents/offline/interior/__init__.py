"""A structured interior point for the linear program with knobs: linear in the number of slots.

``form`` lays a problem out, ``newton`` and ``blocks`` solve an iteration's system, ``method``
iterates, ``repair`` and ``solver`` certify what comes out. Formulas: docs/interior.md.
"""

from equiload.agents.offline.interior.solver import solve_interior

__all__ = ["solve_interior"]
