"""Counts of what the faults were tried on, printed at the end: ``make faults``."""

from collections import Counter

import pytest

TRIED: Counter[str] = Counter()


@pytest.fixture
def tried() -> Counter[str]:
    """What was tried, by kind."""
    return TRIED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TRIED:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(TRIED.items()))
        terminalreporter.write_line(f"tried: {counts}")
