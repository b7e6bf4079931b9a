"""The launcher: one worker process a device; one that dies is started again."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType

from shared import processes
from worker.launcher.devices import Place

log = logging.getLogger("nukki.launcher")

#: Deaths within the window after which a worker is given up.
_DEATHS = 5
_WINDOW = 60.0
_FIRST_DELAY = 0.5
_EX_CONFIG = 78


@dataclass(slots=True)
class _Slot:
    """A place, and the worker process in it."""

    place: Place
    child: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    ready: int = -1  # where the process says, once, that it is ready
    deaths: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=_DEATHS))
    given_up: int = 0  # the status for it; 0: not given up

    def buried(self, now: float) -> float | None:
        """Note a death; seconds until the next start, or None: no more.

        A process that had been ready was killed by a photo or by somebody: starting another helps,
        however many photos do so. Only those that never came so far lead to giving up.
        """
        self.child = None
        self.deaths.append((now, bool(os.read(self.ready, 1))))
        os.close(self.ready)
        recent = [was_ready for died, was_ready in self.deaths if now - died < _WINDOW]
        if recent.count(False) >= _DEATHS:
            return None
        return _FIRST_DELAY * 2.0 ** (len(recent) - 1)


class Launcher:
    """Keeps a worker running in each place until told to stop."""

    def __init__(self, places: Sequence[Place], grace: float) -> None:
        self._slots = [_Slot(place) for place in places]
        self._grace = grace
        self._stopping = threading.Event()

    def stop(self, *_: int | FrameType | None) -> None:
        """Pass SIGTERM on and leave; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> int:
        """Supervise until `stop`, or until every worker had to be given up; the exit status.

        One broken device does not stop the others.
        """
        while not self._stopping.is_set():
            for slot in self._slots:
                self._tend(slot)
            given_up = [slot.given_up for slot in self._slots]
            if all(given_up):
                return _EX_CONFIG if set(given_up) == {_EX_CONFIG} else 1
            self._stopping.wait(0.1)
        self._end([slot.child for slot in self._slots if slot.child is not None])
        return 0

    def _end(self, children: list[subprocess.Popen[bytes]]) -> None:
        """SIGTERM to all at once; SIGKILL to who is there after the grace that they share."""
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
        """Start, look after or give up one worker."""
        if slot.given_up:
            return
        now = time.monotonic()
        if slot.child is None:
            if now >= slot.start_at:
                slot.child, slot.ready = _start(slot.place)
            return
        died = slot.child.poll()
        if died is None:
            return
        said = {"worker": slot.place.name}
        delay = slot.buried(now)
        if died == _EX_CONFIG:
            log.critical("the configuration is not valid, giving up", extra=said)
            slot.given_up = _EX_CONFIG
        elif delay is None:
            log.critical("died %d times, giving up", _DEATHS, extra=said)
            slot.given_up = 1
        else:
            log.error("died (%d), again in %.1f s", died, delay, extra=said)
            slot.start_at = now + delay


#: What the C libraries below a worker are told before it starts, where nobody else has.
_TUNING = {
    # numpy's own threads spin beside the worker's: half as much processor time again.
    "OPENBLAS_NUM_THREADS": "1",
    # glibc gives a photo's memory back to the system and asks for it again at the next one, and
    # the system clears it each time: a sixth of the processor time. Few arenas keep the rest low.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}


def _start(place: Place) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and the file from which a byte can be read once it has been ready."""
    env = {name: os.environ.get(name, value) for name, value in _TUNING.items()}
    ready, told = os.pipe()
    os.set_blocking(ready, False)
    argv = [sys.executable, "-m", "worker", "--ready-fd", str(told), "--name", place.name]
    try:
        return processes.spawn(argv, env=env | dict(place.env), pass_fds=[told]), ready
    finally:
        os.close(told)
