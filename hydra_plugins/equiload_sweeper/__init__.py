"""``hydra/sweeper=resuming``: Hydra takes plugins from the namespace ``hydra_plugins`` alone.

Every Hydra program that finds equiload installed imports this file, so it loads nothing.
"""

from __future__ import annotations

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class ResumingSweeper(BasicSweeper):
    """Every combination of the swept values, each run to its end once."""

    def sweep(self, arguments: list[str]) -> None:
        """Run what is not done: :func:`equiload.experiments.running.sweep.run_sweep`."""
        from equiload.experiments.running.sweep import run_sweep

        run_sweep(self, arguments)
