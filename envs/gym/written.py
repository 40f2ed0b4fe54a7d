"""An environment's ``spec``, written down: what it was made of as JSON that makes it again."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from equiload.envs.checking import shown
from equiload.envs.data.draw import Draw
from equiload.envs.errors import DataError
from equiload.envs.make import locate


class WrittenSpec(EnvSpec):
    """Gymnasium's, whose JSON holds arrays as lists and objects as ``_target_`` and arguments."""

    _own_steps: int | None = None

    @classmethod
    def of(cls, spec: EnvSpec, steps: int | None) -> WrittenSpec:
        """The same of an environment whose episodes end by themselves after so many steps.

        None: it does not say.
        """
        known = {field.name: getattr(spec, field.name) for field in fields(spec) if field.init}
        made = cls(**(known if steps is None else known | {"max_episode_steps": steps}))
        made._own_steps = steps
        return made

    def to_json(self) -> str:
        """See Gymnasium's.

        Raises
        ------
        DataError
            For an option that has no written form: a function of a script, say.
        """
        kwargs = {name: _written(name, value) for name, value in self.kwargs.items()}
        # Gymnasium would cut off episodes that have ended.
        limit = None if self.max_episode_steps == self._own_steps else self.max_episode_steps
        return EnvSpec.to_json(replace(self, kwargs=kwargs, max_episode_steps=limit))


def _written(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic | np.ndarray):
        if value.dtype.kind == "M":
            stamps = {"object": value.astype(str).tolist(), "dtype": str(value.dtype)}
            return {"_target_": "numpy.array", **stamps}
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_written(name, entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): _written(name, entry) for key, entry in value.items()}
    if isinstance(value, Draw) and not value.member:
        return str(value)
    kind = value if callable(value) and hasattr(value, "__qualname__") else type(value)
    path = f"{kind.__module__}.{kind.__qualname__}"
    found = None
    with suppress(DataError):
        found = locate(path)
    with suppress(AttributeError, ValueError):
        if found is kind and kind is not value:
            return {"_target_": path, **_arguments(name, value)}
    if found is kind is value:
        return {"_target_": path} | ({} if name == "action" else {"_partial_": True})
    raise DataError(
        f"{name} cannot be written down, since {shown(value)} is not made by its import path "
        "and arguments that it holds by their names"
    )


def _arguments(name: str, value: Any) -> dict[str, Any]:
    """What an object was made of, as it holds it by the names of its constructor's parameters."""
    arguments: dict[str, Any] = {}
    for parameter in inspect.signature(type(value)).parameters.values():
        private = f"_{parameter.name}"
        held = getattr(value, private if hasattr(value, private) else parameter.name)
        several = parameter.kind is parameter.VAR_KEYWORD
        arguments |= dict(held) if several else {parameter.name: held}
    return {key: _written(name, entry) for key, entry in arguments.items()}
