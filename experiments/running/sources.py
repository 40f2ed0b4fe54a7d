"""The source of instances that a configuration names, and what every program asks of it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from typing import Any, cast

from equiload.envs import DataError, Instance
from equiload.envs.data import GeneratedSource, RecordedSource, ShiftedSource, Source, source_of
from equiload.envs.make import instantiated, locate

# Options of a recorded trace, where the function that returns it does not take them itself.
_WINDOWS = ("seed", "start", "horizon", "split", "gap", "ranges")


def make_source(
    node: Mapping[str, Any],
    *,
    equity_weight: Mapping[str, float] | None = None,
    shift: str | None = None,
) -> Source:
    """Build the ``_target_`` of a source, or of a function that returns an instance.

    A function that takes ``seed`` and ``reachability`` is a generator of draws. Of any other the
    instance is a recorded trace; which of its slots, the options of :class:`RecordedSource` say.
    ``equity_weight`` changes weights by footprint kind or adds kinds, US$ per unit; ``shift`` is
    one of :func:`~equiload.envs.data.shifted`.

    Raises
    ------
    DataError
        For anything that is no source, or that the source has no data for.
    """
    source = _built(node).weighed(equity_weight)
    return source if shift is None else ShiftedSource(source, shift)


def reachabilities(source: Source, asked: Iterable[str]) -> list[str]:
    """What to run of the reachabilities asked for: each once, and none that is another's double."""
    names = list(dict.fromkeys(asked))
    if "partial" not in names or "partial" in source.reachabilities():
        return names
    say(f"{source.name}: every gateway reaches every data center, so partial is full: run once")
    return ["full"]


def count_draws(
    source: Source,
    split: str,
    asked: int,
    *,
    first: int = 0,
    horizon: int | None = None,
    remedy: str = "",
) -> int:
    """How many of the draws asked for there are; that there are fewer is said on standard error.

    Raises
    ------
    DataError
        If there are none; ``remedy`` says what else the program could do.
    """
    try:
        there_are = source.draws(split, horizon)
    except DataError as error:
        raise DataError(f"{error}{f', or {remedy}' if remedy else ''}") from None
    if there_are is None or first + asked <= there_are:
        return asked
    if first >= there_are:
        raise DataError(f"{source.name} has {there_are} {split} draws, first={first} is none")
    count = there_are - first
    say(f"{source.name} has {there_are} {split} draws, not {first + asked}: {count} are run")
    return count


def chosen_draws(
    source: Source, split: str, asked: int | None, *, first: int = 0
) -> list[str | None]:
    """The draws to run, by name; where none is asked for, None: the source's configured instance.

    Raises
    ------
    DataError
        If there are none.
    """
    if asked is None:
        return [None]
    remedy = "draws=null for the instance as a whole (and instance.horizon=null for all of it)"
    count = count_draws(source, split, asked, first=first, remedy=remedy)
    return [f"{split}/{number}" for number in range(first, first + count)]


def one_instance(source: Source, reachability: str, draw: str | None = None) -> Instance:
    """A draw, or the source's configured instance, refused if it is a batch."""
    if draw is not None:
        return source.draw(draw, reachability=reachability)
    instance = source.instance(reachability=reachability)
    if instance.batch:
        raise DataError(f"{source.name}: one instance is needed here, not a batch")
    return instance


def say(sentence: str) -> None:
    """Tell the user one thing, on standard error."""
    print(sentence, file=sys.stderr)  # noqa: T201


def _built(node: Mapping[str, Any]) -> Source:
    target = _function(node)
    if target is None:
        return source_of(instantiated(node))
    takes = inspect.signature(target).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in takes.values())
    if "seed" in takes and ("reachability" in takes or anything):
        return GeneratedSource(target, **_options(node))
    foreign = [] if anything else [name for name in _WINDOWS if name in node and name not in takes]
    # Its own reachability; full is the same with every gateway reaching every data center.
    own = {"reachability": "partial"} if "reachability" in takes else {}
    instance = instantiated({**own, **{k: node[k] for k in node if k not in foreign}})
    if not isinstance(instance, Instance):
        return source_of(instance)
    windows = _options({name: node[name] for name in foreign})
    if isinstance(windows.get("seed"), int):  # of the generator in whose place it stands
        del windows["seed"]
    return RecordedSource(instance, name=instance.name, **windows)


def _function(node: Mapping[str, Any]) -> Any:
    """The function of instances that a node names; none for another target, or one not found."""
    try:
        target = locate(node["_target_"])
    except Exception:  # noqa: BLE001 - whatever importing it may raise, building it says so
        return None
    if not inspect.isfunction(target):
        return None
    # A function may as well return a source.
    return None if "Source" in str(inspect.signature(target).return_annotation) else target


def _options(node: Mapping[str, Any]) -> dict[str, Any]:
    options = {key: value for key, value in node.items() if key != "_target_"}
    return cast("dict[str, Any]", instantiated(options))
