"""Trained policies on disk: weights as safetensors, everything else as JSON beside them.

``NAME.safetensors`` and ``NAME.json``; no pickle, so a stranger's checkpoint can be read safely.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from equiload.envs import DataError
from equiload.envs.reading import note_read

#: Version of the layout of the JSON file.
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained policy: what it looks at, what it is made of, and how it came about.

    Parameters
    ----------
    network
        ``kind``, a name of ``conf/names.yaml``, or ``_target_``, and arguments.
    observation
        ``kinds`` of footprint, ``features``, ``price_scale``, ``blocks``: whose entries each block
        holds; of a network for one fleet also the ``sizes``.
    action
        ``kind``, ``scale`` and ``squash``, what is done to the network's output: ``none``,
        ``clip`` or ``tanh``. Features and this ``kind`` are names, or ``_target_`` and arguments.
    training
        How to make it anew: command, configuration, seed.
    scores
        What it reached, and on what.
    versions
        Of the packages it was made with.
    weights
        Parameters by name.
    """

    network: Mapping[str, Any]
    observation: Mapping[str, Any]
    action: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)

    def description(self) -> dict[str, Any]:
        """What the JSON file holds."""
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "weights"}
        return {"schema": SCHEMA, **parts}


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read ``path`` (either file, or their common name).

    Raises
    ------
    DataError
        What is missing or cannot be read, and where.
    """
    stem = _stem(Path(path))
    described, weights = stem.with_suffix(".json"), stem.with_suffix(".safetensors")
    for file in (described, weights):
        if not file.is_file():
            raise DataError(f"{file}: there is no such checkpoint file")
        note_read(file)
    try:
        description = json.loads(described.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{described}: not a checkpoint's JSON ({error})") from None
    if not isinstance(description, dict) or description.get("schema") != SCHEMA:
        schema = (
            description.get("schema")
            if isinstance(description, dict)
            else type(description).__name__
        )
        raise DataError(f"{described}: schema is {schema!r}, expected {SCHEMA}")
    names = [f.name for f in fields(Checkpoint) if f.name != "weights"]
    for name in names:
        if not isinstance(description.get(name), dict):
            raise DataError(f"{described}: {name!r} is missing or is no mapping")
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{weights}: not a safetensors file ({error})") from None
    return Checkpoint(weights=tensors, **{name: description[name] for name in names})


def _stem(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in (".json", ".safetensors") else path
