"""Child processes, which end when their parent does."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO

_PR_SET_PDEATHSIG = 1


def python(module: str, *arguments: str) -> list[str]:
    """The command line that runs one of our modules, `python -m`, with this interpreter.

    `-P` keeps the current folder out of the import path: in a folder that has an `api/` of its
    own, `python -m api` would run that one.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def die_with_parent() -> None:
    """Ask Linux to send this process SIGTERM when its parent dies, even if by SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    source: IO[bytes] | None = None,
    output: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
    umask: int = -1,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, so that Ctrl-C reaches only the parent, which stops it.

    Call this from the main thread: Linux signals the child when the *thread* that started it ends.
    It reads `source` as its standard input, by default nothing. `umask` is its own; by default it
    inherits this process's.
    """
    return subprocess.Popen(
        list(argv),
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL if source is None else source,
        stdout=output,
        stderr=output,
        start_new_session=True,
        pass_fds=pass_fds,
        umask=umask,
        preexec_fn=die_with_parent,  # noqa: PLW1509
    )


def stop(child: subprocess.Popen[bytes], grace: float) -> int:
    """Send SIGTERM, and SIGKILL after `grace` seconds; returns the exit status."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()
