"""A web page of another site against a service without keys: DNS rebinding and cross-site calls."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import ConfigError
from shared.queue.jobs import JobQueue
from shared.settings import ApiSettings
from tests.api.conftest import SHOP, Client, MakeClient, accepted, assert_problem, submit

HERE = "127.0.0.1:8000"
FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "127.0.0.1.nip.io:8000",
    "localhost.evil.example",
    "xlocalhost",
    "localhost.",
    "0.0.0.0:8000",
    "192.168.1.7:8000",
    "169.254.169.254",
    "[fe80::1]:8000",
    "[::ffff:192.168.1.7]",
    "2130706433",
]
OWN_HOSTS = ["127.0.0.1:8000", "127.0.0.1", "LOCALHOST:8000", "[::1]:8000", "127.8.8.8"]
MALFORMED_HOSTS = [
    "",
    "a b",
    'x"y',
    "evil.example/path?",
    "[::1",
    "a@127.0.0.1",
    "127.0.0.1:8000@evil.example",
    "127.0.0.1, evil.example",
    "127.0.0.1:port",
    "%0d%0aX: y",
    "exämple",
    "a" * 5000,
]
#: What browsers say of a request that another site's page makes.
FOREIGN_PAGES: list[dict[str, str]] = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1:8001"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://localhost:8000"},
    {"Origin": "http://127.0.0.1:8000.evil.example"},
    {"Origin": "http://127.0.0.1:8000@evil.example"},
    {"Origin": "http://127.0.0.1:8000 http://evil.example"},
    {"Origin": "file://"},
    {"Origin": "chrome-extension://abcdef"},
    {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "CROSS-SITE", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Sec-Fetch-Site": "same-site"},
    {"Referer": "http://evil.example/page"},
    {"Referer": "http://evil.example/http://127.0.0.1:8000/"},
]
OWN_PAGES: list[dict[str, str]] = [
    {},
    {"Origin": f"http://{HERE}", "Sec-Fetch-Site": "same-origin"},
    {"Origin": f"http://{HERE}"},
    {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Referer": f"http://{HERE}/docs"},
]


def at(host: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    return {"headers": {"Host": host} | (headers or {})}


class TestHosts:
    @pytest.mark.parametrize("host", FOREIGN_HOSTS)
    def test_a_service_without_keys_answers_for_its_own_hosts_only(
        self, client: Client, jobs: JobQueue, sample: bytes, host: str
    ) -> None:
        assert_problem(submit(client, sample, **at(host)), 421, "host_not_allowed")
        for path in ("/v1/jobs", "/docs", "/openapi.json", "/metrics", "/nope", "/"):
            assert_problem(client.get(path, **at(host)), 421, "host_not_allowed")
        assert jobs.page("default", limit=1).jobs == ()

    @pytest.mark.parametrize("host", OWN_HOSTS)
    def test_it_answers_for_loopback(self, client: Client, sample: bytes, host: str) -> None:
        accepted(submit(client, sample, **at(host)))
        assert client.get("/v1/jobs", **at(host)).status_code == 200

    @pytest.mark.parametrize("host", MALFORMED_HOSTS)
    def test_a_malformed_host_is_refused_with_keys_and_without(
        self, client: Client, keyed: Client, host: str
    ) -> None:
        for asked in (client, keyed):
            response = asked.get("/v1/jobs", **at(host, SHOP))
            assert_problem(response, 400, "malformed_request")

    @pytest.mark.parametrize("host", [*FOREIGN_HOSTS, *OWN_HOSTS, "10.1.2.3:8000"])
    def test_probes_are_answered_at_any_host(self, client: Client, host: str) -> None:
        assert client.get("/health/live", **at(host)).status_code == 200

    def test_with_keys_any_host_is_answered_for(self, keyed: Client) -> None:
        assert keyed.get("/v1/jobs", **at("cutouts.example.com", SHOP)).status_code == 200

    @pytest.mark.parametrize("api_keys", ["", "shop:shop-key-0123456789"])
    def test_a_list_holds_with_keys_and_without(
        self, make_client: MakeClient, api_keys: str
    ) -> None:
        listed = "nukki-api,*.Cutouts.example.com,10.1.0.0/16,fd00::1"
        client = make_client(
            allowed_hosts=listed, api_keys=api_keys, public_url="https://public.example/nukki"
        )
        own = ["nukki-api:8000", "eu.cutouts.example.com", "10.1.2.3", "[fd00::1]:80"]
        for host in [*own, *OWN_HOSTS, "public.example"]:
            assert client.get("/v1/jobs", **at(host, SHOP)).status_code == 200, host
        for host in ["cutouts.example.com", "10.2.0.1", "[fd00::2]", "x-nukki-api", "evil.example"]:
            assert_problem(client.get("/v1/jobs", **at(host, SHOP)), 421, "host_not_allowed")

    @pytest.mark.parametrize("listed", ["a:80", "http://a", "a/b", "*", "a.*", "a b", "[::1]"])
    def test_an_entry_that_can_match_no_host_is_refused_at_start(self, listed: str) -> None:
        if listed == "*":
            assert ApiSettings.load(allowed_hosts=listed).allowed_hosts == ("*",)
            return
        with pytest.raises(ConfigError, match=r"NUKKI_ALLOWED_HOSTS: .*entry 1 "):
            ApiSettings.load(allowed_hosts=listed)


class TestPages:
    @pytest.mark.parametrize("says", FOREIGN_PAGES)
    def test_another_sites_page_can_change_nothing(
        self, client: Client, jobs: JobQueue, sample: bytes, says: dict[str, str]
    ) -> None:
        asked = at(HERE, says)
        assert_problem(submit(client, sample, **asked), 403, "cross_site")
        text = {"data": b'{"url": "https://photos.example/a.png"}', "content_type": "text/plain"}
        form = {"data": {"points": "[[1, 2]]"}}
        calls: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/v1/jobs", text),
            ("POST", "/v1/jobs/job_" + 24 * "0" + "/cancel", text),
            ("POST", "/v1/uploads", text),
            ("POST", "/background-removal/remove", form),
            ("POST", "/v1/webhooks/deliveries/whd_" + 24 * "0" + "/replay", {}),
            ("PUT", "/v1/uploads/content/token", {"data": b"x"}),
            ("DELETE", "/v1/jobs/job_" + 24 * "0", {}),
            ("OPTIONS", "/v1/jobs", {}),  # a preflight: nothing tells the browser to go on
        ]
        for method, path, body in calls:
            response = client.open(path, method=method, **body, **asked)
            assert_problem(response, 403, "cross_site")
        assert jobs.page("default", limit=1).jobs == ()

    @pytest.mark.parametrize("says", OWN_PAGES)
    def test_our_own_pages_and_programs_can(
        self, client: Client, sample: bytes, says: dict[str, str]
    ) -> None:
        accepted(submit(client, sample, **at(HERE, says)))

    @pytest.mark.parametrize(
        "says",
        [
            {"Origin": "http://evil.example"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "iframe",
            },
        ],
    )
    def test_another_sites_page_can_embed_nothing(
        self, client: Client, says: dict[str, str]
    ) -> None:
        assert_problem(client.get("/v1/jobs", **at(HERE, says)), 403, "cross_site")

    def test_another_sites_page_can_link_here(self, client: Client) -> None:
        says = {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
            "Referer": "http://evil.example/",
        }
        assert client.get("/v1/jobs", **at(HERE, says)).status_code == 200

    def test_the_page_behind_a_proxy_is_ours_by_its_public_url(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        client = make_client(public_url="https://cutouts.example.com")
        page = {"Origin": "https://cutouts.example.com", "Sec-Fetch-Site": "same-origin"}
        accepted(submit(client, sample, **at(HERE, page)))  # the proxy changed the host
        accepted(submit(client, sample, **at("cutouts.example.com", page)))
        plain = {"Origin": "http://cutouts.example.com"}
        assert_problem(submit(client, sample, **at(HERE, plain)), 403, "cross_site")

    def test_with_keys_the_key_decides(self, keyed: Client, sample: bytes) -> None:
        says = {"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"}
        assert_problem(submit(keyed, sample, **at(HERE, says)), 401, "unauthorized")
        accepted(submit(keyed, sample, **at(HERE, says | SHOP)))
