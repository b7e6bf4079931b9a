"""The launcher: it runs one worker process per place and restarts those that die."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType

from shared import processes
from shared.startup import EX_CONFIG
from worker.launcher.devices import Place

log = logging.getLogger("nukki.launcher")

#: A worker that dies this often within the window, never ready, is given up.
_DEATHS = 5
_WINDOW = 60.0
_FIRST_DELAY = 0.5


@dataclass(slots=True)
class _Slot:
    """A place and its worker process."""

    place: Place
    child: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    ready: int = -1  # a pipe: the process writes one byte when it is ready
    deaths: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=_DEATHS))
    given_up: int = 0  # the exit status it was given up with; 0 if it was not

    def buried(self, now: float) -> float | None:
        """Note that the process died.

        A process that had become ready was killed by a photo or by somebody, so starting another
        always helps. Only deaths before that count towards giving up.

        Returns:
            Seconds until the next start; None if the worker is given up.
        """
        self.child = None
        self.deaths.append((now, bool(os.read(self.ready, 1))))
        os.close(self.ready)
        recent = [was_ready for died, was_ready in self.deaths if now - died < _WINDOW]
        if recent.count(False) >= _DEATHS:
            return None
        return _FIRST_DELAY * 2.0 ** (len(recent) - 1)


class Launcher:
    """Keeps a worker running in each place until it is stopped."""

    def __init__(self, places: Sequence[Place], grace: float) -> None:
        self._slots = [_Slot(place) for place in places]
        self._grace = grace
        self._stopping = threading.Event()

    def stop(self, *_: int | FrameType | None) -> None:
        """Make `run` stop the workers and return; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> int:
        """Supervise until `stop` is called or every worker has been given up.

        A worker that is given up does not stop the others.

        Returns:
            The exit status.
        """
        while not self._stopping.is_set():
            for slot in self._slots:
                self._tend(slot)
            given_up = [slot.given_up for slot in self._slots]
            if all(given_up):
                return EX_CONFIG if set(given_up) == {EX_CONFIG} else 1
            self._stopping.wait(0.1)
        self._end([slot.child for slot in self._slots if slot.child is not None])
        return 0

    def _end(self, children: list[subprocess.Popen[bytes]]) -> None:
        """Send SIGTERM to all at once; after the grace, which they share, SIGKILL to the rest."""
        for child in children:
            child.terminate()
        deadline = time.monotonic() + self._grace + 5
        for child in children:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _tend(self, slot: _Slot) -> None:
        """Start, check or give up one worker."""
        if slot.given_up:
            return
        now = time.monotonic()
        if slot.child is None:
            if now >= slot.start_at:
                try:
                    slot.child, slot.ready = _start(slot.place)
                except OSError as error:  # no descriptor, process or memory left for now
                    said = {"worker": slot.place.name}
                    log.error("cannot start, trying again: %s", error.strerror, extra=said)  # noqa: TRY400
                    slot.start_at = now + _FIRST_DELAY
            return
        died = slot.child.poll()
        if died is None:
            return
        said = {"worker": slot.place.name}
        delay = slot.buried(now)
        if died == EX_CONFIG:
            log.critical("giving up: the configuration is not valid", extra=said)
            slot.given_up = EX_CONFIG
        elif delay is None:
            log.critical("giving up: died %d times before it was ready", _DEATHS, extra=said)
            slot.given_up = 1
        else:
            log.error("died (%d), starting again in %.1f s", died, delay, extra=said)
            slot.start_at = now + delay


#: Environment variables that tune a worker's C libraries; set unless they are set already.
_TUNING = {
    # numpy's own threads would spin beside the worker's and add half again to the CPU time.
    "OPENBLAS_NUM_THREADS": "1",
    # By default glibc returns a photo's memory to the system and asks for it again for the next
    # one, and the system clears it each time: a sixth of the CPU time. Few arenas limit the
    # memory that is kept.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}


def _start(place: Place) -> tuple[subprocess.Popen[bytes], int]:
    """Start a worker; returns the process, and the pipe that holds a byte once it is ready."""
    env = {name: os.environ.get(name, value) for name, value in _TUNING.items()}
    ready, told = os.pipe()
    os.set_blocking(ready, False)
    argv = processes.python("worker", "--ready-fd", str(told), "--name", place.name)
    try:
        return processes.spawn(argv, env=env | dict(place.env), pass_fds=[told]), ready
    except OSError:
        os.close(ready)
        raise
    finally:
        os.close(told)
