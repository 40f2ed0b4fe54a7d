"""Nested states of tensors and plain values in one file that is read without running its pickle."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiload.envs import DataError
from equiload.experiments.running.files import replacing


def write_tensors(path: Path, state: Any) -> None:
    """Write a nest of dictionaries, lists, tensors, arrays and numbers, whole or not at all."""
    content = io.BytesIO()  # torch's own writer refuses a draft's name, and tells no full disk
    torch.save(_plain(state), content)
    with replacing(path) as draft:
        draft.write_bytes(content.getbuffer())


def read_tensors(path: Path) -> Any:
    """Read what :func:`write_tensors` wrote, on the CPU; arrays come back as tensors.

    Raises
    ------
    DataError
        If the file is not whole or not of this kind.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a broken file makes its reader say anything
        why = (str(error).splitlines() or ["empty"])[0]  # torch goes on with how to trust the file
        raise DataError(f"{path}: not a training state that can be gone on from ({why})") from None


def _plain(value: Any) -> Any:
    """The nest with nothing in it but what ``weights_only`` reads."""
    if isinstance(value, Tensor | np.ndarray):
        return torch.as_tensor(value).detach()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
