"""`/metrics`: requests answered by this process, and the queue."""

from __future__ import annotations

import socket
import time

import pytest

from shared.testing import MemoryStorage, RedisProcess
from tests.api.conftest import SHOP, Client, Finish, MakeClient, accepted, submit
from tests.metrics import Scrape


def scrape(client: Client) -> Scrape:
    response = client.get("/metrics")
    assert response.status_code == 200
    return Scrape(response.text)


def requests(before: Scrape, after: Scrape, method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return after.since(before, "nukki_http_requests_total", **labels)


class TestScrape:
    def test_it_needs_no_key(self, keyed: Client) -> None:
        assert scrape(keyed).value("nukki_up", part="redis") == 1

    def test_it_is_text_unless_openmetrics_is_requested(self, client: Client) -> None:
        plain = client.get("/metrics")
        assert plain.content_type.startswith("text/plain; version=")
        assert "# EOF" not in plain.text
        asked = client.get(
            "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
        assert asked.content_type.startswith("application/openmetrics-text; version=1.0.0")
        assert asked.text.endswith("# EOF\n")
        assert asked.text.count("# EOF") == 1

    def test_every_name_has_our_prefix_or_the_clients_own(self, client: Client) -> None:
        families = [
            line.split()[2]
            for line in client.get("/metrics").text.splitlines()
            if line.startswith("# TYPE")
        ]
        assert len(families) == len(set(families))
        assert {name.partition("_")[0] for name in families} <= {"nukki", "python", "process"}


class TestQueue:
    def test_it_shows_the_jobs_waiting_per_lane(self, client: Client, sample: bytes) -> None:
        accepted(submit(client, sample))
        for _ in range(2):
            accepted(submit(client, sample, job={"priority": "bulk"}))
        shown = scrape(client)
        assert shown.value("nukki_queue_depth", lane="interactive") == 1
        assert shown.value("nukki_queue_depth", lane="bulk") == 2
        assert shown.value("nukki_queue_depth", lane="reclaimed") == 0
        assert shown.value("nukki_jobs_unfinished") == 3

    def test_two_apps_in_one_process_each_show_their_own_queue(
        self, make_client: MakeClient, own_redis: RedisProcess, sample: bytes
    ) -> None:
        here, elsewhere = make_client(), make_client(redis_url=own_redis.url)
        accepted(submit(here, sample))
        assert scrape(here).value("nukki_queue_depth", lane="interactive") == 1
        assert scrape(elsewhere).value("nukki_queue_depth", lane="interactive") == 0

    def test_other_metrics_are_shown_while_redis_is_down(
        self, make_client: MakeClient, own_redis: RedisProcess, storage: MemoryStorage
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        before = scrape(client)
        own_redis.kill()
        storage.down = True
        assert client.get("/v1/models").status_code == 503
        shown = scrape(client)
        assert shown.value("nukki_up", part="redis") == 0
        assert not list(shown.labels("nukki_queue_depth"))
        assert requests(before, shown, "GET", "/v1/models", 503) == 1

    def test_it_answers_within_two_seconds_while_redis_hangs(self, make_client: MakeClient) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = make_client(redis_url=f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
            begun = time.monotonic()
            assert scrape(client).value("nukki_up", part="redis") == 0
            assert time.monotonic() - begun < 2


class TestRequests:
    def test_a_request_is_counted_by_its_route(self, client: Client, sample: bytes) -> None:
        jobs = [accepted(submit(client, sample)) for _ in range(2)]
        before = scrape(client)
        for job_id in jobs:
            assert client.get(f"/v1/jobs/{job_id}").status_code == 200
        assert client.get("/v1/jobs/job_" + "0" * 24).status_code == 404
        after = scrape(client)
        assert requests(before, after, "GET", "/v1/jobs/<job_id>", 200) == 2
        assert requests(before, after, "GET", "/v1/jobs/<job_id>", 404) == 1
        labels = {"method": "GET", "route": "/v1/jobs/<job_id>"}
        assert after.since(before, "nukki_http_request_seconds_count", **labels) == 3
        assert not any(jobs[0] in str(item) for item in after.labels("nukki_http_requests_total"))

    def test_an_unknown_path_creates_no_label(self, client: Client) -> None:
        before = scrape(client)
        for path in ("/no/such/page", "/nor/this"):
            assert client.get(path).status_code == 404
        assert client.delete("/v1/models").status_code == 405
        after = scrape(client)
        assert requests(before, after, "GET", "unmatched", 404) == 2
        assert requests(before, after, "DELETE", "unmatched", 405) == 1

    def test_an_unknown_method_creates_no_label(self, client: Client) -> None:
        before = scrape(client)
        assert client.open("/v1/jobs", method="BREW").status_code == 405
        after = scrape(client)
        assert requests(before, after, "other", "unmatched", 405) == 1
        assert not any("BREW" in str(item) for item in after.labels("nukki_http_requests_total"))

    def test_an_unauthorized_request_is_counted(self, keyed: Client) -> None:
        before = scrape(keyed)
        assert keyed.get("/v1/jobs").status_code == 401
        assert keyed.get("/v1/jobs", headers=SHOP).status_code == 200
        after = scrape(keyed)
        assert requests(before, after, "GET", "/v1/jobs", 401) == 1
        assert requests(before, after, "GET", "/v1/jobs", 200) == 1

    def test_an_internal_error_is_counted(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = scrape(client)

        def broken(*_: object) -> None:
            raise RuntimeError

        monkeypatch.setattr("api.health.Health", broken)
        assert client.get("/health/live").status_code == 500
        assert requests(before, scrape(client), "GET", "/health/live", 500) == 1


class TestCanceled:
    def test_a_canceled_job_is_counted_once(self, client: Client, sample: bytes) -> None:
        job_id = accepted(submit(client, sample, job={"priority": "bulk"}))
        before = scrape(client)
        for _ in range(2):
            assert client.post(f"/v1/jobs/{job_id}/cancel").json["status"] == "canceled"
        labels = {"state": "canceled", "model": "any", "lane": "bulk"}
        assert scrape(client).since(before, "nukki_jobs_total", **labels) == 1

    def test_canceling_a_finished_job_is_not_counted(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        before = scrape(client)
        assert client.post(f"/v1/jobs/{job_id}/cancel").json["status"] == "succeeded"
        after = scrape(client)
        for labels in after.labels("nukki_jobs_total"):
            assert after.since(before, "nukki_jobs_total", **labels) == 0
