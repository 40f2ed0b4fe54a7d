"""A year of hours in twelve regions, as a user's files, through every program: time and memory.

``python tests/benchmarks/own_year.py FOLDER`` writes the files there and runs the programs on them.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from pathlib import Path

from equiload.envs.data import synthetic

PROGRAMS = {
    "data check": ["-m", "equiload.experiments.data", "check"],
    "benchmark": ["-m", "equiload.experiments.benchmark"],
    "evaluate": ["-m", "equiload.experiments.evaluate"],
    "predictions, draws=2": ["-m", "equiload.experiments.predictions", "draws=2"],
    "robustness, small": [
        *("-m", "equiload.experiments.robustness", "rho=[0.1]", "allowance=[0]"),
        *("advice=[perfect,stale,greedy]",),
    ],
    "tune, small": [
        *("-m", "equiload.experiments.tune", "draws=4", "step_size=[0.5,1.5]", "z_max=[1.0]"),
    ],
}
_UNITS = {"price": "US$/MWh", "carbon": "t/MWh", "water": "m³/MWh", "demand": "share"}


def write_year(folder: Path, hours: int = 8760, regions: int = 12) -> Path:
    """Write a synthetic world as files of its regions and a YAML file that names them."""
    world = synthetic(0, horizon=hours, regions=regions, ranges={"outages": 0})
    trace, stamps = world.trace, world.trace.timestamps.astype(str)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["name: year", "regions:"]
    for r, region in enumerate(world.fleet.regions):
        columns = [trace.price[:, r], *trace.intensity[:, :, r], trace.demand[:, r]]
        with (folder / f"{region}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["time", *_UNITS])
            writer.writerows(zip(stamps, *columns, strict=True))
        latitude, longitude = world.fleet.location[r]  # type: ignore[index]
        lines += [f"  {region}:", f"    location: [{latitude}, {longitude}]"]
        lines += [
            f"    {kind}: {{file: {region}.csv, time: time, time_zone: UTC, column: {kind}, "
            f"unit: {unit}}}"
            for kind, unit in _UNITS.items()
        ]
    path = folder / "year.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def measure(arguments: list[str]) -> tuple[float, float, int]:
    """Seconds, peak memory in MiB and exit status of ``python arguments``."""
    begin = time.perf_counter()
    child = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - begin
    return seconds, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)


def main(folder: Path) -> None:
    """Write the files, run the programs and print a line for each."""
    path = write_year(folder)
    found = []
    for name, arguments in PROGRAMS.items():
        source = [f"instance.path={path}", "instance=table", f"hydra.run.dir={folder / 'run'}"]
        what = [str(path)] if name == "data check" else source
        seconds, memory, status = measure([*arguments, *what])
        found.append(f"{name:<24}{seconds:8.0f} s{memory:8.0f} MiB  status {status}")
        print(found[-1], flush=True)
    print("\n".join(["", *found]))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
