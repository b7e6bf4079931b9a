"""The client's errors, and the calls it repeats."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import nukki
from nukki import Client
from tests.unit.client.place import GONE, KEY, MakePlace, Place

# Refusals


@pytest.mark.parametrize(
    ("call", "error", "answered"),
    [
        (lambda c, _: c.submit(b"not an image"), nukki.InvalidRequest, "415 image_unsupported"),
        (lambda c, _: c.submit(b""), nukki.InvalidRequest, "422 image_invalid"),
        (lambda c, s: c.submit(s + bytes(200_000)), nukki.TooLarge, "413 image_too_large"),
        (lambda c, s: c.submit(s, points=[(600, 0)]), nukki.InvalidRequest, "422 invalid_request"),
        (lambda c, s: c.submit(s, model="sam9"), nukki.InvalidRequest, "422 model_not_served"),
        (
            lambda c, _: c.submit(url="http://10.0.0.1/"),
            nukki.InvalidRequest,
            "422 invalid_request",
        ),
        (lambda c, _: c.submit(), nukki.InvalidRequest, "422 invalid_request"),
        (lambda c, _: c.get(GONE), nukki.NotFound, "404 not_found"),
        (lambda c, s: c.download(c.submit(s)), nukki.Conflict, "409 not_finished"),
        (lambda c, s: c.download(c.cancel(c.submit(s))), nukki.Conflict, "409 no_result"),
        (lambda c, _: c.submit(render=GONE), nukki.NotFound, "404 not_found"),
        (lambda c, _: c.upload(b""), nukki.InvalidRequest, "422 invalid_request"),
        (lambda c, _: c.upload(bytes(2_000_000)), nukki.TooLarge, "413 image_too_large"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_refusal_raises_its_error(
    make_place: MakePlace, sample: bytes, call: Any, error: Any, answered: str
) -> None:
    place = make_place(max_bytes=len(sample) + 100_000)
    with pytest.raises(error) as refusal:
        call(place.client, sample)
    assert type(refusal.value) is error
    assert f"{refusal.value.status} {refusal.value.code}" == answered
    assert refusal.value.request_id.startswith("req_")


def test_a_wrong_field_is_named(place: Place, sample: bytes) -> None:
    with pytest.raises(nukki.InvalidRequest) as refusal:
        place.client.submit(sample, points=[(1, 1), (600, 0)])
    [(field, message)] = refusal.value.fields
    assert field == "prompt.points.1"
    assert "600×400" in message


@pytest.mark.parametrize("api_key", [None, "not-the-key-0123456789"])
def test_a_wrong_or_missing_key_is_unauthorized(make_place: MakePlace, api_key: str | None) -> None:
    place = make_place(api_key=api_key, api_keys=f"shop:{KEY}")
    with pytest.raises(nukki.Unauthorized):
        list(place.client.jobs())


def test_the_right_key_is_accepted(make_place: MakePlace) -> None:
    place = make_place(api_key=KEY, api_keys=f"shop:{KEY}")
    assert list(place.client.jobs()) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>502</html>", b"[]", b'"oops"', b"null", b'{"errors": "no"}', b'{"errors": [1]}'],
)
def test_an_error_page_without_a_problem_is_a_server_error(place: Place, body: bytes) -> None:
    place.line.faults = [lambda _: httpx.Response(502, content=body)]
    with pytest.raises(nukki.ServerError, match="502") as failure:
        place.client.models()
    assert failure.value.code == "unknown"


@pytest.mark.parametrize("body", [b"", b"<html>Welcome</html>", b"[]", b"{}", b'"hello"'])
@pytest.mark.parametrize("call", ["submit", "models", "jobs", "upload"])
def test_a_server_that_is_not_nukki_is_an_error(place: Place, body: bytes, call: str) -> None:
    place.line.faults = [lambda _: httpx.Response(200, content=body)]
    calls: dict[str, Callable[[], object]] = {
        "submit": lambda: place.client.submit(b"photo"),
        "models": place.client.models,
        "jobs": lambda: list(place.client.jobs()),
        "upload": lambda: place.client.upload(b"photo"),
    }
    with pytest.raises(nukki.ServerError, match="not a Nukki server"):
        calls[call]()


# Repeated calls


def test_a_call_to_a_busy_server_is_repeated(
    place: Place, sample: bytes, naps: list[float]
) -> None:
    place.line.faults = [place.line.busy, place.line.busy]
    assert place.client.submit(sample).status == "queued"
    assert naps == [2.0, 2.0]


def test_each_try_carries_the_same_key_and_the_same_bytes(place: Place, sample: bytes) -> None:
    place.line.faults = [place.line.busy, place.line.refused]
    place.client.submit(io.BytesIO(sample))
    assert len(place.line.sent) == 3
    assert len({request.headers["Idempotency-Key"] for request in place.line.sent}) == 1
    assert len({request.content for request in place.line.sent}) == 1


def test_a_submit_whose_answer_was_lost_makes_one_job(place: Place, sample: bytes) -> None:
    place.line.faults = [place.line.answer_lost, place.line.answer_lost]
    job = place.client.submit(sample)
    assert [found.id for found in place.client.jobs()] == [job.id]


def test_a_server_that_stays_busy_is_unavailable(place: Place, sample: bytes) -> None:
    place.storage.down = True
    with pytest.raises(nukki.Unavailable) as failure:
        place.client.submit(sample)
    assert (failure.value.status, failure.value.retry_after) == (503, 2.0)
    assert len(place.line.sent) == 3


def test_a_full_queue_is_waited_for_and_spends_no_retry(
    place: Place, sample: bytes, naps: list[float]
) -> None:
    place.line.faults = [*[place.line.full] * 10, place.line.busy, place.line.busy]
    place.client.submit(sample)
    assert naps == [2.0] * 12
    assert len({request.headers["Idempotency-Key"] for request in place.line.sent}) == 1


def test_a_queue_that_stays_full_is_unavailable(place: Place, naps: list[float]) -> None:
    place.line.faults = [place.line.full] * 2
    with (
        Client("http://nukki.test", patience=1.0, transport=place.line) as hasty,
        pytest.raises(nukki.Unavailable) as failure,
    ):
        hasty.models()
    assert failure.value.status == 429
    assert naps == []


@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError]
)
def test_a_server_that_does_not_answer_is_a_failed_connection(
    place: Place, error: type[httpx.TransportError]
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error("silence", request=request)

    place.line.faults = [fail] * 3
    with pytest.raises(nukki.ConnectionFailed, match=r"no answer from nukki\.test"):
        place.client.models()
    assert len(place.line.sent) == 3


def test_an_invalid_request_is_not_repeated(place: Place) -> None:
    with pytest.raises(nukki.InvalidRequest):
        place.client.submit(b"not an image")
    assert len(place.line.sent) == 1


def test_without_retries_there_is_one_try(place: Place) -> None:
    place.line.faults = [place.line.busy]
    with (
        Client("http://nukki.test", retries=0, transport=place.line) as once,
        pytest.raises(nukki.Unavailable),
    ):
        once.models()
    assert len(place.line.sent) == 1


def test_a_loop_of_redirects_is_a_failed_connection(place: Place) -> None:
    place.line.faults = [lambda _: httpx.Response(303, headers={"Location": "/v1/models"})] * 100
    with pytest.raises(nukki.ConnectionFailed):
        place.client.models()
