"""Fetching, against a server on this machine: resumed, verified, clear when it fails."""

from __future__ import annotations

import functools
import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from equiload.envs import DataError
from equiload.experiments.worlds.fetch import Dataset, Remote, bloom10_dataset, fetch, sha256

CONTENT = {"a.csv": b"time,value\n" * 9000, "sub/b b.csv": b"x" * 70_000}


@dataclass
class Server:
    """What the server holds and does, and what it was asked."""

    address: str = ""
    content: dict[str, bytes] = field(default_factory=lambda: dict(CONTENT))
    ranges: bool = True
    cut: int | None = None  # bytes after which an answer breaks off
    asked: list[tuple[str, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    def __init__(self, server_state: Server, *args) -> None:
        self.state = server_state
        super().__init__(*args)

    def do_GET(self) -> None:
        path = self.path.lstrip("/").replace("%20", " ")
        wanted = self.headers.get("Range")
        self.state.asked.append((path, wanted))
        content = self.state.content.get(path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        if wanted and self.state.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.state.cut])

    def log_message(self, *_args) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, state))
    state.address = f"http://127.0.0.1:{http.server_address[1]}/"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def published(state: Server) -> Dataset:
    remotes = [Remote(p, len(c), hashlib.sha256(c).hexdigest()) for p, c in CONTENT.items()]
    return Dataset(state.address, "https://example.org/home", tuple(remotes))


def test_everything_arrives_once(server: Server, tmp_path: Path) -> None:
    assert fetch(published(server), tmp_path) == 2
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {"a.csv", "b b.csv"}
    assert (tmp_path / "sub/b b.csv").read_bytes() == CONTENT["sub/b b.csv"]
    assert fetch(published(server), tmp_path) == 0
    assert len(server.asked) == 2


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_is_resumed(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.cut, server.ranges = 50_000, ranges
    with pytest.raises(DataError, match=r"50000 of 99000 bytes; run the command again|offline"):
        fetch(published(server), tmp_path)
    assert not (tmp_path / "a.csv").exists()
    assert (tmp_path / "a.csv.part").stat().st_size == 50_000
    server.cut = None
    assert fetch(published(server), tmp_path) == 2
    assert server.asked[1] == ("a.csv", "bytes=50000-")
    assert sha256(tmp_path / "a.csv") == hashlib.sha256(CONTENT["a.csv"]).hexdigest()
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_that_is_not_the_published_one_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.content["a.csv"] = CONTENT["a.csv"].replace(b"value", b"Value", 1)
    with pytest.raises(DataError, match="checksum"):
        fetch(published(server), tmp_path)
    assert not list(tmp_path.rglob("a.csv*"))


def test_a_spoiled_file_is_fetched_again(server: Server, tmp_path: Path) -> None:
    fetch(published(server), tmp_path)
    (tmp_path / "a.csv").write_bytes(b"spoiled")
    assert fetch(published(server), tmp_path) == 1
    assert (tmp_path / "a.csv").read_bytes() == CONTENT["a.csv"]


def test_what_the_server_lacks_is_named(server: Server, tmp_path: Path) -> None:
    del server.content["a.csv"]
    with pytest.raises(DataError, match=r"a.csv: the server answered 404 .*example.org/home"):
        fetch(published(server), tmp_path)


def test_offline_is_said_plainly(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dataset = Dataset(
        f"http://127.0.0.1:{port}/", "https://example.org/home", (Remote("a", 1, ""),)
    )
    with pytest.raises(DataError, match=r"may be offline.*example.org/home"):
        fetch(dataset, tmp_path)
    assert not list(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="http or https"):
        fetch(dataset, tmp_path, base=tmp_path.as_uri())


def test_the_published_trace_has_the_recorded_checksums(bloom10_root: Path) -> None:
    remotes = bloom10_dataset().files
    assert len(remotes) == 31
    for remote in remotes:
        path = bloom10_root / remote.path
        assert (path.stat().st_size, sha256(path)) == (remote.size, remote.sha256), remote.path
