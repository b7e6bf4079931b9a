from __future__ import annotations

import socket
import time

import pytest

from nukki.redis_server import free_port
from shared.job import Lane
from shared.queue.connection import Connection
from shared.queue.doorbell import QUEUES, Doorbell, LaneCycle, make_celery
from shared.settings import RedisSettings
from shared.testing import RedisProcess


def _cycle() -> LaneCycle:
    cycle = LaneCycle()
    cycle.update(list(QUEUES.values()))
    return cycle


def test_reclaimed_jobs_always_come_first() -> None:
    cycle = _cycle()
    for lane in Lane:
        cycle.rotate(QUEUES[lane])
        assert cycle.consume(4)[0] == QUEUES[Lane.RECLAIMED]


def test_the_other_lanes_take_turns() -> None:
    cycle = _cycle()
    served = []
    for _ in range(6):
        queue = cycle.consume(4)[1]
        served.append(queue)
        cycle.rotate(queue)
    assert served == 2 * [QUEUES[Lane.INTERACTIVE], QUEUES[Lane.BULK], QUEUES[Lane.RENDER]]


def test_a_ring_adds_one_message_to_its_lanes_queue(
    shared_redis: RedisProcess, connection: Connection
) -> None:
    bell = Doorbell(make_celery(RedisSettings.load(redis_url=shared_redis.url)))
    assert bell.ring("job_1", Lane.BULK)
    assert connection.redis.llen(QUEUES[Lane.BULK]) == 1
    assert connection.redis.llen(QUEUES[Lane.INTERACTIVE]) == 0


def test_a_message_names_the_job_and_carries_no_bytes(
    shared_redis: RedisProcess, connection: Connection
) -> None:
    bell = Doorbell(make_celery(RedisSettings.load(redis_url=shared_redis.url)))
    bell.ring("job_" + "0" * 24, Lane.BULK)
    message = connection.redis.lindex(QUEUES[Lane.BULK], 0)
    assert "job_" in message
    assert len(message) < 1_200


@pytest.mark.parametrize("black_hole", [False, True])
def test_ringing_a_broker_that_is_down_fails_without_error_in_seconds(black_hole: bool) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if black_hole:
            listener.listen()  # accepts connections and never answers
        port = listener.getsockname()[1] if black_hole else free_port()
        bell = Doorbell(make_celery(RedisSettings.load(redis_url=f"redis://127.0.0.1:{port}/0")))
        began = time.monotonic()
        assert not bell.ring("job_1", Lane.INTERACTIVE)
        assert time.monotonic() - began < 15  # measured: 0.6 s and 5 s
