"""The errors that equiload raises on purpose; each message is one clear sentence."""


class EquiloadError(Exception):
    """Base class: anything a caller can mend by changing what was passed in."""


class DataError(EquiloadError, ValueError):
    """An instance, a file or an option that cannot be used, and why."""


class InfeasibleError(EquiloadError, ValueError):
    """Demand that cannot be served, or an allocation outside the feasible set."""


class SolverError(EquiloadError, RuntimeError):
    """A solver that stopped without a usable solution."""
