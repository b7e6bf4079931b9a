"""A client of the real app, with sleeps skipped."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.services import Services
from api.waiting import WaitingRoom
from nukki import Client
from shared.queue.connection import Connection
from shared.settings import ApiSettings
from shared.testing import MemoryStorage, RedisProcess
from tests.unit.client.place import Bell, Line, MakePlace, Place


@pytest.fixture
def make_place(
    shared_redis: RedisProcess, connection: Connection, tmp_path: Path
) -> Iterator[MakePlace]:
    made: list[Client] = []
    rooms: list[WaitingRoom] = []

    def make(*, api_key: str | None = None, **overrides: Any) -> Place:
        storage, line = MemoryStorage(), Line()
        bell = Bell(connection, storage)
        settings = ApiSettings.load(
            redis_url=shared_redis.url,
            storage_dir=tmp_path / "storage",
            allowed_hosts="nukki.test",
            **overrides,
        )
        services = dataclasses.replace(Services.connect(settings), storage=storage, doorbell=bell)
        rooms.append(services.waiting)
        app = create_app(settings, services)
        line.apps["nukki.test"] = httpx.WSGITransport(app)
        made.append(Client("http://nukki.test", api_key, transport=line))
        return Place(line, bell, storage, made[-1], connection)

    yield make
    for each in made:
        each.close()
    for room in rooms:
        room.close()


@pytest.fixture
def place(make_place: MakePlace) -> Place:
    return make_place()


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each sleep of the client, which is skipped."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept
