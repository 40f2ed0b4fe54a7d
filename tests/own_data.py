"""An instance written as an operator would have it: a YAML file and a CSV for each region."""

from pathlib import Path

import pandas as pd

from equiload.envs import Instance

UNITS = {"price": "US$/MWh", "carbon": "t/MWh", "water": "m³/MWh", "demand": "MWh"}


def write_world(instance: Instance, folder: Path, name: str = "world.yaml") -> Path:
    """Write ``name`` and its files into ``folder``; reachability is left out."""
    fleet, trace = instance.fleet, instance.trace
    lines = ["regions:"]
    for i, region in enumerate(fleet.datacenters):
        series = {
            "price": trace.price[:, i],
            **dict(zip(trace.footprints, trace.intensity[..., i], strict=True)),
            "demand": trace.demand[:, i],
        }
        file = f"{Path(name).stem}-{i}.csv"
        pd.DataFrame({"time": trace.timestamps} | series).to_csv(folder / file, index=False)
        lines += [f"  {region}:", f"    capacity: {fleet.capacity[i]}"]
        if fleet.location is not None:
            lines += [f"    location: {fleet.location[i].tolist()}"]
        lines += [
            f"    {kind}: {{file: {file}, time: time, time_zone: UTC, column: {kind}, "
            f"unit: {UNITS[kind]}}}"
            for kind in series
        ]
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
