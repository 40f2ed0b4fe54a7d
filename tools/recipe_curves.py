"""Learning curves of the recipes' page: ``docs/recipes/curves.csv``, and its figure.

``python tools/recipe_curves.py`` trains what the table lacks (about an hour of one core for all of
it), five seeds each; ``python tools/recipe_curves.py draw`` draws alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

RECIPES = Path(__file__).parents[1] / "docs" / "recipes"
TABLE, FIGURE = RECIPES / "curves.csv", RECIPES.parent / "images" / "recipes.png"
SECONDS, EVERY, SEEDS = 60, 10, 5
#: What is changed, the options that do it, and a colour (Okabe and Ito's).
VARIANTS = {
    "the recipe, a network shared by regions": (["--network", "regions"], "#0072b2"),
    "the recipe": ([], "#000000"),
    "every setting at its default": (["--defaults"], "#009e73"),
    "an action every slot": (["--hold", "1"], "#e69f00"),
    "the objective alone as reward": (["--reward", "percent"], "#cc79a7"),
    "eGLB beside, not in the loop": (["--beside"], "#d55e00"),
}
_SAID = re.compile(r"(\d+) s, (\d+) steps: .*better on (\d+)% of draws, (-?[\d.]+)% of its gap")


def train() -> None:
    """Add to the table what it lacks."""
    rows = pd.read_csv(TABLE).to_dict("records") if TABLE.is_file() else []
    known = {(row["variant"], row["seed"]) for row in rows}
    for seed in range(SEEDS):
        for variant, (options, _) in VARIANTS.items():
            if (variant, seed) in known:
                continue
            schedule = [str(SECONDS), "--every", str(EVERY), "--split", "validation"]
            command = [sys.executable, str(RECIPES / "ppo.py"), *schedule, *options]
            done = subprocess.run(  # noqa: S603
                [*command, "--seed", str(seed)], capture_output=True, text=True, check=True
            )
            for seconds, steps, better, closed in _SAID.findall(done.stdout):
                score = {"better": int(better), "closed": float(closed)}
                run = {"variant": variant, "seed": seed}
                rows.append(run | {"seconds": int(seconds), "steps": int(steps)} | score)
            pd.DataFrame(rows).to_csv(TABLE, index=False)
            print(f"{variant}, seed {seed}: {rows[-1]}", flush=True)  # noqa: T201


def draw() -> None:
    """Mean and range over the seeds, by seconds of one core; the last ones are printed."""
    table = pd.read_csv(TABLE)
    table["at"] = EVERY * (table["seconds"] / EVERY).round()
    table = table[table["at"] < SECONDS]
    print("| | better than eGLB on | of its gap closed |\n| --- | --- | --- |")  # noqa: T201
    for variant in VARIANTS:
        last = table[(table["variant"] == variant) & (table["at"] == SECONDS - EVERY)]
        better, closed = (
            f"{last[column].mean():.0f} % ({last[column].min():.0f} to {last[column].max():.0f})"
            for column in ("better", "closed")
        )
        print(f"| {variant} | {better} | {closed} |")  # noqa: T201
    figure, axes = plt.subplots(figsize=(7.2, 4.0), layout="constrained")
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.text(1, 0.6, "eGLB", color="0.4", fontsize=9)
    for variant, (_, colour) in VARIANTS.items():
        over = table[table["variant"] == variant].groupby("at")["closed"]
        mean = over.mean()
        axes.plot(mean.index, mean, color=colour, label=variant)
        axes.fill_between(mean.index, over.min(), over.max(), color=colour, alpha=0.15, linewidth=0)
    axes.set(xlim=(0, SECONDS - EVERY + 1), ylim=(-20, 32), xlabel="seconds of one core")
    axes.set_ylabel("of eGLB's gap closed, %\n32 validation draws, 168 h, full")
    axes.text(1, -8, "eGLB beside: below −90 %", color="#d55e00", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="lower right", ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FIGURE, dpi=150)


if __name__ == "__main__":
    if sys.argv[1:] != ["draw"]:
        train()
    draw()
