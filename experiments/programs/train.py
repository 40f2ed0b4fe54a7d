"""Train a policy, and keep the best.

``equiload train agent=hindsight`` (or ``ppo``; ``--help`` lists the rest). The run's folder holds
``best`` and ``last`` checkpoints (``.json`` and ``.safetensors``), ``progress.csv``, TensorBoard
events, and ``training.pt``, from which the same command in the same folder goes on after a kill.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch.utils.tensorboard import SummaryWriter

from equiload.agents import EGLB
from equiload.agents.forecast import PastDays
from equiload.agents.learn.checkpoint import Checkpoint, file_of, load_checkpoint
from equiload.agents.learn.networks import at_scale
from equiload.agents.learn.policy import LearnedPolicy
from equiload.envs import DataError, Policy
from equiload.envs.data import Source
from equiload.envs.forecast import Forecaster
from equiload.envs.make import label_of
from equiload.experiments.results import parquet
from equiload.experiments.results.rows import Row
from equiload.experiments.results.study import compare
from equiload.experiments.running.config import TrainConfig, overrides
from equiload.experiments.running.entry import run_folder
from equiload.experiments.running.files import json_text, replacing, versions, write_csv, write_json
from equiload.experiments.running.preemption import preemption_warning
from equiload.experiments.running.progress import bars
from equiload.experiments.running.sources import make_source, reachabilities, say
from equiload.experiments.trainers import Trainer, make_trainer
from equiload.experiments.trainers.lineage import origin_of
from equiload.experiments.trainers.tensors import read_tensors, write_tensors
from equiload.experiments.trainers.validation import Validation, drawn_of
from equiload.robust import RobustPolicy

STATE = "training.pt"


def perform(cfg: TrainConfig) -> None:
    """Train until the end, or until the scheduler warns; a later start goes on from there."""
    source = make_source(cfg.instance, equity_weight=cfg.equity_weight, shift=cfg.shift)
    origin = parquet.Origin.of(cfg)
    final = final_draws(cfg, source)
    command = " ".join(["equiload train", *overrides()])
    Session(cfg, source, run_folder(), command).run()
    if final:
        rows = final_rows(cfg, source, final, load_checkpoint(run_folder() / "best"))
        parquet.write(run_folder(), rows, origin)


class Session:
    """One training run in its folder; ``command`` is what its checkpoints say made them."""

    def __init__(self, cfg: TrainConfig, source: Source, folder: Path, command: str) -> None:
        self._cfg, self._folder, self._command = cfg, folder, command
        device = _device(cfg.device)
        saved = folder / STATE
        before = read_tensors(saved) if saved.is_file() else None
        data = before.get("data") if isinstance(before, Mapping) else None
        if not isinstance(data, str):  # the checkpoint to begin with may be gone later
            data = json_text(origin_of(cfg, source))
        self._data = json.loads(data)
        self._validation = Validation(cfg.validation, source)
        self._trainer: Trainer = make_trainer(cfg, source, device, warm=before is None)
        self._rows: list[dict[str, Any]] = []
        self._best, self._seconds = np.inf, 0.0
        if before is not None:
            self._restore(before)
            load_checkpoint(folder / "best")  # it is there still

    def _restore(self, before: Any) -> None:
        try:
            self._trainer.restore(before["trainer"])
            self._best, self._seconds = float(before["best"]), float(before["seconds"])
            self._rows = _read_rows(self._folder / "progress.csv", self._trainer.done)
            whole = 0 <= self._trainer.done <= self._trainer.total
        # What a state lacks that is another's or not whole, and what torch says of other weights.
        except (LookupError, TypeError, AttributeError, ValueError, RuntimeError):
            whole = False
        if not whole:
            raise DataError(
                f"{self._folder}: what was saved there is not whole, or another learner's or "
                "network's: give another hydra.run.dir, or begin anew with resume=never"
            )

    def run(self) -> None:
        """Train to the end."""
        trainer, cfg = self._trainer, self._cfg
        if trainer.done >= trainer.total:
            print("it has been trained to the end before")  # noqa: T201
        else:
            say(
                f"{label_of(cfg.agent)}: steps {trainer.done} to {trainer.total}, evaluated every "
                f"{cfg.evaluate_every}, in {self._folder}"
            )
        begin = time.monotonic() - self._seconds
        metrics: dict[str, list[float]] = defaultdict(list)  # since the last evaluation
        threading.excepthook = _said_once
        board = SummaryWriter(str(self._folder / "tensorboard"), purge_step=trainer.done)
        with bars() as progress, preemption_warning() as warning:
            bar = progress.add_task("training", total=trainer.total, completed=trainer.done)
            while trainer.done < trainer.total:
                for name, value in trainer.advance().items():
                    metrics[name].append(value)
                    board.add_scalar(f"train/{name}", value, trainer.done)
                progress.advance(bar)
                over = trainer.done >= trainer.total
                if trainer.done % cfg.evaluate_every == 0 or over or warning:
                    self._seconds = time.monotonic() - begin
                    means = {name: float(np.mean(values)) for name, values in metrics.items()}
                    self._note(means, board)
                    metrics.clear()
                if warning:
                    warning.obey()
        board.close()
        print(f"best validation gap {self._best:.3%}; written to {self._folder}")  # noqa: T201

    def _note(self, metrics: dict[str, float], board: SummaryWriter) -> None:
        """Evaluate, and write everything down."""
        checkpoint = self._checkpoint()
        scores = self._validation.scores(partial(_policy, self._cfg, checkpoint))
        row = {"step": self._trainer.done, "seconds": round(self._seconds, 2)}
        row |= metrics | scores
        self._rows.append(row)
        for name, value in scores.items():
            board.add_scalar(f"validation/{name}", value, self._trainer.done)
        board.flush()
        checkpoint = dataclasses.replace(checkpoint, scores={"validation": scores})
        save_checkpoint(self._folder / "last", checkpoint)
        if scores["gap"] < self._best:
            self._best = scores["gap"]
            save_checkpoint(self._folder / "best", checkpoint)
        write_csv(self._folder / "progress.csv", self._rows)
        state = {"trainer": self._trainer.state(), "best": self._best, "seconds": self._seconds}
        state |= {"data": json_text(self._data)}
        write_tensors(self._folder / STATE, state)
        say(
            f"step {row['step']}/{self._trainer.total}, {self._seconds:.0f} s: validation gap "
            f"{scores['gap']:.2%} (eGLB {scores['eglb_gap']:.2%}, closed {scores['closed']:.1%})"
        )

    def _checkpoint(self) -> Checkpoint:
        cfg, network = self._cfg, self._trainer.network()
        layout = network.layout
        observation: dict[str, Any] = {
            "kinds": list(layout.kinds),
            "features": list(cfg.features),
            "price_scale": cfg.price_scale,
            "blocks": layout.signature,
        }
        if getattr(network, "one_fleet", False):
            observation["sizes"] = layout.sizes
        return Checkpoint(
            network=at_scale(cfg.network, cfg.scale),
            observation=observation,
            action={
                "kind": cfg.action,
                "scale": cfg.scale,
                "squash": self._trainer.squash,
                "hold": cfg.hold,
            },
            weights={k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()},
            training={
                "command": self._command,
                "step": self._trainer.done,
                "seconds": round(self._seconds, 1),
                "configuration": cfg.model_dump(),
                "data": self._data,
            },
            scores={},
            versions=versions(),
        )


def final_draws(cfg: TrainConfig, source: Source) -> list[str]:
    """The draws on which the best policy is judged in the end.

    Raises
    ------
    DataError
        For what cannot be, or what the source has not: before anything is trained.
    """
    if not cfg.final.draws:
        return []
    options, split = cfg.validation.model_copy(update={"draws": cfg.final.draws}), cfg.final.split
    return [f"{split}/{number}" for number in drawn_of(options, split, source)]


def final_rows(
    cfg: TrainConfig, source: Source, draws: Sequence[str], checkpoint: Checkpoint
) -> list[Row]:
    """EGLB and the policy (wrapped, if it is to be) on every draw and reachability."""
    rows: list[Row] = []
    horizon = cfg.validation.horizon
    for reachability in reachabilities(source, cfg.validation.reachability):
        for draw in draws:
            world = source.draw(draw, horizon=horizon, reachability=reachability)
            agents = {"eGLB": EGLB(), "Learned": _policy(cfg, checkpoint, PastDays(samples=2))}
            rows += compare(agents, world, reachability=reachability)
    return rows


def _said_once(failure: threading.ExceptHookArgs) -> None:
    """Say nothing of a full disk that TensorBoard's thread meets and hands to the main one."""
    if not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)


def save_checkpoint(stem: Path, checkpoint: Checkpoint) -> None:
    """Write ``stem.safetensors`` and ``stem.json``, each whole or not at all."""
    with replacing(file_of(stem, ".safetensors")) as draft:
        draft.write_bytes(save(dict(checkpoint.weights)))  # its own writer raises errors of its own
    write_json(file_of(stem, ".json"), checkpoint.description())


def _policy(cfg: TrainConfig, checkpoint: Checkpoint, forecaster: Forecaster) -> Policy:
    """What is evaluated: the policy, wrapped where it will be used so."""
    learned, robust = LearnedPolicy(checkpoint, forecaster, trust=True), cfg.robust
    if robust.mode == "off":
        return learned
    return RobustPolicy(
        learned, EGLB(), rho=robust.rho, allowance=robust.allowance, method=robust.method
    )


def _device(asked: str) -> str:
    """Where to train; refused where there is no such device."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return "cuda" if found["cuda"] else "cpu"
    if not found.get(asked.split(":")[0], True):
        raise DataError(f"device={asked}: torch finds none here")
    return asked


def _read_rows(path: Path, done: int) -> list[dict[str, Any]]:
    """Rows of the progress so far, without those of work that is done again."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [dict(row) for row in csv.DictReader(file) if int(row["step"]) <= done]
