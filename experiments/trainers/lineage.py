"""Which data a policy was trained on, and whether it is judged on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from equiload.agents.learn.checkpoint import Checkpoint, load_checkpoint
from equiload.agents.learn.policy import LearnedPolicy, shipped
from equiload.envs.data import RecordedSource, ShiftedSource, Source
from equiload.experiments.running.config import TrainConfig
from equiload.experiments.trainers.parts import synthetic_share

#: Parts that a policy has seen: trained on, and chosen by.
_SEEN = ("train", "validation")


def origin_of(cfg: TrainConfig, source: Source) -> dict[str, Any]:
    """What a checkpoint says of its data: where they come from, the share of synthetic worlds.

    ``init`` holds the same of the checkpoint that training began with, if there was one.
    """
    origin = {**source.provenance, "synthetic": synthetic_share(cfg, source)}
    if cfg.init is None:
        return origin
    before = load_checkpoint(shipped(cfg.init)).training.get("data")
    return {**origin, "init": before} if before else origin


def seen_in_training(checkpoint: Checkpoint, source: Source, split: str | None) -> str | None:
    """A sentence where a policy is judged on hours that it was trained on or chosen by.

    ``split`` is the one that is judged on; none: the source's configured instance. Hours of two
    sources are the same where their files are, byte by byte.
    """
    base = source.base if isinstance(source, ShiftedSource) else source
    if not isinstance(base, RecordedSource):
        return None
    where, digest = base.provenance, base.provenance.get("sha256")
    if split is None:
        stamps = base.instance().trace.timestamps
        first, last = stamps.min(), stamps.max()
    elif split in where["parts"]:
        first, last = (_moment(text) for text in where["parts"][split][:2])
    else:
        return None
    for data in _lineage(checkpoint.training.get("data")):
        if digest is None or data.get("sha256") != digest:
            continue
        for part in _SEEN:
            span = data.get("parts", {}).get(part)
            if span and _moment(span[0]) <= last and first <= _moment(span[1]):
                does = "trained on" if part == "train" else "chosen by"
                return f"the policy was {does} these hours ({span[0]} to {span[1]})"
    return None


def sentences_of(agents: Iterable[object], source: Source, split: str | None) -> list[str]:
    """What :func:`seen_in_training` says of the learned policies among some agents, each once."""
    learned = [getattr(agent, "advice", agent) for agent in agents]
    sentences = [
        seen_in_training(policy.checkpoint, source, split)
        for policy in learned
        if isinstance(policy, LearnedPolicy)
    ]
    return [sentence for sentence in dict.fromkeys(sentences) if sentence is not None]


def _lineage(data: Any) -> Iterator[Mapping[str, Any]]:
    """The data of a checkpoint, then those of the one that it began with, and so on."""
    while isinstance(data, Mapping):
        yield data
        data = data.get("init")


def _moment(text: str) -> np.datetime64:
    return np.datetime64(text.removesuffix("Z"), "s")
