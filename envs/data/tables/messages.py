"""The sentences of errors: where something stands, what it is, and what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from equiload.envs.checking import shown
from equiload.envs.errors import DataError, printable


def cell_error(file: object, cells: Any, row: int, sentence: str) -> DataError:
    """An error about one of a column's cells, which know its name and their rows in the file."""
    return DataError(f"{file}, row {cells.index[row]}, column {str(cells.name)!r}: {sentence}")


@contextmanager
def about(what: str, *, unless: str | None = None) -> Iterator[None]:
    """Begin the sentence of any error raised inside with ``what``.

    ``unless``: not where the sentence holds this already.
    """
    try:
        yield
    except DataError as error:
        sentence = str(error)
        named = unless is not None and unless in sentence
        raise DataError(sentence if named else f"{what}: {sentence}") from None


def one_line(text: str) -> str:
    """A message that can be printed: names and cells in it may hold anything, and any length."""
    text = printable(text)
    return text if len(text) <= 690 else f"{text[:500]} … {text[-180:]}"


def listing(names: Sequence[str]) -> str:
    """Names as in a message, of which there may be thousands."""
    listing = ""
    for count, name in enumerate(names):
        if len(listing) > 300:
            return f"{listing} and {len(names) - count} more"
        listing += f"{', ' if count else ''}{shown(name)}"
    return listing
