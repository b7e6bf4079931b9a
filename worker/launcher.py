"""The launcher: starts the worker processes, and starts again one that dies."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from types import FrameType

from shared import logs, processes
from shared.errors import ConfigError
from shared.settings import Settings

log = logging.getLogger("nukki.launcher")

#: Deaths within the window after which a worker is given up.
_DEATHS = 5
_WINDOW = 60.0
_FIRST_DELAY = 0.5
_EX_CONFIG = 78


@dataclass(slots=True)
class _Slot:
    """A place for one worker process."""

    name: str
    child: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=_DEATHS))

    def buried(self, now: float) -> float | None:
        """Note a death; seconds until the next start, or None: no more."""
        self.child = None
        self.deaths.append(now)
        recent = [death for death in self.deaths if now - death < _WINDOW]
        if len(recent) >= _DEATHS:
            return None
        return _FIRST_DELAY * 2.0 ** (len(recent) - 1)


class Launcher:
    """Keeps a worker running in each slot until told to stop."""

    def __init__(self, names: list[str], grace: float) -> None:
        self._slots = [_Slot(name) for name in names]
        self._grace = grace
        self._stopping = threading.Event()

    def stop(self, *_: int | FrameType | None) -> None:
        """Pass SIGTERM on and leave; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> int:
        """Supervise until `stop`, or until a worker cannot be kept alive; the exit status."""
        status = 0
        while status == 0 and not self._stopping.is_set():
            status = max(self._tend(slot) for slot in self._slots)
            self._stopping.wait(0.1)
        children = [slot.child for slot in self._slots if slot.child is not None]
        for child in children:
            child.terminate()
        for child in children:
            processes.stop(child, self._grace + 5)
        return status

    def _tend(self, slot: _Slot) -> int:
        """Start, or look after, one worker; non-zero: give up."""
        now = time.monotonic()
        if slot.child is None:
            if now >= slot.start_at:
                argv = [sys.executable, "-m", "worker", "--name", slot.name]
                # numpy's own threads spin beside the worker's: half as much processor time again.
                env = {"OPENBLAS_NUM_THREADS": os.environ.get("OPENBLAS_NUM_THREADS", "1")}
                slot.child = processes.spawn(argv, env=env)
            return 0
        died = slot.child.poll()
        if died is None:
            return 0
        if died == _EX_CONFIG:
            log.critical("the configuration is not valid", extra={"worker": slot.name})
            return _EX_CONFIG
        delay = slot.buried(now)
        if delay is None:
            log.critical("died %d times, giving up", _DEATHS, extra={"worker": slot.name})
            return 1
        log.error("died (%d), again in %.1f s", died, delay, extra={"worker": slot.name})
        slot.start_at = now + delay
        return 0


def main(argv: list[str] | None = None) -> int:
    """Run the workers of this host; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker.launcher", description=__doc__)
    parser.add_argument("--model", help="the segmenter to serve (NUKKI_MODEL)")
    parser.add_argument("--checkpoint", help="its weights (NUKKI_CHECKPOINT)")
    options = parser.parse_args(argv)
    for name in ("model", "checkpoint"):  # the workers read their settings for themselves
        if getattr(options, name):
            os.environ[f"NUKKI_{name.upper()}"] = getattr(options, name)
    try:
        settings = Settings.load()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return _EX_CONFIG
    logs.configure(settings.log_level)
    launcher = Launcher([f"worker@{socket.gethostname()}"], settings.shutdown_grace)
    signal.signal(signal.SIGTERM, launcher.stop)
    signal.signal(signal.SIGINT, launcher.stop)
    return launcher.run()


if __name__ == "__main__":
    raise SystemExit(main())
