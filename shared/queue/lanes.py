"""The depth of the queue for operators: what waits in each lane, and since when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.job import Lane
from shared.queue.connection import Connection


@dataclass(frozen=True, slots=True)
class LaneDepth:
    """Jobs queued in a lane, and seconds since the first of them entered it (0 where empty)."""

    depth: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Everything that waits.

    Attributes:
        lanes: every lane, empty ones too.
        unfinished: jobs queued or processing.
        overdue: of those, the ones that the janitor should have looked at by now.
        webhooks: neither delivered, dead nor suspended.
    """

    lanes: Mapping[Lane, LaneDepth]
    unfinished: int
    overdue: int
    webhooks: int


class DepthReader:
    """Reads the depth of the queue without changing it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self) -> QueueDepth:
        """The depth at one moment, its ages by Redis's clock.

        Raises:
            QueueUnavailable: Redis is not answering.
        """
        lanes, unfinished, overdue, webhooks = self._connection.run("backlog", lanes=list(Lane))
        return QueueDepth(
            lanes={
                lane: LaneDepth(int(depth), int(age) / 1e6)
                for lane, (depth, age) in zip(Lane, lanes, strict=True)
            },
            unfinished=int(unfinished),
            overdue=int(overdue),
            webhooks=int(webhooks),
        )
