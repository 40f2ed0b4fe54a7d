"""A year of hours in twelve regions, as a user's files, through every program: time and memory.

``python tests/benchmarks/own_year.py FOLDER`` writes the files there and runs the programs on them.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from equiload.envs.data import synthetic

sys.path.insert(0, str(Path(__file__).parents[1]))
from own_data import write_world

PROGRAMS = {
    "data check": [],
    "data portrait": [],
    "benchmark": [],
    "evaluate": [],
    "predictions": ["draws=2"],
    "robustness": ["rho=[0.1]", "advice=[noisy]"],
    "tune": ["draws=2", "horizons=[168]", "step_size=[1.0,1.5]", "z_max=[1.0]"],
    "train": [
        *("init=default", "network.depth=3", "agent.options.steps=5", "evaluate_every=5"),
        *("problems.batch=8", "problems.horizons=[168]", "validation.draws=4"),
    ],
}


def measure(arguments: list[str]) -> tuple[float, float, int]:
    """Seconds, peak memory in MiB and exit status of ``python arguments``."""
    begin = time.perf_counter()
    child = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - begin
    return seconds, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)


def main(folder: Path) -> None:
    """Write the files, run the programs and print a line for each."""
    folder.mkdir(parents=True, exist_ok=True)
    world = synthetic(0, horizon=8760, regions=12, ranges={"outages": 0})
    path = write_world(world, folder, "year.yaml")
    for name, options in PROGRAMS.items():
        program, *command = name.split()
        arguments = ["-m", "equiload.experiments.cli", program, *command, *options]
        if program == "data":
            arguments += [str(path)]
            arguments += ["--output", str(folder / "page.png")] * (command == ["portrait"])
        else:
            run = folder / program
            arguments += [f"instance.path={path}", "instance=table", f"hydra.run.dir={run}"]
        seconds, memory, status = measure(arguments)
        print(f"{name:<16}{seconds:8.0f} s{memory:8.0f} MiB  status {status}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
