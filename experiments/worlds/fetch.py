"""Downloads with checksums: resumed where they stopped, verified before they count."""

from __future__ import annotations

import csv
import hashlib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from equiload.envs.errors import DataError

_BLOCK = 1 << 16  # bytes read at a time: what has come is on disk when the connection ends
_REPOSITORY = "Ren-Research/Environmentally-Equitable-AI"
_COMMIT = "f8f562912921e62f1989030c7715fab8e8b88d5f"  # that published the data


@dataclass(frozen=True, slots=True)
class Remote:
    """A published file: where it lies below the base address and the folder, size and checksum."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A published data set.

    Parameters
    ----------
    base
        Address that the paths are below.
    home
        Page where a human finds it.
    files
        Its files.
    """

    base: str
    home: str
    files: tuple[Remote, ...]


def bloom10_dataset() -> Dataset:
    """The paper's trace in its authors' repository; checksums are in ``bloom10.checksums``."""
    text = (files(__package__) / "bloom10.checksums").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return Dataset(
        base=f"https://raw.githubusercontent.com/{_REPOSITORY}/{_COMMIT}/data/",
        home=f"https://github.com/{_REPOSITORY}",
        files=tuple(Remote(row["path"], int(row["bytes"]), row["sha256"]) for row in rows),
    )


def fetch(
    dataset: Dataset,
    folder: Path,
    *,
    base: str | None = None,
    timeout: float = 30.0,
    report: Callable[[str], object] = str,
) -> int:
    """Download what is missing or broken; returns how many files were downloaded.

    A file appears under its name only when it is whole and its checksum is right; until then it is
    ``NAME.part``, which a later call resumes.

    Raises
    ------
    DataError
        No connection, a file that is not there, or one that is not what was published.
    """
    base = (base or dataset.base).rstrip("/") + "/"
    downloaded = 0
    for remote in dataset.files:
        target = folder / remote.path
        if target.is_file() and sha256(target) == remote.sha256:
            report(f"{remote.path}: already there")
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{target.parent}: cannot be made ({error.strerror})") from None
        address = base + urllib.parse.quote(remote.path)
        part = target.with_name(target.name + ".part")
        _download(address, part, remote, dataset.home, timeout)
        checksum = sha256(part)
        if checksum != remote.sha256:
            part.unlink()
            raise DataError(
                f"{address}: the checksum is {checksum[:12]}…, expected {remote.sha256[:12]}…; the "
                f"file is not the published one, so it was not kept"
            )
        part.replace(target)
        downloaded += 1
        report(f"{remote.path}: {remote.size} bytes, checksum right")
    return downloaded


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(address: str, part: Path, remote: Remote, home: str, timeout: float) -> None:
    """Bring ``part`` to the remote's size, from where it stopped if the server can do that."""
    have = part.stat().st_size if part.exists() else 0
    if have > remote.size:
        part.unlink()
        have = 0
    if have == remote.size:
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - checked just below
    if request.type not in ("http", "https"):
        raise DataError(f"{address}: expected an http or https address")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            resumed = have and answer.status == 206  # 200: the whole file again
            with part.open("ab" if resumed else "wb") as file:
                while block := answer.read(_BLOCK):
                    file.write(block)
    except urllib.error.HTTPError as error:
        error.close()
        raise DataError(
            f"{address}: the server answered {error.code} {error.reason}; see {home}"
        ) from None
    except (OSError, EOFError) as error:  # URLError, time-outs and broken connections among them
        reason = getattr(error, "reason", error) or error
        raise DataError(
            f"{address}: cannot be reached ({reason}); you may be offline. Run the command again "
            f"to go on, or copy the files from {home} into {part.parent}"
        ) from None
    if part.stat().st_size < remote.size:
        raise DataError(
            f"{address}: the connection ended after {part.stat().st_size} of {remote.size} bytes; "
            f"run the command again to go on"
        )
