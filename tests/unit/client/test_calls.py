"""The client's calls, through the real app."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

import nukki
from nukki import Job, client
from tests.api.conftest import left
from tests.unit.client.place import DONE, FAILED, GONE, KEY, MakePlace, Place

# Submitting


@pytest.mark.parametrize("kind", ["bytes", "path", "path as text", "file", "open file"])
def test_submit_takes_an_image_in_every_form(
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


def test_every_argument_reaches_the_server(place: Place, sample: bytes) -> None:
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


def test_an_uploaded_photo_can_be_submitted(place: Place, sample: bytes) -> None:
    upload = place.client.upload(sample)
    assert place.client.submit(upload=upload).status == "queued"
    assert list(place.storage.objects.values()) == [sample]


def test_a_job_can_be_segmented_and_rendered_again(place: Place, sample: bytes) -> None:
    place.bell.outcome = DONE
    first = place.client.submit(sample)
    again = place.client.submit(job=first.id, points=[(5, 5)], mask=first.id)
    render = place.client.submit(render=first.id, output={"background": "#000000"})
    assert len({first.id, again.id, render.id}) == 3


def test_each_submit_makes_a_new_job(place: Place, sample: bytes) -> None:
    assert place.client.submit(sample).id != place.client.submit(sample).id


def test_submits_with_one_idempotency_key_make_one_job(place: Place, sample: bytes) -> None:
    ids = {place.client.submit(sample, idempotency_key="order-7").id for _ in range(3)}
    assert len(ids) == 1


# Waiting and fetching


def test_wait_returns_the_finished_job(place: Place, sample: bytes) -> None:
    job = place.client.submit(sample)
    later = threading.Timer(0.3, place.bell.do, [job.id, DONE])
    later.start()
    done = place.client.wait(job, timeout=20)
    later.join()
    assert (done.status, done.done, done.id) == ("succeeded", True, job.id)


def test_wait_takes_a_job_id(place: Place, sample: bytes) -> None:
    place.bell.outcome = DONE
    assert place.client.wait(place.client.submit(sample).id).status == "succeeded"


def test_wait_raises_a_failed_job_with_its_reason(place: Place, sample: bytes) -> None:
    place.bell.outcome = FAILED
    with pytest.raises(nukki.JobFailed, match="subject_not_found: nothing there") as failure:
        place.client.wait(place.client.submit(sample))
    assert failure.value.job.error == nukki.JobError("subject_not_found", "nothing there")


def test_wait_raises_a_canceled_job(place: Place, sample: bytes) -> None:
    job = place.client.submit(sample)
    assert place.client.cancel(job).status == "canceled"
    with pytest.raises(nukki.JobFailed, match="canceled"):
        place.client.wait(job)


def test_wait_times_out_and_the_job_goes_on(place: Place, sample: bytes) -> None:
    job = place.client.submit(sample)
    began = time.monotonic()
    with pytest.raises(nukki.WaitTimeout, match="still queued") as timeout:
        place.client.wait(job, timeout=0.4)
    assert 0.3 < time.monotonic() - began < 5
    assert timeout.value.job.id == job.id
    assert place.client.get(job.id).status == "queued"


def test_without_a_waiting_slot_the_client_polls_slowly(
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
    assert left(place.storage) == {}


def test_jobs_lists_every_page_newest_first(place: Place, sample: bytes) -> None:
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


def test_jobs_is_empty_without_jobs(place: Place) -> None:
    assert list(place.client.jobs()) == []


def test_models_is_empty_without_a_ready_worker(place: Place) -> None:
    assert place.client.models() == []


def test_the_with_block_closes_the_client(place: Place) -> None:
    with place.client as opened:
        assert opened is place.client
    with pytest.raises(RuntimeError, match="closed"):
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


def test_a_job_holds_the_servers_answer() -> None:
    told = {"id": "job_1", "status": "failed", "error": {"code": "a", "message": "b"}, "new": 1}
    assert Job.of(told) == Job("job_1", "failed", nukki.JobError("a", "b"), told)


# Imports


def test_the_client_does_not_import_the_server() -> None:
    program = "import sys, nukki, nukki.command; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert loaded.isdisjoint({"api", "worker", "shared", "flask", "celery", "torch", "cv2"})
