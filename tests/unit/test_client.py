"""The client and `nukki cut` through the real app, on a real Redis, without a network."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

import nukki
from api.app import create_app
from api.services import Services
from api.waiting import WaitingRoom
from nukki import Client, Job, client, command, cut_command
from nukki.redis_server import free_port
from shared.job import Failure, Lane, Outcome, Status, Subject
from shared.job import Result as Made
from shared.queue.connection import Connection
from shared.queue.leases import LeaseTable
from shared.settings import ApiSettings
from shared.storage import keys
from shared.testing import MemoryStorage, RedisProcess

KEY = "shop-key-0123456789"
GONE = "job_" + "0" * 24


class Bell:
    """A doorbell that does the job at once, once `outcome` is set."""

    def __init__(self, connection: Connection, storage: MemoryStorage) -> None:
        self._storage = storage
        self._leases = LeaseTable(connection, worker="test", lease_ms=30_000, retention_ms=60_000)
        self.outcome: Outcome | None = None
        self.rung: list[str] = []

    def ring(self, job_id: str, lane: Lane) -> bool:  # noqa: ARG002
        self.rung.append(job_id)
        if self.outcome is not None:
            self.do(job_id, self.outcome)
        return True

    def do(self, job_id: str, outcome: Outcome) -> None:
        claim = self._leases.claim(job_id)
        assert claim is not None
        for name in keys.ATTEMPT_FILES:
            key = keys.attempt_key(claim.job.tenant, job_id, claim.job.claims, name)
            self._storage.put(key, f"the {name}".encode(), "")
        ended = Status.FAILED if outcome.error else Status.SUCCEEDED
        self._leases.finish(claim, ended, outcome)


DONE = Outcome(
    model="grabcut",
    result=Made(content_type="image/png", width=600, height=400, bytes=10, sha256="0" * 64),
    subject=Subject(box=(1, 2, 3, 4), area=0.5, scores=(1.0,), needs_review=False),
    timings_ms={"total": 12.0},
)
FAILED = Outcome(error=Failure(code="subject_not_found", message="nothing there"))


class Line(httpx.BaseTransport):
    """The wire between client and app: it keeps what was sent, and fails when told to."""

    def __init__(self) -> None:
        self.apps: dict[str, httpx.BaseTransport] = {}
        self.sent: list[httpx.Request] = []
        #: What to do to the next requests instead of passing them on.
        self.faults: list[Callable[[httpx.Request], httpx.Response]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        if self.faults:
            return self.faults.pop(0)(request)
        return self.pass_on(request)

    def pass_on(self, request: httpx.Request) -> httpx.Response:
        return self.apps[request.url.host].handle_request(request)

    # Faults

    @staticmethod
    def busy(_: httpx.Request) -> httpx.Response:
        problem = {"status": 503, "code": "queue_unavailable", "detail": "away"}
        return httpx.Response(503, json=problem, headers={"Retry-After": "2"})

    @staticmethod
    def full(_: httpx.Request) -> httpx.Response:
        problem = {"status": 429, "code": "queue_full", "detail": "the queue is full"}
        return httpx.Response(429, json=problem, headers={"Retry-After": "2"})

    @staticmethod
    def refused(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    def answer_lost(self, request: httpx.Request) -> httpx.Response:
        self.pass_on(request)
        raise httpx.ReadTimeout("silence", request=request)


@dataclasses.dataclass
class Place:
    """The service, and a client of it."""

    line: Line
    bell: Bell
    storage: MemoryStorage
    client: Client
    connection: Connection


MakePlace = Callable[..., Place]


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
            redis_url=shared_redis.url, storage_dir=tmp_path / "storage", **overrides
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
    """How long the client would have slept; it does not."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


# Submitting


@pytest.mark.parametrize("kind", ["bytes", "path", "path as text", "file", "open file"])
def test_an_image_may_be_given_in_many_ways(
    place: Place, sample: bytes, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(sample)
    with path.open("rb") as file:
        ways: dict[str, client.Image] = {
            "bytes": sample,
            "path": path,
            "path as text": str(path),
            "file": io.BytesIO(sample),
            "open file": file,
        }
        job = place.client.submit(ways[kind])
    assert job.status == "queued"
    assert list(place.storage.objects.values()) == [sample]


def test_everything_asked_for_arrives(place: Place, sample: bytes) -> None:
    job = place.client.submit(
        sample,
        points=[(300, 200), (10, 10)],
        labels=[1, 0],
        box=(100, 50, 500, 350),
        output={"format": "webp", "background": "#FFFFFF"},
        priority="bulk",
        metadata={"sku": "누끼-1"},
    )
    assert job.data["prompt"]["points"] == [[300, 200], [10, 10]]
    assert job.data["prompt"]["labels"] == [1, 0]
    assert job.data["prompt"]["box"] == [100, 50, 500, 350]
    asked = {"type": "cutout", "format": "webp", "background": "#ffffff", "clean": True}
    assert job.data["output"].items() >= asked.items()
    assert job.data["metadata"] == {"sku": "누끼-1"}


def test_a_url_is_submitted_without_a_file(place: Place) -> None:
    assert place.client.submit(url="https://photos.test/1.jpg").status == "queued"
    assert place.line.sent[0].headers["Content-Type"] == "application/json"


def test_an_upload_goes_round_and_is_then_submitted(place: Place, sample: bytes) -> None:
    upload = place.client.upload(sample)
    assert place.client.submit(upload=upload).status == "queued"
    assert list(place.storage.objects.values()) == [sample]


def test_a_job_is_cut_anew_and_rendered_anew(place: Place, sample: bytes) -> None:
    place.bell.outcome = DONE
    first = place.client.submit(sample)
    again = place.client.submit(job=first.id, points=[(5, 5)], mask=first.id)
    render = place.client.submit(render=first.id, output={"background": "#000000"})
    assert len({first.id, again.id, render.id}) == 3


def test_each_submit_is_a_job_of_its_own(place: Place, sample: bytes) -> None:
    assert place.client.submit(sample).id != place.client.submit(sample).id


def test_a_key_of_the_callers_own_makes_one_job(place: Place, sample: bytes) -> None:
    ids = {place.client.submit(sample, idempotency_key="order-7").id for _ in range(3)}
    assert len(ids) == 1


# Waiting and fetching


def test_a_job_is_waited_for(place: Place, sample: bytes) -> None:
    job = place.client.submit(sample)
    later = threading.Timer(0.3, place.bell.do, [job.id, DONE])
    later.start()
    done = place.client.wait(job, timeout=20)
    later.join()
    assert (done.status, done.done, done.id) == ("succeeded", True, job.id)


def test_a_job_may_be_waited_for_by_its_id(place: Place, sample: bytes) -> None:
    place.bell.outcome = DONE
    assert place.client.wait(place.client.submit(sample).id).status == "succeeded"


def test_a_job_that_fails_is_raised_with_its_reason(place: Place, sample: bytes) -> None:
    place.bell.outcome = FAILED
    with pytest.raises(nukki.JobFailed, match="subject_not_found: nothing there") as failure:
        place.client.wait(place.client.submit(sample))
    assert failure.value.job.error == nukki.JobError("subject_not_found", "nothing there")


def test_a_job_that_was_canceled_is_raised(place: Place, sample: bytes) -> None:
    job = place.client.submit(sample)
    assert place.client.cancel(job).status == "canceled"
    with pytest.raises(nukki.JobFailed, match="canceled"):
        place.client.wait(job)


def test_a_wait_ends_in_time_and_the_job_goes_on(place: Place, sample: bytes) -> None:
    job = place.client.submit(sample)
    began = time.monotonic()
    with pytest.raises(nukki.WaitTimeout, match="still queued") as timeout:
        place.client.wait(job, timeout=0.4)
    assert 0.3 < time.monotonic() - began < 5
    assert timeout.value.job.id == job.id
    assert place.client.get(job.id).status == "queued"


def test_without_a_place_to_wait_in_the_client_asks_again_slowly(
    place: Place, sample: bytes, naps: list[float]
) -> None:
    job = place.client.submit(sample)
    queued = httpx.Response(200, json=dict(job.data))
    place.line.faults = [lambda _: queued, lambda _: queued]
    later = threading.Timer(0.2, place.bell.do, [job.id, DONE])
    later.start()
    place.client.wait(job, timeout=20)
    later.join()
    assert naps == [0.25, 0.25]


def test_result_and_mask_are_downloaded(place: Place, sample: bytes) -> None:
    place.bell.outcome = DONE
    job = place.client.submit(sample)
    assert place.client.download(job) == b"the result"
    assert place.client.download_mask(job.id) == b"the alpha"


def test_a_deleted_job_is_gone(place: Place, sample: bytes) -> None:
    job = place.client.submit(sample)
    place.client.delete(job)
    with pytest.raises(nukki.NotFound):
        place.client.get(job.id)
    assert place.storage.objects == {}


def test_jobs_are_listed_over_every_page_newest_first(place: Place, sample: bytes) -> None:
    made = [place.client.submit(url="https://photos.test/1.jpg").id for _ in range(103)]
    assert [job.id for job in place.client.jobs()] == made[::-1]
    pages = [request for request in place.line.sent if request.method == "GET"]
    assert len(pages) == 3


def test_jobs_are_listed_by_status(place: Place, sample: bytes) -> None:
    waiting = place.client.submit(sample)
    place.bell.outcome = DONE
    done = place.client.submit(sample)
    assert [job.id for job in place.client.jobs(status="succeeded")] == [done.id]
    assert [job.id for job in place.client.jobs(status="queued")] == [waiting.id]


def test_no_jobs_are_an_empty_list(place: Place) -> None:
    assert list(place.client.jobs()) == []


def test_where_no_worker_is_ready_no_model_is_served(place: Place) -> None:
    assert place.client.models() == []


def test_the_client_closes_with_its_block(place: Place) -> None:
    with place.client as opened:
        assert opened is place.client
    with pytest.raises(RuntimeError, match="closed"):
        place.client.models()


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
def test_a_refusal_is_an_error_of_its_kind(
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
def test_without_the_right_key_the_client_is_unauthorized(
    make_place: MakePlace, api_key: str | None
) -> None:
    place = make_place(api_key=api_key, api_keys=f"shop:{KEY}")
    with pytest.raises(nukki.Unauthorized):
        list(place.client.jobs())


def test_with_the_right_key_the_client_is_let_in(make_place: MakePlace) -> None:
    place = make_place(api_key=KEY, api_keys=f"shop:{KEY}")
    assert list(place.client.jobs()) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>502</html>", b"[]", b'"oops"', b"null", b'{"errors": "no"}', b'{"errors": [1]}'],
)
def test_an_answer_that_is_no_problem_is_an_error_all_the_same(place: Place, body: bytes) -> None:
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


# Trying again


def test_a_busy_server_is_tried_again(place: Place, sample: bytes, naps: list[float]) -> None:
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


def test_what_must_change_is_not_tried_again(place: Place) -> None:
    with pytest.raises(nukki.InvalidRequest):
        place.client.submit(b"not an image")
    assert len(place.line.sent) == 1


def test_no_retries_may_be_asked_for(place: Place) -> None:
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


# The key


def test_the_key_is_not_sent_to_the_storage_on_a_redirect(make_place: MakePlace) -> None:
    place = make_place(api_key=KEY)
    place.line.apps["storage.test"] = httpx.MockTransport(
        lambda _: httpx.Response(200, content=b"the result")
    )
    there = httpx.Response(303, headers={"Location": "http://storage.test/result?sig=1"})
    place.line.faults = [lambda _: there]
    assert place.client.download(GONE) == b"the result"
    ours, theirs = place.line.sent
    assert ours.headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in str(theirs.headers.raw)


def test_the_key_is_not_sent_to_the_storage_with_an_upload(make_place: MakePlace) -> None:
    place = make_place(api_key=KEY)
    place.line.apps["storage.test"] = httpx.MockTransport(lambda _: httpx.Response(200))
    ticket = {
        "id": "inp_1",
        "method": "PUT",
        "url": "http://storage.test/inp_1?sig=1",
        "headers": {"Content-Type": "image/png"},
    }
    place.line.faults = [lambda _: httpx.Response(201, json=ticket)]
    assert place.client.upload(b"photo") == "inp_1"
    put = place.line.sent[1]
    assert (put.method, put.content) == ("PUT", b"photo")
    assert (put.headers["Content-Type"], put.headers["Content-Length"]) == ("image/png", "5")
    assert KEY not in str(put.headers.raw)


def test_a_job_tells_what_the_server_told() -> None:
    told = {"id": "job_1", "status": "failed", "error": {"code": "a", "message": "b"}, "new": 1}
    assert Job.of(told) == Job("job_1", "failed", nukki.JobError("a", "b"), told)


# `nukki cut`


Cut = Callable[..., Result]


@pytest.fixture
def cut(place: Place, monkeypatch: pytest.MonkeyPatch, sample: bytes, tmp_path: Path) -> Cut:
    """Type `nukki cut` in a folder that holds photo.png."""
    place.bell.outcome = DONE
    wired = functools.partial(Client, transport=place.line)
    monkeypatch.setattr(cut_command, "Client", wired)
    monkeypatch.chdir(tmp_path)
    for name in ("NUKKI_URL", "NUKKI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "photo.png").write_bytes(sample)

    def run(*arguments: str, server: str = "http://nukki.test") -> Result:
        return CliRunner().invoke(command.main, ["cut", *arguments, "--server", server])

    return run


def sent_job(place: Place) -> dict[str, Any]:
    """The `job` part of what was submitted."""
    content = place.line.sent[0].content
    part = content.split(b'name="job"')[1].split(b"\r\n\r\n")[1].split(b"\r\n--")[0]
    found: dict[str, Any] = json.loads(part)
    return found


def test_cut_writes_the_result_beside_the_photo(cut: Cut, tmp_path: Path) -> None:
    result = cut("photo.png")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "photo-cut.png").read_bytes() == b"the result"
    assert result.output == "photo-cut.png  (12 ms, grabcut)\n"


def test_cut_writes_where_it_is_told(cut: Cut, tmp_path: Path) -> None:
    assert cut("photo.png", "-o", "there.png").exit_code == 0
    assert (tmp_path / "there.png").read_bytes() == b"the result"


def test_cut_writes_to_standard_output_and_nothing_else_there(cut: Cut) -> None:
    result = cut("photo.png", "-o", "-")
    assert result.exit_code == 0
    assert result.stdout_bytes == b"the result"


def test_cut_passes_on_what_is_asked_for(cut: Cut, place: Place) -> None:
    options = ["--point", "300,200", "--point", "10,20,0", "--box", "100,50,500,350"]
    result = cut("photo.png", *options, "--format", "webp", "--background", "#ffffff")
    assert result.exit_code == 0, result.output
    assert sent_job(place) == {
        "prompt": {
            "points": [[300, 200], [10, 20]],
            "labels": [1, 0],
            "box": [100, 50, 500, 350],
        },
        "output": {"type": "cutout", "format": "webp", "background": "#ffffff"},
    }


def test_cut_asks_for_the_mask_alone(cut: Cut, place: Place) -> None:
    assert cut("photo.png", "--mask").exit_code == 0
    assert sent_job(place)["output"]["type"] == "mask"


def test_cut_says_when_a_person_should_look(cut: Cut, place: Place) -> None:
    subject = Subject(
        box=(1, 2, 3, 4), area=0.5, scores=(1.0,), needs_review=True, reasons=("thin", "edge")
    )
    place.bell.outcome = DONE.model_copy(update={"subject": subject})
    assert "needs review: thin, edge" in cut("photo.png").output


def test_cut_exits_1_when_the_job_fails(cut: Cut, place: Place, tmp_path: Path) -> None:
    place.bell.outcome = FAILED
    result = cut("photo.png")
    assert result.exit_code == 1
    assert "nothing there" in result.stderr
    assert not (tmp_path / "photo-cut.png").exists()


def test_cut_exits_1_when_the_job_takes_too_long(cut: Cut, place: Place) -> None:
    place.bell.outcome = None
    result = cut("photo.png", "--timeout", "0.2")
    assert result.exit_code == 1
    assert "still queued" in result.stderr


def test_cut_exits_2_before_asking_where_nothing_can_be_written(place: Place, cut: Cut) -> None:
    result = cut("photo.png", "-o", "no-such-folder/cut.png")
    assert result.exit_code == 2
    assert "no folder no-such-folder" in result.stderr
    assert list(place.client.jobs()) == []


def test_cut_exits_1_when_the_result_cannot_be_written(cut: Cut, tmp_path: Path) -> None:
    (tmp_path / "cut.png").mkdir()
    result = cut("photo.png", "-o", "cut.png")
    assert result.exit_code == 1
    assert "cannot write" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "PHOTO"),
        (["missing.png"], "missing.png"),
        (["photo.png", "--point", "here"], "'here' is not X,Y or X,Y,0"),
        (["photo.png", "--point", "1"], "'1' is not X,Y"),
        (["photo.png", "--point", "1,2,3"], "'1,2,3' is not X,Y"),
        (["photo.png", "--point", "nan,2"], "is not X,Y"),
        (["photo.png", "--box", "1,2,3"], "'1,2,3' is not X1,Y1,X2,Y2"),
        (["photo.png", "--format", "gif"], "gif"),
        (["photo.png", "--no-such-option"], "--no-such-option"),
    ],
)
def test_cut_exits_2_for_a_wrong_command_line(
    cut: Cut, place: Place, arguments: list[str], complaint: str
) -> None:
    result = cut(*arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert place.line.sent == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--point", "600,0"], "outside the 600×400 image"),
        (["--format", "jpeg"], "JPEG has no transparency"),
        (["--box", "9,9,1,1"], "x1 < x2"),
        (["--background", "green"], "background"),
    ],
)
def test_cut_exits_3_when_the_server_refuses(cut: Cut, options: list[str], complaint: str) -> None:
    result = cut("photo.png", *options)
    assert result.exit_code == 3
    assert complaint in result.stderr


def test_cut_exits_3_for_a_file_that_is_no_photo(cut: Cut, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a photo")
    result = cut("notes.txt")
    assert result.exit_code == 3
    assert "not supported" in result.stderr


def test_cut_exits_4_without_a_server(cut: Cut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut_command, "Client", Client)
    result = cut("photo.png", server=f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 4
    assert "no answer from 127.0.0.1" in result.stderr


@pytest.mark.parametrize("server", ["nukki.test", "ftp://nukki.test"])
def test_cut_exits_2_for_an_address_that_is_not_http(cut: Cut, server: str) -> None:
    result = cut("photo.png", server=server)
    assert result.exit_code == 2
    assert "is not http://" in result.stderr


@pytest.mark.parametrize(
    ("options", "written"),
    [
        (["-o", "cup.jpg", "--background", "#ffffff"], b"\xff\xd8"),
        (["-o", "cup.webp"], b"RIFF"),
        (["-o", "cup.png"], b"\x89PNG"),
        (["-o", "cup.dat", "--format", "webp"], b"RIFF"),
    ],
)
def test_cut_asks_for_what_the_outputs_name_says(
    place: Place, cut: Cut, options: list[str], written: bytes
) -> None:
    cut("photo.png", *options)
    wanted = {b"\xff\xd8": "jpeg", b"RIFF": "webp", b"\x89PNG": "png"}[written]
    assert next(place.client.jobs()).data["output"]["format"] == wanted


def test_cut_asks_for_a_frame(place: Place, cut: Cut) -> None:
    cut("photo.png", "--crop", "--size", "800x600", "--margin", "5%", "-o", "cup.avif")
    output = next(place.client.jobs()).data["output"]
    assert (output["crop"], output["size"], output["margin"]) == (True, [800, 600], "5%")
    assert output["format"] == "avif"


def test_cut_takes_on_a_marketplaces_look(place: Place, cut: Cut) -> None:
    cut("photo.png", "--preset", "amazon", "--margin", "12")
    output = next(place.client.jobs()).data["output"]
    assert (output["preset"], output["format"], output["margin"]) == ("amazon", "jpeg", 12)
    assert output["background"] == "#ffffff"


@pytest.mark.parametrize("size", ["big", "1x2x3", "5x", "-3"])
def test_cut_exits_2_for_a_size_that_is_none(cut: Cut, size: str) -> None:
    result = cut("photo.png", "--size", size)
    assert result.exit_code == 2
    assert "is not WxH" in result.stderr


def test_cut_exits_2_for_a_name_of_another_format(cut: Cut) -> None:
    result = cut("photo.png", "-o", "cup.png", "--format", "webp")
    assert result.exit_code == 2
    assert "not a name for webp" in result.stderr


@pytest.mark.parametrize("server", ["http://[", "http://:x"])
def test_cut_exits_4_for_an_address_that_is_none(
    cut: Cut, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setattr(cut_command, "Client", Client)
    result = cut("photo.png", server=server)
    assert result.exit_code == 4
    assert result.stderr.startswith("nukki cut: ")


def test_server_and_key_may_come_from_the_environment(
    cut: Cut, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUKKI_URL", "http://nukki.test")
    monkeypatch.setenv("NUKKI_API_KEY", KEY)
    result = CliRunner().invoke(command.main, ["cut", "photo.png"])
    assert result.exit_code == 0, result.output
    assert place.line.sent[0].headers["Authorization"] == f"Bearer {KEY}"


def test_the_client_does_not_import_the_server() -> None:
    import subprocess

    program = "import sys, nukki, nukki.command; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert loaded.isdisjoint({"api", "worker", "shared", "flask", "celery", "torch", "cv2"})
