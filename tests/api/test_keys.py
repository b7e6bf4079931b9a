"""API keys and tenants: which callers may use which resources."""

from __future__ import annotations

import io

import pytest

from api.keyring import Keyring
from shared.errors import ConfigError
from shared.queue.jobs import JobQueue
from shared.settings import ApiSettings
from shared.testing import MemoryStorage
from tests.api.asking import NOBODY, post_body
from tests.api.conftest import (
    KEYS,
    OTHER,
    SHOP,
    Client,
    Finish,
    MakeClient,
    accepted,
    assert_problem,
    submit,
)

#: Every call that requires a key.
CALLS = [
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs"),
    ("GET", f"/v1/jobs/{NOBODY}"),
    ("GET", f"/v1/jobs/{NOBODY}/result"),
    ("GET", f"/v1/jobs/{NOBODY}/mask"),
    ("POST", f"/v1/jobs/{NOBODY}/cancel"),
    ("DELETE", f"/v1/jobs/{NOBODY}"),
    ("POST", "/v1/uploads"),
    ("GET", "/v1/models"),
    ("POST", "/background-removal/remove"),
]


JOB_CALLS = [call for call in CALLS if NOBODY in call[1]]


class Unreadable(io.BytesIO):
    """A body that must not be read."""

    def read(self, _size: int | None = -1, /) -> bytes:
        raise AssertionError("the body was read")

    def readline(self, _size: int | None = -1, /) -> bytes:
        raise AssertionError("the body was read")


@pytest.mark.usefixtures("nothing_left")
class TestKeys:
    @pytest.mark.parametrize(("method", "path"), CALLS)
    def test_no_key_is_unauthorized(self, keyed: Client, method: str, path: str) -> None:
        response = keyed.open(path, method=method)
        assert_problem(response, 401, "unauthorized")
        assert response.headers["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize(("method", "path"), CALLS)
    def test_a_wrong_key_is_unauthorized(self, keyed: Client, method: str, path: str) -> None:
        response = keyed.open(path, method=method, headers={"X-Api-Key": "shop-key-012345678"})
        assert_problem(response, 401, "unauthorized")
        assert b"shop-key" not in response.data

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-Api-Key": ""},
            {"X-Api-Key": "é" * 20},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer "},
            {"Authorization": "Basic c2hvcDpzaG9wLWtleS0wMTIzNDU2Nzg5"},
            {"Authorization": "shop-key-0123456789"},
            {"Authorization": "Basic shop-key-0123456789"},
            {"Cookie": "X-Api-Key=shop-key-0123456789"},
        ],
        ids=str,
    )
    def test_a_malformed_key_is_unauthorized(self, keyed: Client, headers: dict[str, str]) -> None:
        assert_problem(keyed.get("/v1/jobs", headers=headers), 401, "unauthorized")

    def test_a_key_in_the_url_is_unauthorized(self, keyed: Client) -> None:
        response = keyed.get("/v1/jobs?X-Api-Key=shop-key-0123456789")
        assert_problem(response, 401, "unauthorized")

    @pytest.mark.parametrize(
        "headers",
        [
            SHOP,
            {"Authorization": "Bearer shop-key-0123456789"},
            {"Authorization": "bearer  shop-key-0123456789"},
        ],
        ids=str,
    )
    def test_either_header_is_accepted(self, keyed: Client, headers: dict[str, str]) -> None:
        assert keyed.get("/v1/jobs", headers=headers).status_code == 200

    def test_without_a_key_the_body_is_not_read(self, keyed: Client) -> None:
        body = Unreadable(b"--x--" * 200)
        kind = "multipart/form-data; boundary=x"
        response = keyed.post("/v1/jobs", input_stream=body, content_length=1000, content_type=kind)
        assert_problem(response, 401, "unauthorized")

    def test_a_tenant_may_have_two_keys(self, make_client: MakeClient) -> None:
        client = make_client(api_keys=KEYS + ",shop:the-next-key-0123456789")
        for key in ("shop-key-0123456789", "the-next-key-0123456789"):
            assert client.get("/v1/jobs", headers={"X-Api-Key": key}).status_code == 200

    @pytest.mark.parametrize("path", ["/health/live", "/openapi.json", "/docs", "/redoc"])
    def test_public_pages_need_no_key(self, keyed: Client, path: str) -> None:
        assert keyed.get(path).status_code == 200


class TestTenants:
    @pytest.mark.parametrize("call", JOB_CALLS, ids=" ".join)
    def test_another_tenants_job_is_not_found(
        self, keyed: Client, sample: bytes, call: tuple[str, str], jobs: JobQueue
    ) -> None:
        method, path = call
        job_id = accepted(submit(keyed, sample, headers=SHOP))
        response = keyed.open(path.replace(NOBODY, job_id), method=method, headers=OTHER)
        assert_problem(response, 404, "not_found")
        assert jobs.get(job_id).status == "queued"

    def test_another_tenants_job_is_indistinguishable_from_a_missing_one(
        self, keyed: Client, sample: bytes
    ) -> None:
        job_id = accepted(submit(keyed, sample, headers=SHOP))
        theirs = keyed.get(f"/v1/jobs/{job_id}", headers=OTHER)
        nobodys = keyed.get(f"/v1/jobs/{NOBODY}", headers=OTHER)
        assert theirs.json["detail"].replace(job_id, NOBODY) == nobodys.json["detail"]

    def test_another_tenants_upload_is_not_found(self, keyed: Client, sample: bytes) -> None:
        made = keyed.post("/v1/uploads", json={"bytes": len(sample)}, headers=SHOP).json
        keyed.put(made["url"], data=sample)
        response = post_body(keyed, {"upload": made["id"]}, headers=OTHER)
        assert_problem(response, 404, "not_found")

    def test_another_tenants_mask_is_not_found(
        self, keyed: Client, sample: bytes, finish: Finish
    ) -> None:
        job_id = accepted(submit(keyed, sample, headers=SHOP))
        finish(job_id)
        response = submit(keyed, sample, job={"prompt": {"mask": job_id}}, headers=OTHER)
        assert_problem(response, 404, "not_found")

    def test_a_photo_is_stored_in_its_tenants_folder(
        self, keyed: Client, sample: bytes, storage: MemoryStorage
    ) -> None:
        accepted(submit(keyed, sample, headers=SHOP))
        (key,) = storage.objects
        assert key.startswith("shop/inputs/")


class TestStart:
    def test_a_short_key_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="of shop is shorter than 16") as caught:
            Keyring([("shop", "secret-15-chars")])
        assert "secret-15" not in str(caught.value)

    def test_an_entry_without_a_tenant_is_refused_with_its_position(self) -> None:
        with pytest.raises(ConfigError, match="entry 2") as caught:
            ApiSettings.load(api_keys="shop:shop-key-0123456789,other-key-0123456789")
        assert "key-01" not in str(caught.value)

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "nukki.example.com"])
    def test_serving_other_machines_without_keys_is_refused(self, host: str) -> None:
        with pytest.raises(ConfigError, match="NUKKI_API_KEYS"):
            ApiSettings.load().require_keys(host)

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
    def test_loopback_needs_no_keys(self, host: str) -> None:
        ApiSettings.load().require_keys(host)

    def test_any_host_may_be_served_with_keys(self) -> None:
        ApiSettings.load(api_keys=KEYS).require_keys("0.0.0.0")
