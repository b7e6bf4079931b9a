"""The objects that the API's views use, made once by `create_app`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from flask import current_app

from api.bodies import Bodies
from api.keyring import Keyring
from api.pulse import Pulse
from api.waiting import WaitingRoom
from shared.guard import Guard
from shared.queue.answers import Room
from shared.queue.connection import Connection
from shared.queue.delivery_log import DeliveryLog
from shared.queue.doorbell import Bell, Doorbell, make_celery
from shared.queue.jobs import JobQueue
from shared.queue.notifier import Notifier
from shared.queue.workers import WorkerRoll
from shared.records import Records
from shared.settings import ApiSettings
from shared.storage import Storage, open_storage
from shared.webhooks import SecretBook

_EXTENSION = "nukki"
#: Seconds without an answer after which the storage counts as down, so that a caller is answered
#: in under two seconds.
STORAGE_TIMEOUT = 1.2
#: Seconds for which the room in storage is remembered: a full one must not take a second's jobs.
_ROOM_REMEMBERED = 0.1


@dataclass(frozen=True, slots=True)
class Services:
    """The connected parts of the API."""

    settings: ApiSettings
    connection: Connection
    jobs: JobQueue
    deliveries: DeliveryLog
    workers: WorkerRoll
    storage: Storage
    doorbell: Bell
    guard: Guard
    keyring: Keyring
    secrets: SecretBook
    waiting: WaitingRoom
    #: Always watches `storage`.
    pulse: Pulse = field(init=False)
    #: Watches whether it has room for more.
    room: Pulse = field(init=False)
    #: The request bodies that are being received.
    bodies: Bodies = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pulse", Pulse(self.storage.ping))
        object.__setattr__(
            self, "room", Pulse(self.storage.require_room, remembered=_ROOM_REMEMBERED)
        )
        object.__setattr__(self, "bodies", Bodies(self.settings.spool_bytes))

    @property
    def records(self) -> Records:
        """Jobs, in Redis or archived."""
        return Records(self.jobs, self.storage)

    @classmethod
    def connect(cls, settings: ApiSettings) -> Services:
        """Make all parts; this sends nothing to Redis or the storage yet."""
        connection = Connection(settings.redis_url)
        jobs = JobQueue(
            connection,
            retention_ms=settings.retention_ms,
            record_ms=settings.record_ms,
            room=Room(
                settings.max_queued,
                settings.max_queued_of_a_tenant,
                settings.max_record_bytes,
                settings.share_of_a_tenant,
            ),
        )
        return cls(
            settings=settings,
            connection=connection,
            jobs=jobs,
            deliveries=DeliveryLog(connection),
            workers=WorkerRoll(connection),
            storage=open_storage(settings, answers_within=STORAGE_TIMEOUT),
            doorbell=Notifier(Doorbell(make_celery(settings))),
            guard=Guard(settings.allow_networks),
            keyring=Keyring(settings.api_keys),
            secrets=SecretBook(settings.webhook_secrets),
            waiting=WaitingRoom(connection, jobs, places=settings.api_waiting),
        )

    def close(self) -> None:
        """Send the remaining doorbells; call it once no request is running any more."""
        if isinstance(self.doorbell, Notifier):
            self.doorbell.close()


def install(app_extensions: dict[str, object], services: Services) -> None:
    """Store the services in their app's extensions."""
    app_extensions[_EXTENSION] = services


def services() -> Services:
    """The current app's services."""
    return cast(Services, current_app.extensions[_EXTENSION])
