"""The objects that a worker process holds, made once when it starts."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from shared.outbound import Outbound
from shared.queue.doorbell import Bell
from shared.queue.leases import LeaseTable
from shared.settings import WorkerSettings
from shared.storage import Storage
from worker.engine import Engine, InFlightLimit
from worker.heartbeat import Heartbeat


@dataclass(frozen=True, slots=True)
class Runtime:
    """The objects that a job's pipeline uses.

    Attributes:
        pixels_in_flight: limits the pixels of the photos in memory at once.
        cores: limits the stages that compute at once, to the number of cores plus one: a stage
            sometimes waits for another thread, and more would only slow each other down.
    """

    settings: WorkerSettings
    storage: Storage
    leases: LeaseTable
    doorbell: Bell
    outbound: Outbound
    engine: Engine
    heartbeat: Heartbeat
    pixels_in_flight: InFlightLimit
    cores: InFlightLimit
    draining: threading.Event = field(default_factory=threading.Event)
