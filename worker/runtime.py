"""Everything a worker process holds, made once at its start."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from shared.outbound import Outbound
from shared.queue.doorbell import Bell
from shared.queue.leases import LeaseTable
from shared.settings import Settings
from shared.storage import Storage
from worker.engine import Engine, InFlightLimit
from worker.heartbeat import Heartbeat


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a job's pipeline works with.

    Attributes:
        photos: pixels in hand, which bound the memory.
        processors: a unit for each core and one more, since a stage now and then waits for another
            thread. Yet more at once would only slow each other down.
    """

    settings: Settings
    storage: Storage
    leases: LeaseTable
    doorbell: Bell
    outbound: Outbound
    engine: Engine
    heartbeat: Heartbeat
    photos: InFlightLimit
    processors: InFlightLimit
    draining: threading.Event = field(default_factory=threading.Event)
