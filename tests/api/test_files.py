"""The result and the mask of a finished job, by presigned URL or as bytes."""

from __future__ import annotations

from typing import Any

import pytest

from shared.storage import keys
from shared.testing import MemoryStorage
from tests.api.conftest import (
    Client,
    Fail,
    Finish,
    MakeClient,
    accepted,
    assert_problem,
    submit,
)


class SigningStorage(MemoryStorage):
    """Storage that gives presigned URLs, as S3 does."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[str, Any] = {}

    def presign_get(
        self, key: str, *, expires: float, content_type: str, filename: str
    ) -> str | None:
        self.asked = {"key": key, "content_type": content_type, "filename": filename}
        return f"https://s3.example.com/{key}?expires={expires:g}"


class TestFiles:
    def test_the_result_is_served_as_bytes(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        response = client.get(f"/v1/jobs/{job_id}/result")
        assert response.status_code == 200
        assert response.data == b"result"
        assert response.content_type == "image/png"
        assert response.headers["Content-Disposition"] == f'inline; filename="{job_id}.png"'
        assert response.headers["X-Content-Type-Options"] == "nosniff"

    def test_the_result_has_the_requested_format(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        output = {"format": "jpeg", "background": "#ffffff"}
        job_id = accepted(submit(client, sample, job={"output": output}))
        finish(job_id)
        response = client.get(f"/v1/jobs/{job_id}/result")
        assert response.content_type == "image/jpeg"
        assert f"{job_id}.jpeg" in response.headers["Content-Disposition"]

    def test_the_mask_is_the_alpha(self, client: Client, sample: bytes, finish: Finish) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        response = client.get(f"/v1/jobs/{job_id}/mask")
        assert response.status_code == 200
        assert response.data == b"alpha"
        assert response.content_type == "image/png"

    @pytest.mark.parametrize("file", ["result", "mask"])
    def test_a_job_that_is_not_finished_conflicts(
        self, client: Client, sample: bytes, file: str
    ) -> None:
        job_id = accepted(submit(client, sample))
        assert_problem(client.get(f"/v1/jobs/{job_id}/{file}"), 409, "not_finished")

    @pytest.mark.parametrize("file", ["result", "mask"])
    def test_a_failed_job_has_no_files(
        self, client: Client, sample: bytes, fail: Fail, file: str
    ) -> None:
        job_id = accepted(submit(client, sample))
        fail(job_id)
        assert_problem(client.get(f"/v1/jobs/{job_id}/{file}"), 409, "no_result")

    def test_a_canceled_job_has_no_files(self, client: Client, sample: bytes) -> None:
        job_id = accepted(submit(client, sample))
        client.post(f"/v1/jobs/{job_id}/cancel")
        assert_problem(client.get(f"/v1/jobs/{job_id}/result"), 409, "no_result")

    @pytest.mark.parametrize("file", ["result", "mask"])
    def test_storage_with_presigned_urls_is_redirected_to(
        self, make_client: MakeClient, sample: bytes, finish: Finish, file: str
    ) -> None:
        storage = SigningStorage()
        client = make_client(stored_in=storage)
        job_id = accepted(submit(client, sample))
        finish(job_id)
        response = client.get(f"/v1/jobs/{job_id}/{file}")
        assert response.status_code == 303
        name = {"result": keys.RESULT, "mask": keys.ALPHA}[file]
        key = keys.attempt_key("default", job_id, 1, name)
        assert response.headers["Location"] == f"https://s3.example.com/{key}?expires=900"
        assert response.headers["Cache-Control"] == "no-store"
        assert storage.asked["content_type"] == "image/png"

    def test_a_result_missing_from_storage_is_not_found(
        self, client: Client, sample: bytes, finish: Finish, storage: MemoryStorage
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        storage.objects.clear()
        assert_problem(client.get(f"/v1/jobs/{job_id}/result"), 404, "not_found")
