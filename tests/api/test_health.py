"""Health checks and the list of served models."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from shared.queue.connection import Connection
from shared.queue.workers import WorkerInfo, WorkerRoll
from shared.testing import MemoryStorage, RedisProcess
from tests.api.conftest import Client, MakeClient, assert_problem


class TestLive:
    def test_a_process_that_answers_is_alive(self, client: Client) -> None:
        response = client.get("/health/live")
        assert response.status_code == 200
        assert response.json["status"] == "ok"

    def test_live_answers_200_while_everything_else_is_down(
        self, make_client: MakeClient, own_redis: RedisProcess, storage: MemoryStorage
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        own_redis.kill()
        storage.down = True
        assert client.get("/health/live").status_code == 200


class TestReady:
    def test_the_service_is_ready_with_a_worker(
        self, client: Client, sign_in: Callable[[str], None]
    ) -> None:
        sign_in("grabcut")
        response = client.get("/health/ready")
        assert response.status_code == 200
        assert response.json == {
            "status": "ok",
            "checks": {"redis": "ok", "storage": "ok", "worker": "ok"},
        }

    def test_the_service_is_not_ready_without_a_worker(self, client: Client) -> None:
        response = client.get("/health/ready")
        assert response.status_code == 503
        assert response.json["status"] == "not ready"
        assert response.json["checks"] == {
            "redis": "ok",
            "storage": "ok",
            "worker": "none is ready",
        }

    def test_the_service_is_not_ready_after_the_last_worker_signs_out(
        self, client: Client, sign_in: Callable[[str], None], connection: Connection
    ) -> None:
        sign_in("grabcut")
        WorkerRoll(connection).sign_out("host/grabcut")
        assert client.get("/health/ready").status_code == 503

    def test_the_service_is_not_ready_while_redis_is_down(
        self, make_client: MakeClient, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        own_redis.kill()
        response = client.get("/health/ready")
        assert response.status_code == 503
        assert response.json["checks"] == {
            "redis": "The job queue is not answering.",
            "storage": "ok",
            "worker": "unknown",
        }

    def test_a_hanging_redis_is_reported_within_two_seconds(self, make_client: MakeClient) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = make_client(redis_url=f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
            begun = time.monotonic()
            response = client.get("/health/ready")
            assert time.monotonic() - begun < 2
        assert response.status_code == 503
        assert response.json["checks"]["worker"] == "unknown"

    def test_the_service_is_not_ready_while_storage_is_down(
        self, client: Client, storage: MemoryStorage, sign_in: Callable[[str], None]
    ) -> None:
        sign_in("grabcut")
        storage.down = True
        response = client.get("/health/ready")
        assert response.status_code == 503
        assert response.json["checks"] == {
            "redis": "ok",
            "storage": "The image storage is not answering.",
            "worker": "ok",
        }

    def test_it_needs_no_key(self, keyed: Client, sign_in: Callable[[str], None]) -> None:
        sign_in("grabcut")
        assert keyed.get("/health/ready").status_code == 200


class TestModels:
    def test_no_models_are_listed_without_a_worker(self, client: Client) -> None:
        response = client.get("/v1/models")
        assert response.status_code == 200
        assert response.json == {"models": []}

    def test_each_model_is_listed_with_its_workers_and_devices(
        self, client: Client, connection: Connection
    ) -> None:
        roll = WorkerRoll(connection)
        for name, model, device in (
            ("a/1", "sam2.1_hiera_tiny", "cuda:1"),
            ("a/0", "sam2.1_hiera_tiny", "cuda:0"),
            ("a/2", "sam2.1_hiera_tiny", "cuda:0"),
            ("b/0", "grabcut", "cpu"),
        ):
            roll.sign_in(WorkerInfo(name=name, model=model, device=device, threads=1))
        assert client.get("/v1/models").json["models"] == [
            {"name": "grabcut", "workers": 1, "devices": ["cpu"]},
            {"name": "sam2.1_hiera_tiny", "workers": 3, "devices": ["cuda:0", "cuda:1"]},
        ]

    def test_a_redis_outage_is_reported(
        self, make_client: MakeClient, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        own_redis.kill()
        assert_problem(client.get("/v1/models"), 503, "queue_unavailable")
