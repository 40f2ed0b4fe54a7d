"""Trained policies on disk: weights as safetensors, everything else as JSON beside them.

``NAME.safetensors`` and ``NAME.json``; no pickle, so a stranger's checkpoint can be read safely.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from equiload.envs import DataError
from equiload.envs.checking import sentence_of, shown
from equiload.envs.reading import note_read
from equiload.envs.typing import Count, Number, Positive

#: Version of the layout of the JSON file.
SCHEMA = 1
#: Bytes of it: a description, not data.
_LARGEST = 1 << 24


class _Entry(BaseModel):
    """What a policy is built by is checked; what else there stands is kept."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Network(_Entry):
    kind: str | None = None
    hidden: Count | None = None
    depth: Number | None = None


class _Observation(_Entry):
    kinds: Annotated[list[str], Field(min_length=1)]
    features: list[Any]
    price_scale: Positive
    blocks: dict[str, str]
    sizes: dict[str, int] | None = None


class _Action(_Entry):
    kind: Any
    scale: Positive
    squash: Literal["none", "clip", "tanh"] = "none"
    hold: Count = 1


class _Description(_Entry):
    network: _Network
    observation: _Observation
    action: _Action
    training: dict[str, Any]
    scores: dict[str, Any]
    versions: dict[str, Any]


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
        ``kind``, ``scale``, ``hold`` and ``squash``, what is done to the network's output:
        ``none``, ``clip`` (to the bounds of the action space) or ``tanh``. Features and this
        ``kind`` are names, or ``_target_`` and arguments.
    training
        How to make it anew: command, configuration, seed.
    scores
        What it reached, and on what.
    versions
        Of the packages it was made with.
    weights
        Parameters by name: floating-point numbers.

    Raises
    ------
    DataError
        For an entry that is missing or of another type, by name.
    """

    network: Mapping[str, Any]
    observation: Mapping[str, Any]
    action: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        description = self.description()
        try:
            _Description.model_validate(description)
        except ValidationError as error:
            raise DataError(f"the checkpoint's {sentence_of(error, description)}") from None
        for name, value in self.weights.items():
            if not value.is_floating_point():
                raise DataError(f"the checkpoint's weights {name!r} are {value.dtype}, no floats")

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
    described, weights = (file_of(Path(path), ending) for ending in (".json", ".safetensors"))
    try:
        for file in (described, weights):
            if not file.is_file():
                raise DataError(f"{file}: there is no such checkpoint file")
            note_read(file)
        if described.stat().st_size > _LARGEST:
            raise DataError(f"{described}: a description of more than 16 MiB is not read")
        description = json.loads(described.read_text(encoding="utf-8"))
    except (OSError, RecursionError) as error:
        raise DataError(f"{described}: cannot be read ({error})") from None
    except DataError:
        raise
    except ValueError as error:  # no text, no JSON, or a number without end
        raise DataError(f"{described}: not a checkpoint's JSON ({error})") from None
    given: dict[str, Any] = description if isinstance(description, dict) else {}
    if given.get("schema") != SCHEMA:
        raise DataError(f"{described}: schema is {shown(given.get('schema'))}, expected {SCHEMA}")
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{weights}: not a safetensors file ({error})") from None
    names = [f.name for f in fields(Checkpoint) if f.name != "weights"]
    try:
        return Checkpoint(weights=tensors, **{name: given.get(name) for name in names})  # type: ignore[arg-type]
    except DataError as error:
        raise DataError(f"{described}: {error}") from None


def file_of(path: Path, ending: str) -> Path:
    """One of the two files; a name may have dots of its own."""
    if path.suffix in (".json", ".safetensors"):
        path = path.with_suffix("")
    return Path(f"{path}{ending}")
