"""Runs a target in a child process and returns an outcome per file, even if the child dies."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tests.fuzz.child import LIMIT

#: Outcomes that are not faults.
SOUND = ("read", "refused")


@dataclass(frozen=True)
class Outcome:
    """The outcome of one file.

    Attributes:
        kind: `read`, `refused`, or a fault: `wrong`, `memory`, `foreign exception`, `hang` or
            `crash`.
        detail: the reason or the traceback.
        size: (width, height) as stored, where it was read.
        peak: bytes of address space that the child has used beyond its start, up to now.
    """

    kind: str
    detail: str = ""
    size: tuple[int, int] | None = None
    peak: int = 0

    @property
    def sound(self) -> bool:
        return self.kind in SOUND


class Sandbox:
    """A child process that runs a target; restarted after a file kills it."""

    def __init__(
        self, target: str, *, memory: int, seconds: float, warm_up: Sequence[bytes] = ()
    ) -> None:
        """Start nothing yet.

        Args:
            target: `module:function`, which gives (width, height) or raises.
            memory: bytes of address space that the child may use beyond its warm-up's.
            seconds: the longest that one file may take.
            warm_up: files run before the limit is set, for imports, tables and threads.
        """
        self._argv = [sys.executable, "-m", "tests.fuzz.child", target, "--memory", str(memory)]
        self._seconds = seconds
        self._warm_up = warm_up
        self._child: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._errors.close()

    def run(self, data: bytes) -> Outcome:
        """The outcome of one file."""
        if self._child is None:
            self._child = self._start()
        child = self._child
        self._send(child, data)
        line = _line(child, self._seconds)
        if line is None:
            self._end()
            return Outcome("hang", f"no answer within {self._seconds:g} seconds")
        if not line.endswith(b"\n"):
            code = child.wait()
            self._end()
            self._errors.seek(0)
            said = self._errors.read()[-2000:].decode("utf-8", "replace")
            cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return Outcome("crash", f"{cause}\n{said}".strip())
        answer = json.loads(line)
        size = answer.get("size")
        return Outcome(
            answer["kind"],
            answer.get("detail", ""),
            None if size is None else (size[0], size[1]),
            answer.get("peak", 0),
        )

    def _start(self) -> subprocess.Popen[bytes]:
        self._errors.seek(0)
        self._errors.truncate()
        child = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )
        self._child = child
        for data in self._warm_up:
            self._send(child, data)
            if not _line(child, 60.0):
                raise RuntimeError("the child does not survive sound files")
        assert child.stdin is not None
        child.stdin.write(struct.pack("<Q", LIMIT))
        child.stdin.flush()
        return child

    @staticmethod
    def _send(child: subprocess.Popen[bytes], data: bytes) -> None:
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # reported as a crash on the next read
            child.stdin.write(struct.pack("<Q", len(data)) + data)
            child.stdin.flush()

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for stream in (self._child.stdin, self._child.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):  # unsent data of a dead child
                        stream.close()
            self._child = None


def _line(child: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """The child's next line; without its newline if the child ended; None on timeout."""
    assert child.stdout is not None
    deadline = time.monotonic() + seconds
    line = b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
            return None
        part = child.stdout.read1(65536)  # type: ignore[attr-defined]
        if not part:
            break
        line += part
    return line
