"""`/v1/webhooks/deliveries`: the delivery log and replays."""

from __future__ import annotations

from typing import Any

import pytest

from shared.queue.connection import Connection
from shared.queue.deliveries import Delivery, DeliveryQueue, DeliveryState, NextStep
from tests.api.conftest import OTHER, SHOP, Client, Finish, accepted, assert_problem, submit

LOG = "/v1/webhooks/deliveries"
URL = "https://shop.example/hook?token=ours"
UNKNOWN = "msg_" + "0" * 24


class Courier:
    """The courier's side of the queue, driven by the test."""

    def __init__(self, connection: Connection) -> None:
        self._queue = DeliveryQueue(connection, retention_ms=60_000)

    def take(self) -> list[Delivery]:
        return self._queue.take(limit=100, per_receiver=100, lease_ms=60_000)

    def end(self, state: str, *, status: int = 500, error: str = "", delay_ms: int = 0) -> Delivery:
        """Take the only due delivery and end its attempt in this state."""
        (delivery,) = self.take()
        step = NextStep(DeliveryState(state), delay_ms)
        assert self._queue.settle(delivery, step, took_ms=12, status=status, error=error)
        return delivery


@pytest.fixture
def courier(connection: Connection) -> Courier:
    return Courier(connection)


@pytest.fixture
def webhook_job(keyed: Client, sample: bytes, finish: Finish) -> Any:
    """Finish a job that has a webhook; the job's id."""

    def do(**webhook: Any) -> str:
        job = {"webhook": {"url": URL, **webhook}}
        job_id = accepted(submit(keyed, sample, job=job, headers=SHOP))
        finish(job_id)
        return job_id

    return do


def listed(client: Client, query: str = "", headers: dict[str, str] = SHOP) -> list[Any]:
    response = client.get(f"{LOG}{query}", headers=headers)
    assert response.status_code == 200, response.text
    return list(response.json["deliveries"])


class TestLog:
    def test_a_waiting_delivery_is_shown(self, keyed: Client, webhook_job: Any) -> None:
        job_id = webhook_job()
        (delivery,) = listed(keyed)
        assert delivery == {
            "id": "msg_" + job_id[4:],
            "event": "job.succeeded",
            "job": job_id,
            "url": URL,
            "state": "pending",
            "created_at": delivery["created_at"],
            "next_attempt_at": delivery["created_at"],
            "attempts": [],
        }

    def test_each_attempt_is_shown(self, keyed: Client, webhook_job: Any, courier: Courier) -> None:
        webhook_job()
        courier.end("pending", status=0, error="no whole answer: ReadTimeout")
        courier.end("delivered", status=204)
        (delivery,) = listed(keyed)
        assert (delivery["state"], delivery["next_attempt_at"]) == ("delivered", None)
        first, second = delivery["attempts"]
        assert (first["status"], first["error"]) == (None, "no whole answer: ReadTimeout")
        assert (second["status"], second["error"], second["duration_ms"]) == (204, None, 12)
        assert first["at"] <= second["at"]

    def test_a_delivery_in_progress_has_no_next_attempt(
        self, keyed: Client, webhook_job: Any, courier: Courier
    ) -> None:
        webhook_job()
        courier.take()
        (delivery,) = listed(keyed)
        assert (delivery["state"], delivery["next_attempt_at"]) == ("pending", None)

    def test_a_delivery_to_be_retried_shows_when(
        self, keyed: Client, webhook_job: Any, courier: Courier
    ) -> None:
        webhook_job()
        courier.end("pending", delay_ms=3_600_000)
        (delivery,) = listed(keyed)
        assert delivery["next_attempt_at"] > delivery["attempts"][0]["at"]

    def test_pages_list_the_newest_delivery_first(self, keyed: Client, webhook_job: Any) -> None:
        jobs = [webhook_job() for _ in range(3)]
        first = keyed.get(f"{LOG}?limit=2", headers=SHOP).json
        second = keyed.get(f"{LOG}?limit=2&cursor={first['next']}", headers=SHOP).json
        seen = [item["job"] for item in first["deliveries"] + second["deliveries"]]
        assert seen == jobs[::-1]
        assert second["next"] is None

    def test_deliveries_can_be_filtered_by_job(self, keyed: Client, webhook_job: Any) -> None:
        wanted, _ = webhook_job(), webhook_job()
        assert [item["job"] for item in listed(keyed, f"?job={wanted}")] == [wanted]
        assert listed(keyed, "?job=job_" + "0" * 24) == []

    def test_deliveries_can_be_filtered_by_state(
        self, keyed: Client, webhook_job: Any, courier: Courier
    ) -> None:
        dead = webhook_job()
        courier.end("dead")
        webhook_job()
        assert [item["job"] for item in listed(keyed, "?state=dead")] == [dead]
        assert [item["job"] for item in listed(keyed, f"?state=dead&job={dead}")] == [dead]
        assert listed(keyed, f"?state=delivered&job={dead}") == []

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("?state=lost", "state"),
            ("?job=1", "job"),
            ("?limit=0", "limit"),
            ("?limit=201", "limit"),
            ("?cursor=x", "cursor"),
            ("?stat=dead", "stat"),
        ],
    )
    def test_an_invalid_query_parameter_is_named(
        self, keyed: Client, query: str, field: str
    ) -> None:
        response = keyed.get(LOG + query, headers=SHOP)
        assert_problem(response, 422, "invalid_request", field)

    def test_a_cursor_of_a_deleted_delivery_is_not_found(self, keyed: Client) -> None:
        assert_problem(keyed.get(f"{LOG}?cursor={UNKNOWN}", headers=SHOP), 404, "not_found")

    def test_a_single_delivery_can_be_read(self, keyed: Client, webhook_job: Any) -> None:
        webhook_job()
        (delivery,) = listed(keyed)
        response = keyed.get(f"{LOG}/{delivery['id']}", headers=SHOP)
        assert (response.status_code, response.json) == (200, delivery)

    def test_the_deliveries_of_an_erased_job_are_deleted(
        self, keyed: Client, webhook_job: Any, courier: Courier
    ) -> None:
        job_id = webhook_job()
        courier.end("dead")
        keyed.delete(f"/v1/jobs/{job_id}", headers=SHOP)
        assert listed(keyed) == []
        response = keyed.get(f"{LOG}/msg_{job_id[4:]}", headers=SHOP)
        assert_problem(response, 404, "not_found")


class TestReplay:
    @pytest.mark.parametrize("state", ["delivered", "dead", "suspended"])
    def test_a_replay_keeps_its_message_id(
        self, keyed: Client, webhook_job: Any, courier: Courier, state: str
    ) -> None:
        webhook_job()
        sent = courier.end(state)
        response = keyed.post(f"{LOG}/{sent.id}/replay", headers=SHOP)
        assert response.status_code == 202
        assert (response.json["id"], response.json["state"]) == (sent.id, "pending")
        assert len(response.json["attempts"]) == 1
        again = courier.end("delivered", status=200)
        assert (again.id, again.attempt) == (sent.id, 1)
        assert [item["status"] for item in listed(keyed)[0]["attempts"]] == [500, 200]

    def test_a_suspended_url_gets_nothing_until_a_replay(
        self, keyed: Client, webhook_job: Any, courier: Courier
    ) -> None:
        webhook_job()
        gone = courier.end("suspended", status=410)
        webhook_job()
        assert courier.take() == []
        assert len(listed(keyed, "?state=suspended")) == 2
        keyed.post(f"{LOG}/{gone.id}/replay", headers=SHOP)
        courier.end("delivered")
        assert len(listed(keyed, "?state=suspended")) == 1
        webhook_job()
        courier.end("delivered")

    def test_repeated_replays_send_once(
        self, keyed: Client, webhook_job: Any, courier: Courier
    ) -> None:
        webhook_job()
        sent = courier.end("dead")
        for _ in range(5):
            assert keyed.post(f"{LOG}/{sent.id}/replay", headers=SHOP).status_code == 202
        assert len(courier.take()) == 1


@pytest.mark.parametrize("path", [UNKNOWN, f"{UNKNOWN}_review", "1", "msg_x", "job_" + "0" * 24])
def test_an_unknown_delivery_is_not_found(keyed: Client, path: str) -> None:
    assert_problem(keyed.get(f"{LOG}/{path}", headers=SHOP), 404, "not_found")
    assert_problem(keyed.post(f"{LOG}/{path}/replay", headers=SHOP), 404, "not_found")


def test_another_tenants_deliveries_are_not_found(
    keyed: Client, webhook_job: Any, courier: Courier
) -> None:
    job_id = webhook_job()
    sent = courier.end("dead")
    assert listed(keyed, headers=OTHER) == []
    assert listed(keyed, f"?job={job_id}", headers=OTHER) == []
    assert_problem(keyed.get(f"{LOG}/{sent.id}", headers=OTHER), 404, "not_found")
    assert_problem(keyed.post(f"{LOG}/{sent.id}/replay", headers=OTHER), 404, "not_found")
    response = keyed.get(f"{LOG}?cursor={sent.id}", headers=OTHER)
    assert_problem(response, 404, "not_found")
    assert courier.take() == []


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", f"/{UNKNOWN}"), ("POST", f"/{UNKNOWN}/replay")]
)
def test_a_key_is_required(keyed: Client, method: str, path: str) -> None:
    assert_problem(keyed.open(LOG + path, method=method), 401, "unauthorized")


def test_a_redis_outage_answers_503(make_client: Any) -> None:
    client = make_client(redis_url="redis://127.0.0.1:1/0")
    assert_problem(client.get(LOG), 503, "queue_unavailable")
    assert_problem(client.post(f"{LOG}/{UNKNOWN}/replay"), 503, "queue_unavailable")


def test_a_job_that_needs_no_review_sends_no_review_event(
    keyed: Client, webhook_job: Any, courier: Courier
) -> None:
    webhook_job(events=["job.needs_review"])
    assert listed(keyed) == []
