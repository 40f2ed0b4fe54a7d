"""Nested states of tensors and plain values in one safetensors file: no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from equiload.envs import DataError
from equiload.experiments.running.files import replacing

_KEY = "structure"


def write_tensors(path: Path, state: Any) -> None:
    """Write a nest of dictionaries, lists, tensors, arrays and JSON values, whole or not at all."""
    tensors: dict[str, Tensor] = {}
    structure = _take_apart(state, tensors)
    with replacing(path) as draft:
        save_file(tensors, draft, metadata={_KEY: json.dumps(structure)})


def read_tensors(path: Path) -> Any:
    """Read what :func:`write_tensors` wrote; arrays come back as tensors.

    Raises
    ------
    DataError
        If the file is not whole or not of this kind.
    """
    try:
        with safe_open(path, framework="pt") as file:
            structure = json.loads((file.metadata() or {})[_KEY])
            names = file.keys()
            return _put_together(structure, {name: file.get_tensor(name) for name in names})
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(
            f"{path}: not a training state that can be gone on from ({error})"
        ) from None


def _take_apart(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor | np.ndarray):
        name = str(len(tensors))
        tensors[name] = torch.as_tensor(value).detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):  # as pairs: keys need not be text
        return {"pairs": [[key, _take_apart(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_take_apart(item, tensors) for item in value]
    return value


def _put_together(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_put_together(item, tensors) for item in value]
    if isinstance(value, dict) and "tensor" in value:
        return tensors[value["tensor"]]
    if isinstance(value, dict):
        return {key: _put_together(item, tensors) for key, item in value["pairs"]}
    return value
