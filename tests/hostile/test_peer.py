"""Deadlines of one connection: headers, body, answers, and the end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from api.server import peer as peers
from api.server.peer import Deadlines, Peer

SHORT = Deadlines(headers=0.3, body=0.3, body_rate=1000, write=0.3, linger=0.3)

Pair = tuple[Peer, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connection: our end of it, and the caller's."""
    ours, theirs = socket.socketpair()
    with theirs:
        yield Peer(ours, SHORT), theirs
        ours.close()


class _Dripping:
    """Sends a byte every 0.05 s while the block runs."""

    def __init__(self, to: socket.socket) -> None:
        self._to, self._done = to, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._done.wait(0.05):
            try:
                self._to.send(b"a")
            except OSError:
                return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def test_headers_that_drip_are_cut_off(pair: Pair) -> None:
    peer, caller = pair
    peer.await_request()
    with _Dripping(caller):
        received = list(iter(lambda: peer.recv(100), b""))
    assert 2 <= len(received) <= 7
    assert peer.late


def test_a_silent_connection_is_closed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "IDLE", 0.1)
    peer, _ = pair
    peer.await_request()
    assert peer.recv(100) == b""


def test_the_next_request_has_a_deadline_of_its_own(pair: Pair) -> None:
    peer, caller = pair
    for _ in range(3):
        peer.await_request()
        time.sleep(0.2)  # idle, which is no part of the deadline
        caller.send(b"GET")
        assert peer.recv(100) == b"GET"
    assert not peer.late


def test_a_body_that_drips_is_cut_off(pair: Pair) -> None:
    peer, caller = pair
    peer.begin_body(continue_wanted=False)
    with _Dripping(caller), pytest.raises(TimeoutError):
        list(iter(lambda: peer.recv(100), b""))
    assert peer.late


def test_a_body_that_keeps_the_rate_is_not_cut_off(pair: Pair) -> None:
    peer, caller = pair
    peer.begin_body(continue_wanted=False)
    for _ in range(8):  # 2,000 bytes per second for 0.8 s
        caller.send(b"a" * 200)
        time.sleep(0.1)
        assert peer.recv(1000)
    assert not peer.late


def test_a_caller_that_does_not_read_is_cut_off(pair: Pair) -> None:
    peer, _ = pair
    with pytest.raises(TimeoutError):
        peer.sendall(b"a" * 50_000_000)


def test_a_caller_that_reads_slowly_gets_all(pair: Pair) -> None:
    peer, caller = pair
    received = bytearray()

    def read() -> None:
        while len(received) < 2_000_000:
            received.extend(caller.recv(100_000))
            time.sleep(0.05)

    thread = threading.Thread(target=read)
    thread.start()
    peer.sendall(b"a" * 2_000_000)  # in about a second: longer than one deadline
    thread.join()
    assert len(received) == 2_000_000


def test_a_caller_is_asked_for_its_body_when_it_is_wanted(pair: Pair) -> None:
    peer, caller = pair
    peer.begin_body(continue_wanted=True)
    caller.setblocking(False)
    with pytest.raises(BlockingIOError):
        caller.recv(100)
    caller.setblocking(True)
    caller.send(b"body")
    assert peer.recv(100) == b"body"
    assert caller.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_a_caller_that_is_still_sending_gets_its_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        caller = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    with caller:
        peer = Peer(ours, SHORT)
        caller.send(b"a" * 100_000)
        peer.sendall(b"HTTP/1.1 413 Too Large\r\n\r\n")
        thread = threading.Thread(target=lambda: peer.close(unread=True))
        thread.start()
        caller.send(b"a" * 100_000)
        caller.shutdown(socket.SHUT_WR)
        assert caller.recv(1000).startswith(b"HTTP/1.1 413")
        assert caller.recv(1000) == b""  # not a reset
        thread.join()


def test_a_request_that_has_arrived_is_not_hung_up_on(pair: Pair) -> None:
    peer, caller = pair
    peer.await_request()
    caller.send(b"GET")
    peer.hang_up(unless_asked=True)
    assert peer.recv(100) == b"GET"
    peer.hang_up(unless_asked=True)
    assert caller.recv(100) == b""
