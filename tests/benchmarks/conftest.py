"""What a run of the benchmarks says about the machine."""

import os
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("numpy", "numba", "torch", "stable-baselines3", "highspy", "ortools", "POT", "cvxpy")


def pytest_benchmark_update_machine_info(machine_info: dict) -> None:
    """Versions of what is compared, and the memory."""
    machine_info["packages"] = {}
    for name in PACKAGES:
        try:
            machine_info["packages"][name] = version(name)
        except PackageNotFoundError:
            continue
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine_info["gib"] = pages / 2**30
