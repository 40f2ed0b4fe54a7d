"""The one way to extend: rewards, features, actions, networks, learners and methods are objects.

Each is given as the object itself, as a mapping with ``_target_`` (its import path) and arguments,
or by a name of ``conf/names.yaml``, which stands for such a mapping.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from importlib import import_module
from importlib.resources import files
from typing import Any, TypeAlias

from ruamel.yaml import YAML

from equiload.envs.checking import check_call, shown
from equiload.envs.errors import DataError
from equiload.envs.reading import note_sources

#: A name, or ``_target_`` (or ``kind``, a name) and arguments: what files and command lines hold.
Spec: TypeAlias = str | Mapping[str, Any]
#: What may be imported and called: everything, or besides our own classes these.
Trust: TypeAlias = bool | Collection[type]

# What the policies that others trained may be made of without being trusted.
_OURS = ("equiload.envs.", "equiload.robust.", "equiload.agents.")


def make(
    kind: str,
    spec: Any,
    /,
    *positional: Any,
    like: type = object,
    trust: Trust = True,
    **offered: Any,
) -> Any:
    """Build a ``reward``, ``feature``, ``action``, ``network``, ``agent`` or ``method``.

    Parameters
    ----------
    kind
        A heading of ``conf/names.yaml``.
    spec
        A :data:`Spec`, or an object, which is passed through; where there are ``positional``
        arguments, it is what makes the object: a class, or any callable. Arguments that are null
        are left out, and with ``_target_`` those that only the ``kind`` beside it takes.
    positional
        Positional arguments of everything of this kind.
    like
        Protocol that what is made must meet.
    trust
        False, or the classes besides our own that may be used: for what a stranger wrote.
    offered
        Arguments for those that take them and were given no others.

    Raises
    ------
    DataError
        For a name that is not known, a target that cannot be found or is not trusted,
        arguments that it does not take, and what is no ``kind``.
    """
    if spec is None:
        known = ", ".join(registered(kind))
        raise DataError(f"the {kind} must be one of {known} or a _target_, got none")
    specified = isinstance(spec, str | Mapping)
    if not specified and (not positional or not callable(spec)):
        return _like(like, kind, spec)
    target, arguments = _read(kind, spec, trust) if specified else (spec, {})
    takes = inspect.signature(target).parameters
    offers = {key: value for key, value in offered.items() if key in takes and key not in arguments}
    built = {key: instantiated(value, trust) for key, value in arguments.items()}
    label = label_of(spec) if specified else getattr(spec, "__name__", spec)
    return _like(like, kind, called(f"the {kind} {label}", target, *positional, **offers, **built))


def _like(protocol: type, kind: str, made: Any) -> Any:
    if isinstance(made, protocol):
        return made
    known, ours = ", ".join(registered(kind)), f"{protocol.__module__}.{protocol.__name__}"
    raise DataError(f"the {kind} must be one of {known} or like {ours}, got {shown(made)}")


def instantiated(value: Any, trust: Trust = True) -> Any:
    """The value with every ``_target_`` in it called, however deep.

    ``_partial_: true`` beside one makes a function of the arguments that are still to come.
    """
    if isinstance(value, list | tuple):
        return [instantiated(entry, trust) for entry in value]
    if not isinstance(value, Mapping):
        return value
    built = {key: instantiated(entry, trust) for key, entry in value.items() if key != "_target_"}
    if "_target_" not in value:
        return built
    target = _trusted(value["_target_"], trust, built)
    if built.pop("_partial_", False):
        return partial(target, **built)
    return called(label_of(value), target, **built)


def target_of(kind: str, spec: Any) -> Any:
    """What would be called to make it: a class, usually."""
    return _read(kind, spec, True)[0] if isinstance(spec, str | Mapping) else spec


def called(label: str, target: Callable[..., Any], /, *positional: Any, **arguments: Any) -> Any:
    """Call ``target``; see :func:`~equiload.envs.checking.check_call` for what is refused."""
    check_call(label, target, *positional, **arguments)
    return target(*positional, **arguments)


def locate(path: str) -> Any:
    """The object of an import path: a module's, or a member's of one.

    Raises
    ------
    DataError
        If there is none.
    """
    names = path.split(".")
    try:
        place = import_module(names[0])
        for end, name in enumerate(names[1:], start=2):
            if not hasattr(place, name):
                import_module(".".join(names[:end]))
            place = getattr(place, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DataError(f"there is no {path!r} to import: {error}") from None
    note_sources(path)  # at once: they may be edited while the run goes on
    return place


def registered(kind: str) -> Mapping[str, Mapping[str, Any]]:
    """The names of a kind, a heading of ``conf/names.yaml``, and what each stands for."""
    return _names()[kind]


@cache
def _names() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    text = (files("equiload.conf") / "names.yaml").read_text(encoding="utf-8")
    names: Mapping[str, Mapping[str, Mapping[str, Any]]] = YAML(typ="safe").load(text)
    return names


def _read(kind: str, spec: Spec, trust: Trust) -> tuple[Any, dict[str, Any]]:
    """The target of a specification, and its arguments as they stand."""
    choices = {"kind": spec} if isinstance(spec, str) else spec
    own = {key: value for key, value in choices.items() if value is not None and key != "kind"}
    name, named = choices.get("kind"), dict[str, Any]()
    if name is not None:
        if not isinstance(name, str) or name not in registered(kind):
            known = ", ".join(registered(kind))
            raise DataError(f"the {kind} must be one of {known} or a _target_, got {name!r}")
        named = dict(registered(kind)[name])
    elif "_target_" not in own:
        raise DataError(f"the {kind} needs a name or a _target_, got {spec!r}")
    if "_target_" not in own or name is None:
        arguments = {**named, **own}
        return _trusted(arguments.pop("_target_"), trust, arguments), arguments
    # In place of the named: options that only that one takes are not meant for it.
    target, named_target = _trusted(own.pop("_target_"), trust, own), locate(named["_target_"])
    takes, named_takes = (inspect.signature(each).parameters for each in (target, named_target))
    return target, {k: v for k, v in own.items() if k in takes or k not in named_takes}


def _trusted(path: Any, trust: Trust, arguments: Mapping[str, Any]) -> Any:
    """What a path names, if it may be imported and called with these arguments."""
    if not isinstance(path, str):
        raise DataError(f"_target_ must be an import path, got {path!r}")
    if trust is True:
        return locate(path)
    if isinstance(trust, str) or not all(isinstance(known, type) for known in trust or ()):
        raise DataError(f"trust must be true, false or classes, got {shown(trust)}")
    for known in trust or ():
        if path == f"{known.__module__}.{known.__qualname__}":
            return known
    if path.startswith(_OURS) and "trust" not in arguments:  # or ours would trust on its behalf
        target = locate(path)
        if isinstance(target, type) and target.__module__.startswith(_OURS):
            return target
    raise DataError(
        f"{path} may run foreign code, of whoever wrote it: if you trust that, pass trust=True, "
        "or the class itself, trust=[…]"
    )


def label_of(spec: Spec) -> str:
    """Its name, or the import path of its target."""
    return spec if isinstance(spec, str) else str(spec.get("_target_") or spec.get("kind"))
