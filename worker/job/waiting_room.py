"""The jobs that this worker has no room for yet. They stay queued, and keep no thread."""

from __future__ import annotations

import threading
from collections import Counter
from typing import NamedTuple

#: Jobs that wait in one line. The janitor rings again for those that find no place here.
_PLACES = 250


class Line(NamedTuple):
    """Jobs that wait for the same: one host's that fills its line leaves the others' open.

    `host` is that of the photo's URL; empty for photos in storage.
    """

    tenant: str
    urgent: bool
    host: str


class WaitingRoom:
    """Ids of jobs that wait for a download slot or for the in-flight limit, in lines.

    Nobody owns them: any worker may claim them, and if this one dies nothing is lost. It keeps
    those in order that came first, and ignores further doorbells for them.
    """

    def __init__(self, places: int = _PLACES) -> None:
        self._places = places
        self._lines: dict[str, Line] = {}
        self._taken: Counter[Line] = Counter()
        self._lock = threading.Lock()

    def enter(self, job_id: str, line: Line) -> bool:
        """Let a job wait; False if it does already, or its line is full."""
        with self._lock:
            if job_id in self._lines or self._taken[line] >= self._places:
                return False
            self._lines[job_id] = line
            self._taken[line] += 1
            return True

    def leave(self, job_id: str) -> None:
        """The job waits no longer."""
        with self._lock:
            line = self._lines.pop(job_id, None)
            if line is None:
                return
            self._taken[line] -= 1
            if not self._taken[line]:
                del self._taken[line]

    def __len__(self) -> int:
        return len(self._lines)
