"""Rows of many runs as one table, and their means with intervals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from equiload.experiments.report.contents import Run
from equiload.experiments.report.knobs import knob_names
from equiload.experiments.results.statistics import ends

GROUP = ["setting", "reachability", "algorithm"]
_RESAMPLES = 2000  # of means, by group and number: a report must not take minutes
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")


def rows_of(runs: Sequence[Run]) -> pd.DataFrame:
    """One line per run and row of its results, with the run's ``setting``; kinds side by side."""
    lines = []
    for run, setting in zip(runs, setting_labels(runs), strict=True):
        for row in run.results.rows:
            about = {"run": run.name, "setting": setting, "offline": row.solver is not None}
            line = {**about, "knobs": knob_names(row.knobs), **row.flat()}
            for kind, weight in run.results.instance.equity_weight.items():
                line[f"{kind}_equity"] = weight * line[f"{kind}_max"]
            lines.append(line)
    lines.sort(key=lambda line: _natural(str(line["setting"])))
    return pd.DataFrame(lines)


def _natural(text: str) -> list[Any]:
    """Sort key that puts 500 before 1500."""
    return [float(part) if i % 2 else part for i, part in enumerate(_NUMBER.split(text))]


def setting_labels(runs: Sequence[Run]) -> list[str]:
    """Return what tells each run's setting from the others', empty where nothing does.

    A key counts where every run has it and their values differ; a footprint kind that only some
    runs have counts too.
    """
    table = pd.DataFrame([run.settings for run in runs])
    weights = [key for key in table if str(key).startswith("equity_weight.")]
    table[weights] = table[weights].fillna("none")
    told = table.loc[:, table.notna().all() & (table.nunique() > 1)]
    names = [str(key).replace("equity_weight.", "μ ") for key in told]
    return [
        ", ".join(f"{name}={value}" for name, value in zip(names, row, strict=True))
        for row in told.to_numpy()
    ]


def summarise(rows: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Mean of every number over the runs of a group, with a percentile bootstrap interval.

    Returns
    -------
    Indexed by setting, reachability and algorithm, in their order of appearance; columns ``NAME``,
    ``NAME_low``, ``NAME_high`` and ``n``. A single run has no interval: its bounds are NaN.
    """
    numbers = list(rows.select_dtypes("number").columns)
    lines: dict[Any, dict[str, float]] = {}
    for key, group in rows.groupby(GROUP, sort=False):
        values = group[numbers].to_numpy(dtype=np.float64)
        low, high = np.full((2, len(numbers)), np.nan)
        if len(values) > 1:
            low, high = ends(
                values, lambda samples: samples.mean(1), confidence=confidence, resamples=_RESAMPLES
            )
        line: dict[str, float] = {"n": len(group), "offline": bool(group["offline"].any())}
        for name, mean, least, most in zip(numbers, values.mean(0), low, high, strict=True):
            line |= {name: mean, f"{name}_low": least, f"{name}_high": most}
        lines[key] = line
    table = pd.DataFrame.from_dict(lines, orient="index")
    table.index = pd.MultiIndex.from_tuples(table.index, names=GROUP)
    return table
