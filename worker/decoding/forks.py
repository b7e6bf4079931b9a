"""The template process, the decoders that it forks, and how they ended."""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from shared import processes
from shared.errors import DecoderUnavailable, OutOfMemory
from worker.decoding import messages

#: Seconds the template may take to load its libraries, and to answer after that.
_LOADING, _ANSWERING = 60.0, 10.0
#: Seconds in which a decoder that closed its socket is dead; its death tells why.
_DYING = 2.0
#: Variables of a decoder's C libraries. A decoder keeps at most the last of these bytes for its
#: next photo; larger pieces go back to the system at once.
_TUNING = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


class Template:
    """The process of `worker.decoding.template`. It ends when this one does, and its forks too."""

    def __init__(self) -> None:
        self._socket, theirs = _sockets()
        self._socket.settimeout(_LOADING)
        with theirs:
            self._process = subprocess.Popen(
                processes.python("worker.decoding.template", str(theirs.fileno())),
                env=os.environ | _TUNING,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the worker, which ends its jobs first
                pass_fds=[theirs.fileno()],
            )

    def ask(self, request: dict[str, Any], descriptor: int | None = None) -> dict[str, Any]:
        """The template's answer to a request; a template that does not answer is killed.

        Raises:
            messages.Closed: it has ended.
        """
        try:
            messages.send(self._socket, request, descriptor)
            reply, _ = messages.receive(self._socket)
        except (TimeoutError, messages.Closed) as error:
            self.close()
            raise messages.Closed from error
        self._socket.settimeout(_ANSWERING)
        return reply

    def close(self) -> None:
        """End the process, which ends its forks first."""
        self._socket.close()
        try:
            self._process.wait(_DYING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def lives(self) -> bool:
        return self._process.poll() is None


@dataclass(eq=False, slots=True)
class Decoder:
    """A decoder process, and the template that it was forked from."""

    pid: int
    socket: socket.socket
    template: Template

    @property
    def lives(self) -> bool:
        """Whether its socket is open: it closes when the process ends, and nothing else comes."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return not poll.poll(0)

    def ask(self, request: dict[str, Any], file: int) -> tuple[dict[str, Any], int | None]:
        """Its reply to a request, and the reply's shared memory.

        Raises:
            messages.Closed: it died.
            TimeoutError: it does not answer.
        """
        messages.send(self.socket, request, file)
        return messages.receive(self.socket)


class Forks:
    """Starts and ends decoders; a template that died is replaced by the next call."""

    def __init__(self, patience: float) -> None:
        """`patience`: seconds to wait for a decoder's reply."""
        self._patience = patience
        self._template: Template | None = None
        self._lock = threading.Lock()

    def new(self) -> Decoder:
        """A new decoder.

        Raises:
            OutOfMemory, DecoderUnavailable: there is none to be had now.
        """
        with self._lock:
            if self._template is not None and not self._template.lives:
                self._template.close()
                self._template = None
            self._template = self._template or Template()
            ours, theirs = _sockets()
            ours.settimeout(self._patience)
            try:
                with theirs:
                    reply = self._template.ask({}, theirs.fileno())
            except messages.Closed as error:
                ours.close()
                raise DecoderUnavailable from error
            if "pid" in reply:
                return Decoder(reply["pid"], ours, self._template)
        ours.close()
        raise unavailable(reply["errno"])

    def end(self, decoder: Decoder, *, at_once: bool) -> str:
        """How a decoder ended, for `verdict`; one that lives is killed, `at_once` or soon."""
        decoder.socket.close()
        request = {"end": decoder.pid, "patience": 0.0 if at_once else _DYING}
        with self._lock, suppress(messages.Closed):
            if decoder.template.lives:
                return str(decoder.template.ask(request)["ended"])
        return "its template"

    def close(self) -> None:
        """End the template and all decoders."""
        with self._lock:
            if self._template is not None:
                self._template.close()


def unavailable(number: int | None) -> OutOfMemory | DecoderUnavailable:
    """The error for a system error's number: no memory, or another lack such as of processes."""
    if number in {errno.ENOMEM, errno.ENOSPC}:
        return OutOfMemory()
    return DecoderUnavailable(f"A decoder cannot be used: {os.strerror(number or 0)}.")


def _sockets() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
