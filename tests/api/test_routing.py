"""Unknown routes and methods, and the table from errors to HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.problems import HTTP_STATUS
from shared import errors
from shared.errors import ServiceError
from shared.queue.jobs import JobQueue
from tests.api.asking import NOBODY
from tests.api.conftest import (
    Client,
    assert_problem,
)


@pytest.mark.usefixtures("nothing_left")
class TestRouting:
    @pytest.mark.parametrize("path", ["/nope", "/v1", "/v1/batches", "/v1/jobs/", "/v1/jobs/a/b/c"])
    def test_an_unknown_path_is_a_problem(self, client: Client, path: str) -> None:
        assert_problem(client.get(path), 404, "not_found")

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", "/v1/jobs", {"GET", "HEAD", "OPTIONS", "POST"}),
            ("PATCH", f"/v1/jobs/{NOBODY}", {"DELETE", "GET", "HEAD", "OPTIONS"}),
            ("GET", "/background-removal/remove", {"OPTIONS", "POST"}),
        ],
    )
    def test_another_method_is_a_problem(
        self, client: Client, method: str, path: str, allowed: set[str]
    ) -> None:
        response = client.open(path, method=method)
        assert_problem(response, 405, "method_not_allowed")
        assert set(response.headers["Allow"].split(", ")) == allowed

    @pytest.mark.parametrize(
        "job_id", ["1", "job_" + "0" * 23, "job_" + "g" * 24, "inp_" + "0" * 24]
    )
    @pytest.mark.parametrize(
        ("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/mask"), ("POST", "/cancel")]
    )
    def test_a_malformed_job_id_is_not_found(
        self, client: Client, job_id: str, method: str, path: str
    ) -> None:
        response = client.open(f"/v1/jobs/{job_id}{path}", method=method)
        assert_problem(response, 404, "not_found")

    def test_an_unexpected_error_reveals_no_internals(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("the password is swordfish")

        monkeypatch.setattr(JobQueue, "page", broken)
        client.application.config["PROPAGATE_EXCEPTIONS"] = False
        response = client.get("/v1/jobs", headers={"X-Request-Id": "look-here"})
        assert_problem(response, 500, "internal")
        assert b"swordfish" not in response.data
        (record,) = [record for record in caplog.records if record.exc_info]
        assert record.__dict__["request_id"] == "look-here"


def _all_errors(root: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for error in root.__subclasses__():
        if error.__module__.startswith("shared."):  # those of the stack never occur in a request
            yield error
            yield from _all_errors(error)


class TestErrorTable:
    def test_every_error_that_can_reach_a_caller_is_mapped(self) -> None:
        inside = {errors.LeaseLost, errors.ConfigError, errors.CheckpointError}
        leaves = {error for error in _all_errors(ServiceError) if not error.__subclasses__()}
        assert set(HTTP_STATUS) == leaves - inside

    def test_a_temporary_error_is_never_a_client_error(self) -> None:
        later = {HTTP_STATUS[error] for error in HTTP_STATUS if error.retryable}
        assert all(status >= 500 or status == 429 for status in later)
