"""The part of the map of Redis that workers and Celery use; `shared/queue/keys.py` is the whole."""

from __future__ import annotations

from shared.queue.family import Family, Kind

WORKERS = Family(
    "workers",
    "",
    Kind.SET,
    "Names of the workers that have signed in.",
    "WorkerRoll.sign_in",
    "WorkerRoll.sign_out; WorkerRoll.present drops those that have gone",
)
WORKER = Family(
    "worker",
    "NAME",
    Kind.STRING,
    "A ready worker as JSON: name, model, device, threads.",
    "WorkerRoll.sign_in",
    "WorkerRoll.sign_out; expires after 15 seconds",
)
DOORBELLS = Family(
    "nukki",
    "LANE",
    Kind.LIST,
    "Celery messages of a lane, each naming a job that may be ready.",
    "Doorbell.ring, through Celery",
    "a worker takes them; an empty list is no key",
    prefix="",
    separator=".",
)
BINDINGS = Family(
    "_kombu.binding",
    "NAME",
    Kind.SET,
    "The queues of an exchange, by kombu, Celery's transport.",
    "Celery, as a process connects",
    "never; one for each lane",
    prefix="",
    separator=".",
)
PERMANENT_BINDINGS = Family(
    "_kombu.binding_permanent",
    "NAME",
    Kind.SET,
    "Those of an exchange's queues that never expire, by kombu from 5.7 on.",
    "Celery, as a process connects",
    "never; one for each lane",
    prefix="",
    separator=".",
)
