"""The errors that equiload raises on purpose; each message is one clear sentence."""


class EquiloadError(Exception):
    """Base class: anything a caller can mend by calling otherwise."""


class DataError(EquiloadError, ValueError):
    """An instance, a file or an option that cannot be used, and why."""


class InfeasibleError(EquiloadError, ValueError):
    """Demand that cannot be served, or an allocation outside the feasible set."""


class UsageError(EquiloadError, RuntimeError):
    """A call out of order: a step before the first reset, say."""


class SolverError(EquiloadError, RuntimeError):
    """A solver that stopped without a usable solution."""
