"""Fetching, against a server on this machine: resumed, verified, clear when it fails."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from effort import FAULTS, limited
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equiload.envs import DataError
from equiload.envs.reading import digest
from equiload.experiments.worlds.fetch import Dataset, Remote, bloom10_dataset, fetch

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
    assert digest(tmp_path / "a.csv") == hashlib.sha256(CONTENT["a.csv"]).hexdigest()
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


FILE = Remote("a.csv", 3, hashlib.sha256(b"abc").hexdigest())


def answering(address: str) -> Dataset:
    return Dataset(address, "https://example.org/home", (FILE,))


@pytest.fixture
def stranger() -> Iterator[Callable[..., Dataset]]:
    """Servers that send the bytes they are given to whoever connects, and speak no HTTP."""
    with contextlib.ExitStack() as stack:

        def serve(*pieces: bytes, pause: float = 0.0) -> Dataset:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            stack.callback(listening.shutdown, socket.SHUT_RDWR)

            def run() -> None:
                with contextlib.suppress(OSError):  # the client has had enough, or the test ended
                    while True:
                        with listening.accept()[0] as line:
                            line.recv(1 << 16)
                            for piece in pieces:
                                line.sendall(piece)
                                time.sleep(pause)

            threading.Thread(target=run, daemon=True).start()
            return answering(f"http://127.0.0.1:{listening.getsockname()[1]}/")

        yield serve


GOOD = b"HTTP/1.1 200 OK\r\n"
MALFORMED = {
    "no HTTP": b"220 welcome to the mail server\r\n",
    "a status that is none": b"HTTP/1.1 abc OK\r\n\r\n",
    "more than 100 headers": GOOD + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n",
    "a header of 200 kB": GOOD + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
    "a broken chunk": GOOD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "a chunk cut off": GOOD + b"Transfer-Encoding: chunked\r\n\r\n3\r\na",
    "nothing": b"",
    "zeros": bytes(100),
    "too short": GOOD + b"Content-Length: 3\r\n\r\na",
    "a length that is none": GOOD + b"Content-Length: -5\r\n\r\n",
    "sent on to itself": b"HTTP/1.1 302 F\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n",
    "sent on to ftp": b"HTTP/1.1 302 F\r\nLocation: ftp://127.0.0.1/a\r\n\r\n",
    "sent on to a file": b"HTTP/1.1 302 F\r\nLocation: file:///etc/passwd\r\n\r\n",
    "sent on nowhere": b"HTTP/1.1 302 F\r\nLocation: http://[::1\r\n\r\n",
    "sent on to letters": "HTTP/1.1 302 F\r\nLocation: http://ü ü/\r\n\r\n".encode(),
    "a reason that clears the screen": b"HTTP/1.1 404 \x1b[2J\x07\x9bgone\r\n\r\n",
    "a reason of 60 kB": b"HTTP/1.1 500 " + b"x" * 60_000 + b"\r\n\r\n",
    "another range": b"HTTP/1.1 206 P\r\nContent-Range: bytes 7-9/9\r\n\r\nxyz",
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # urllib's socket
@pytest.mark.parametrize("kind", MALFORMED)
def test_an_answer_that_is_none_is_one_sentence(
    kind: str, stranger: Callable[..., Dataset], tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        fetch(stranger(MALFORMED[kind]), tmp_path, timeout=5)
    assert "://" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    assert not (tmp_path / "a.csv").exists()


@settings(max_examples=60 * FAULTS, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.booleans())
@limited()
def test_whatever_a_server_sends(
    stranger: Callable[..., Dataset], tmp_path: Path, content: bytes, status: bool
) -> None:
    """No bytes make anything but the published file, or one sentence."""
    with pytest.raises(DataError) as caught:
        fetch(stranger(GOOD * status + content), tmp_path, timeout=5)
    assert str(caught.value).isprintable()


def test_no_more_than_the_published_size_is_kept(
    stranger: Callable[..., Dataset], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="is longer than the 3 bytes published"):
        fetch(stranger(GOOD + b"\r\n", *[bytes(1 << 16)] * 100), tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3


@pytest.mark.parametrize("where", ["headers", "body", "redirection"])
def test_a_byte_at_a_time_is_not_waited_for(
    where: str, stranger: Callable[..., Dataset], tmp_path: Path
) -> None:
    start = {
        "headers": b"",
        "body": GOOD + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n",
        "redirection": b"HTTP/1.1 302 F\r\nLocation: /a\r\n\r\n",
    }[where]
    server = stranger(start, *[b"1"] * 1000, pause=0.05)
    dataset = dataclasses.replace(server, files=(Remote("a.csv", 100, ""),))
    begin = time.monotonic()
    with pytest.raises(DataError, match=r"has not come in 0 s|timed out"):
        fetch(dataset, tmp_path, timeout=0.3)
    assert time.monotonic() - begin < 5


ADDRESSES = ["http://a b/", "http://exämple.org/", "http://[::1", "http://x:port/", "http://x\x1b/"]


@pytest.mark.parametrize("base", [*ADDRESSES, "file:/", "data:,abc", "x"])
def test_an_address_that_is_none(base: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch(answering("http://x/"), tmp_path, base=base, timeout=2)
    assert str(caught.value).isprintable()


def test_what_cannot_be_written_is_not_called_unreachable(
    stranger: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = stranger(GOOD + b"Content-Length: 3\r\n\r\nabc")
    for name in ("a.csv", "a.csv.part"):
        (tmp_path / name).mkdir()
        with pytest.raises(DataError, match=rf"{name}: cannot be written \(Is a directory\)"):
            fetch(dataset, tmp_path)
        (tmp_path / name).rmdir()
        (tmp_path / "a.csv.part").unlink(missing_ok=True)
    (tmp_path / "a.csv.part").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"cannot be written \(No space left on device"):
        fetch(dataset, tmp_path)
    (tmp_path / "a.csv.part").unlink()
    assert fetch(dataset, tmp_path) == 1  # the same call, once the cause has gone


def test_the_published_trace_has_the_recorded_checksums(bloom10_root: Path) -> None:
    remotes = bloom10_dataset().files
    assert len(remotes) == 31
    for remote in remotes:
        path = bloom10_root / remote.path
        assert (path.stat().st_size, digest(path)) == (remote.size, remote.sha256), remote.path
