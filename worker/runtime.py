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
        pixels_in_flight: limits the pixels of the photos in memory at once.
        cores: limits the stages that compute at once, to the number of cores plus one: a stage
            sometimes waits for another thread, and more would only slow each other down.
    """

    settings: Settings
    storage: Storage
    leases: LeaseTable
    doorbell: Bell
    outbound: Outbound
    engine: Engine
    heartbeat: Heartbeat
    pixels_in_flight: InFlightLimit
    cores: InFlightLimit
    draining: threading.Event = field(default_factory=threading.Event)
