"""Downloads with checksums: resumed where they stopped, verified before they count.

A server is not trusted: no more than the published size is kept, :data:`SLOWEST` and
:data:`REDIRECTS` bound how long it is listened to, and what it answers is data.
"""

from __future__ import annotations

import csv
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path
from typing import Any

from equiload.envs.errors import DataError
from equiload.envs.reading import digest
from equiload.experiments.running.files import saving

#: Bytes per second on average, beside the time-out: a server that is slower is not waited for.
SLOWEST = 1000
#: Addresses that a server may send on to, one after the other; http and https alone.
REDIRECTS = 5
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
    """A published data set: the address that its files are below, and the page that shows it."""

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
        No connection, an answer that is none, a file that is not there or cannot be written, or
        one that is not what was published.
    """
    base = (base or dataset.base).rstrip("/") + "/"
    downloaded = 0
    for remote in dataset.files:
        target = folder / remote.path
        if target.is_file() and digest(target) == remote.sha256:
            report(f"{remote.path}: already there")
            continue
        address = base + urllib.parse.quote(remote.path)
        part = target.with_name(target.name + ".part")
        with saving(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        _download(address, part, remote, dataset.home, timeout)
        checksum = digest(part)
        if checksum != remote.sha256:
            part.unlink()
            raise DataError(
                f"{address}: the checksum is {checksum:.12}…, expected {remote.sha256:.12}…; the "
                "file is not the published one, so it was not kept"
            )
        with saving(target):
            part.replace(target)
        downloaded += 1
        report(f"{remote.path}: {remote.size} bytes, checksum right")
    return downloaded


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = REDIRECTS

    def redirect_request(self, req: Any, fp: Any, *rest: Any) -> Any:
        """Follow no other protocol, and read nothing of what a redirection says."""
        fp.close()
        _refuse_other_protocols(rest[-1])
        return super().redirect_request(req, fp, *rest)


def _refuse_other_protocols(address: str) -> None:
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        raise DataError(f"{address[:200]}: expected an http or https address")


@contextmanager
def _asking(address: str, home: str, folder: Path) -> Iterator[None]:
    """Whatever fails while a server is asked and listened to, as one sentence."""
    try:
        yield
    except DataError:
        raise
    except urllib.error.HTTPError as error:
        error.close()
        raise DataError(
            f"{address}: the server answered {error.code} {error.reason[:200]}; see {home}"
        ) from None
    except HTTPException as error:  # an address or an answer that is none
        reason = f"{type(error).__name__} {error}"[:200]
        raise DataError(f"{address}: does not speak HTTP ({reason}); see {home}") from None
    except (OSError, ValueError) as error:  # URLError and time-outs; Unicode, ports among them
        reason = str(getattr(error, "reason", error) or error)[:200]
        raise DataError(
            f"{address}: cannot be reached ({reason}); you may be offline. Run the command again "
            f"to go on, or copy the files from {home} into {folder}"
        ) from None


def _download(address: str, part: Path, remote: Remote, home: str, timeout: float) -> None:
    """Bring ``part`` to the remote's size, within the time that the slowest server may take."""
    ended, failure = threading.Event(), list[DataError]()

    def receive() -> None:
        try:
            _receive(address, part, remote, home, timeout, ended)
        except DataError as error:
            failure.append(error)

    seconds = timeout + remote.size / SLOWEST
    thread = threading.Thread(target=receive, daemon=True)  # nothing else ends a slow header
    thread.start()
    thread.join(seconds)
    ended.set()
    if thread.is_alive():
        raise DataError(
            f"{address}: has not come in {seconds:.0f} s; run the command again to go on"
        )
    if failure:
        raise failure[0]


def _receive(
    address: str, part: Path, remote: Remote, home: str, timeout: float, ended: threading.Event
) -> None:
    """Append to ``part`` from where it stopped if the server can do that, until ``ended``."""
    with saving(part):
        if part.exists() and part.stat().st_size > remote.size:
            part.unlink()
        have = part.stat().st_size if part.exists() else 0
    if have == remote.size:
        return
    with _asking(address, home, part.parent):
        _refuse_other_protocols(address)
        request = urllib.request.Request(address)  # noqa: S310 - checked just above
        if have:
            request.add_header("Range", f"bytes={have}-")
        answer = urllib.request.build_opener(_Redirects).open(request, timeout=timeout)
    resumed = have and answer.status == 206  # 200: the whole file again
    have = have if resumed else 0
    with answer, saving(part), part.open("ab" if resumed else "wb") as file:
        while not ended.is_set():
            with _asking(address, home, part.parent):
                block = answer.read1(min(_BLOCK, remote.size + 1 - have))
            have += len(block)
            if have > remote.size:
                raise DataError(f"{address}: is longer than the {remote.size} bytes published")
            if not block:
                break
            file.write(block)
    if have < remote.size:
        raise DataError(
            f"{address}: the connection ended after {have} of {remote.size} bytes; run the "
            f"command again to go on"
        )
