"""Values are checked once, where they enter, by the types that records and signatures declare."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, wraps
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar, get_args, get_type_hints

import numpy as np
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from equiload.envs.errors import DataError

_P = ParamSpec("_P")
_T = TypeVar("_T")

# What a type is called in a sentence, by pydantic's own name for what is wrong, or its beginning.
_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string_type": "a text",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "too_short": "{several} of at least {min_length}",
    "too_long": "of at most {max_length} items",
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "above {gt:g}",
    "less_than_equal": "at most {le:g}",
    "less_than": "below {lt:g}",
    "sequence_str": "a list",
    "callable_type": "a function",
}
# 2 is a number and no truth, "2" no number, and an object is what its class says.
_STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)


def sentence_of(
    error: ValidationError,
    given: Any,
    *,
    within: tuple[str, ...] = (),
    noun: str = "option",
    known: Iterable[str] = (),
) -> str:
    """The first thing that does not fit: where, what is expected and what was ``given``.

    ``within`` says where that stands; ``known``, what a ``noun`` at its top may be called.
    """
    errors = error.errors(include_url=False)
    begin = _place(errors[0], given)
    # Of a union the member that was meant got furthest.
    alike = [e for e in errors if _place(e, given)[: len(begin)] == begin]
    first = max(alike, key=lambda error: len(_place(error, given)))
    place = _place(first, given)
    where = ".".join([*within, *place]).replace(".[", "[")
    if first["type"] == "extra_forbidden":
        names = sorted(known) if len(first["loc"]) == 1 else []
        return f"there is no {noun} {where!r}{_meant(place[-1], names) if names else ''}"
    if first["type"] == "missing":
        return f"{where!r} is missing"
    if first["type"] == "value_error":  # a record's own sentence
        return ": ".join([*([repr(where)] if where else []), str(first["ctx"]["error"])])
    # Of a union every member has said what it expects; whose length is wrong, its type was meant.
    there = [e for e in alike if _place(e, given) == place]
    meant = [e for e in there if e["type"] in ("too_short", "too_long")] or there
    *but_last, last = dict.fromkeys(map(_expected, meant))
    expected = f"{', '.join(but_last)} or {last}" if but_last else last
    return f"{where!r} must be {expected}, got {shown(first['input'])}"


def _place(error: Any, given: Any) -> list[str]:
    """Where in what was given: pydantic's place without the members of unions in it."""
    loc, missing = error["loc"], error["type"] == "missing"
    steps: list[str] = []
    for number, step in enumerate(loc):
        if isinstance(given, Mapping) and (step in given or (missing and number == len(loc) - 1)):
            given = given.get(step)
            steps.append(str(step))
        elif isinstance(given, list | tuple) and isinstance(step, int) and step < len(given):
            given = given[step]
            steps.append(f"[{step}]")
    return steps


def _expected(error: Any) -> str:
    own_words = re.sub(r"^\w+ should (be |have (?=at))", "", error["msg"])
    kind = error["type"]
    if kind == "is_instance_of":
        of = error["ctx"]["class"]
        return {"Sequence": "a list", "ndarray": "an array"}.get(of, f"a {of}")
    words = _EXPECTED.get(kind) or _EXPECTED.get(kind.split("_")[0]) or own_words
    context = error.get("ctx", {})
    several = "a mapping" if context.get("field_type") == "Dictionary" else "a list"
    return words.format(several=several, **context) if words in _EXPECTED.values() else words


def shown(value: Any) -> str:
    """A value as it stands in a message: short, whatever it is."""
    if isinstance(value, dict | list):  # a nest may be endless, an alias of itself say
        heads = [repr(item)[:20] if isinstance(item, str) else "…" for item in list(value)[:4]]
        text = ("{%s}" if isinstance(value, dict) else "[%s]") % ", ".join(heads)
    else:
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def refuse_unknown(noun: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse the first of the ``names`` that no ``noun`` has, with what may have been meant."""
    expected = [*known]
    for name in names:
        if name not in expected:
            raise DataError(f"there is no {noun} {shown(name)}{_meant(name, expected)}")


def _meant(name: object, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(name), known, 1)
    return f"; did you mean {close[0]!r}?" if close else f", expected one of {[*known]}"


def checked(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Decorate a function, or a class, so that :func:`check_arguments` checks its arguments."""
    if isinstance(function, type):
        function.__init__ = checked(function.__init__)  # type: ignore[misc]
        return function
    signature = inspect.signature(function)

    @wraps(function)
    def checking(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        check_arguments(function, signature.bind(*args, **kwargs).arguments)
        return function(*args, **kwargs)

    return checking


def check_call(label: str, target: Callable[..., Any], /, *positional: Any, **named: Any) -> None:
    """Check what a function would be called with.

    Raises
    ------
    DataError
        For arguments that it does not take, lacks, or that are of another type; ``label`` says
        whose.
    """
    try:
        inspect.signature(target).bind(*positional, **named)
        check_arguments(target, named)
    except (TypeError, DataError) as error:
        raise DataError(f"{label}: {error}") from None
    except ValueError:  # of C, without a signature
        pass


def check_arguments(target: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Check arguments by the types in a signature; a type that pydantic does not know lets all in.

    Raises
    ------
    DataError
        For the first argument of another type: its name, what is expected, and what it is.
    """
    types = _types(target)
    for name, value in arguments.items():
        if name not in types:
            continue
        given = value.item() if isinstance(value, np.generic) else value
        misfits = [_misfit(types[name], reading) for reading in _readings(given)]
        if misfits[0] is not None and None not in misfits:
            raise DataError(sentence_of(misfits[0], given, within=(name,)))


def _readings(value: Any) -> Iterator[Any]:
    """A value, and what a list may stand for: files know neither tuples nor arrays."""
    yield value
    if isinstance(value, list):
        yield _tuples(value)
        with suppress(ValueError, TypeError, OverflowError):  # other lengths, and no numbers
            yield np.asarray(value, dtype=np.float64)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _misfit(kind: TypeAdapter[Any], value: Any) -> ValidationError | None:
    try:
        kind.validate_python(value)
    except ValidationError as error:
        return error
    return None


@cache
def _types(target: Callable[..., Any]) -> Mapping[str, TypeAdapter[Any]]:
    """What checks each argument."""
    scope = vars(sys.modules[target.__module__])
    types: dict[str, TypeAdapter[Any]] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        many = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if many or parameter.annotation is parameter.empty:
            continue
        stub = SimpleNamespace(__annotations__={name: parameter.annotation})
        try:
            hint = get_type_hints(stub, scope, include_extras=True)[name]
            if not _of_protocol(hint):
                types[name] = TypeAdapter(hint, config=_STRICT)
        except (NameError, TypeError, PydanticUserError, SchemaError):
            continue  # imported for the type checker alone, or of no kind that can be checked
    return types


def _of_protocol(hint: Any) -> bool:
    """Is there a protocol in it? An object may have its members only once it has been reset."""
    return getattr(hint, "_is_protocol", False) or any(map(_of_protocol, get_args(hint)))
