"""What was meant by an option that there is not."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

#: Hydra's own sentence of it, and what it advises: right where any argument may be added.
_UNKNOWN = re.compile(r"Could not override '(?P<key>[^']*)'\.(?P<advice>.*)", re.DOTALL)


def explained(error: Exception, program: str, words: Sequence[str]) -> str:
    """What Hydra says; of an option that there is not, with the one that may be meant.

    Parameters
    ----------
    program
        Whose configuration it is.
    words
        The command line.
    """
    found = _UNKNOWN.match(str(error))
    if found is None:
        return str(error)
    key, advice = found["key"], " ".join(found["advice"].split())
    others = [word for word in words if word.lstrip("+~").split("=")[0] != key]
    meant = _meant(key, list(_keys(_composed(program, others))))
    said = f"there is no option {key!r}"
    if meant:
        said += f"; did you mean {' or '.join(meant)}?"
    if "." in key:  # of an object, which may take more arguments than its configuration names
        return f"{said}{'' if meant else '.'} {advice}"
    return said if meant else f"{said}; equiload {program} --help lists them"


def _composed(program: str, words: Sequence[str]) -> DictConfig:
    """The configuration as far as the other ``words`` are right."""
    overrides = [word for word in words if "=" in word and not word.startswith("-")]
    with initialize_config_module("equiload.conf", version_base="1.3"):
        with suppress(HydraException, OmegaConfBaseException):
            return compose(program, overrides)
        return compose(program)


def _keys(cfg: DictConfig) -> Iterator[str]:
    def within(node: object, path: str) -> Iterator[str]:
        if isinstance(node, Mapping):
            for name, value in node.items():
                yield f"{path}{name}"
                yield from within(value, f"{path}{name}.")

    return within(OmegaConf.to_container(cfg, resolve=False), "")


def _meant(key: str, known: Sequence[str]) -> list[str]:
    """The options of the same last name, or else the one that is written nearly so."""
    last = key.rsplit(".", 1)[-1]
    same = [option for option in known if option.rsplit(".", 1)[-1] == last]
    return same[:3] or difflib.get_close_matches(key, known, 1, cutoff=0.75)
