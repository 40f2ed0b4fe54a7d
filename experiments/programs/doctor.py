"""``equiload doctor``: what this installation has and can use."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from equiload.envs.threads import threads
from equiload.experiments.running.files import json_text, versions

LAUNCHERS = {
    "joblib": "hydra_joblib_launcher",
    "slurm": "hydra_submitit_launcher",
    "ray": "hydra_ray_launcher",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what there is; returns exit status 0."""
    parser = argparse.ArgumentParser(prog="equiload doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    sections = examine()
    if options.json:
        print(json_text(sections), end="")  # noqa: T201
    else:
        for name, values in sections.items():
            print(f"{name}:")  # noqa: T201
            for key, value in values.items():
                print(f"  {key:<22}{value}")  # noqa: T201
    return 0


def examine() -> dict[str, dict[str, Any]]:
    """Versions, devices, threads, launchers and data, by section."""
    import numba
    import torch
    from joblib import cpu_count
    from threadpoolctl import threadpool_info

    gpus = {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    return {
        "versions": versions(),
        "devices": {"cpu": f"{cpu_count()} cores for this process", **gpus},
        "threads": {
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
            "equiload": threads(),
            "torch": torch.get_num_threads(),
            "numba": numba.get_num_threads(),
            **{pool["prefix"]: pool["num_threads"] for pool in threadpool_info()},
        },
        "launchers": {
            name: "installed" if find_spec(f"hydra_plugins.{module}") else "not installed"
            for name, module in LAUNCHERS.items()
        },
        "data": {
            "synthetic": "built in",
            "data/bloom10": "present"
            if Path("data/bloom10/AI_workload.csv").exists()
            else "absent: equiload data fetch bloom10 data/bloom10",
        },
    }
