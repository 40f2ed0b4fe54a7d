"""The errors that equiload raises on purpose; each message is one clear sentence."""


def printable(text: object) -> str:
    """One line without what a terminal would obey; such characters are written as escapes."""
    line = " ".join(part.strip() for part in str(text).splitlines())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


class EquiloadError(Exception):
    """Base class: anything a caller can mend by calling otherwise."""

    def __str__(self) -> str:
        """One line: names, cells and answers that it quotes may hold anything."""
        return printable(super().__str__())


class DataError(EquiloadError, ValueError):
    """An instance, a file or an option that cannot be used, and why."""


class InfeasibleError(EquiloadError, ValueError):
    """Demand that cannot be served, or an allocation outside the feasible set."""


class UsageError(EquiloadError, RuntimeError):
    """A call out of order: a step before the first reset, say."""


class SolverError(EquiloadError, RuntimeError):
    """A solver that stopped without a usable solution."""
