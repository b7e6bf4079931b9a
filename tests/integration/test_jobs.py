"""Jobs over HTTP through real processes, from photo to cutout."""

from __future__ import annotations

import hashlib
import http.server
import io
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image
from standardwebhooks.webhooks import Webhook

from nukki import Client, JobFailed, NotFound
from nukki.stack import Stack
from shared.settings import DEFAULT_TENANT
from tests.integration.conftest import Receiver, files_in, pixels

BOX = (115, 15, 520, 375)
CUP = (300, 120)  # inside the cup, on the sample photo
CORNER = (5, 5)


@pytest.mark.parametrize("prompt", [{"points": [CUP]}, {"box": BOX}, {}])
def test_a_photo_is_cut_out_at_its_full_size(
    client: Client, sample: bytes, prompt: dict[str, object]
) -> None:
    job = client.wait(client.submit(sample, **prompt))  # type: ignore[arg-type]
    cutout = pixels(client.download(job))
    assert cutout.shape == (400, 600, 4)
    assert cutout[CUP[1], CUP[0], 3] == 255
    assert cutout[CORNER[1], CORNER[0], 3] == 0
    assert not cutout[cutout[..., 3] == 0].any()  # no background under alpha 0


def test_opaque_pixels_keep_the_photos_colours(client: Client, sample: bytes) -> None:
    job = client.wait(client.submit(sample, box=BOX))
    cutout, photo = pixels(client.download(job)), pixels(sample)
    opaque = cutout[..., 3] == 255
    assert opaque.mean() > 0.1
    assert np.array_equal(cutout[opaque][:, :3], photo[opaque])


def test_the_job_describes_its_file_subject_and_stages(client: Client, sample: bytes) -> None:
    job = client.wait(client.submit(sample, box=BOX, metadata={"sku": "A-1"})).data
    content = client.download(job["id"])
    assert job["result"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert job["result"]["bytes"] == len(content)
    assert (job["result"]["width"], job["result"]["height"]) == (600, 400)
    assert job["model"] == "grabcut"
    assert job["metadata"] == {"sku": "A-1"}
    x1, y1, x2, y2 = job["subject"]["box"]
    assert x1 >= BOX[0] - 24  # the edge may lie slightly outside the box
    assert y2 <= BOX[3] + 24
    assert x1 < x2
    assert y1 < y2
    stages = {"queued", "fetch", "decode", "encode", "segment", "compose", "store", "total"}
    assert set(job["timings_ms"]) == stages
    parts = sum(value for name, value in job["timings_ms"].items() if name != "total")
    assert parts <= job["timings_ms"]["total"] + 5


def test_the_mask_is_the_results_alpha(client: Client, sample: bytes) -> None:
    job = client.wait(client.submit(sample, box=BOX))
    alpha = pixels(client.download(job))[..., 3]
    assert np.array_equal(pixels(client.download_mask(job)), alpha)


def test_a_second_click_starts_from_the_first_mask(client: Client, sample: bytes) -> None:
    first = client.wait(client.submit(sample, box=BOX))
    away = (180, 330)  # on the saucer
    second = client.wait(
        client.submit(job=first.id, mask=first.id, points=[CUP, away], labels=[1, 0])
    )
    cutout = pixels(client.download(second))
    assert (
        cutout[CUP[1], CUP[0], 3] > 127
    )  # the side of the edge; its softness depends on the photo
    assert cutout[away[1], away[0], 3] < 127


def test_a_render_reuses_the_alpha(client: Client, sample: bytes) -> None:
    parent = client.wait(client.submit(sample, box=BOX))
    output = {"format": "jpeg", "background": "#ffffff"}
    child = client.wait(client.submit(render=parent.id, output=output))
    assert np.array_equal(pixels(client.download_mask(child)), pixels(client.download_mask(parent)))
    picture = pixels(client.download(child))
    assert picture.shape == (400, 600, 3)
    assert picture[CORNER[1], CORNER[0]].tolist() == [255, 255, 255]
    assert "segment" not in child.data["timings_ms"]


def test_an_upload_bypasses_the_api(client: Client, sample: bytes) -> None:
    job = client.wait(client.submit(upload=client.upload(sample), box=BOX))
    assert pixels(client.download(job)).shape == (400, 600, 4)


def test_a_photo_is_fetched_from_its_url(client: Client, sample: bytes) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/photo" else 404)
            self.end_headers()
            self.wfile.write(sample)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_port}"
        job = client.wait(client.submit(url=f"{host}/photo", box=BOX))
        with pytest.raises(JobFailed, match="url_failed: the URL answered 404"):
            client.wait(client.submit(url=f"{host}/gone"))
        server.shutdown()
    assert pixels(client.download(job)).shape == (400, 600, 4)
    again = client.wait(client.submit(job=job.id, box=BOX))  # the photo was kept
    assert client.download(again) == client.download(job)


def test_prefer_wait_answers_with_the_finished_job(stack: Stack, sample: bytes) -> None:
    answer = httpx.post(
        f"{stack.url}/v1/jobs",
        files={"image": sample},
        data={"job": '{"prompt": {"box": [115, 15, 520, 375]}}'},
        headers={"Prefer": "wait=30"},
        timeout=40,
    )
    assert answer.status_code == 200
    assert answer.json()["status"] == "succeeded"


def test_the_first_generation_call_answers_with_the_png(stack: Stack, sample: bytes) -> None:
    answer = httpx.post(
        f"{stack.url}/background-removal/remove",
        files={"image": ("coffee.png", sample, "image/png")},
        data={"points": "[[300, 120], [300, 200]]"},
        timeout=60,
    )
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/png"
    cutout = pixels(answer.content)
    assert cutout.shape == (400, 600, 4)
    assert cutout[120, 300, 3] == 255


def test_a_signed_webhook_reports_the_jobs_end(
    stack: Stack, client: Client, sample: bytes, receiver: Receiver
) -> None:
    receiver.statuses.append(500)  # the first attempt fails and is retried
    job = client.submit(sample, box=BOX, webhook={"url": receiver.url})
    first_headers, first_body = receiver.messages.get(timeout=30)
    headers, body = receiver.messages.get(timeout=30)
    secret = stack.secrets()[f"webhook:{DEFAULT_TENANT}"]
    message = Webhook(secret).verify(body, {name.lower(): value for name, value in headers.items()})
    assert message["type"] == "job.succeeded"
    assert message["data"] == dict(client.get(job.id).data)
    assert httpx.get(message["data"]["result"]["url"], timeout=10).content == client.download(job)
    assert headers["webhook-id"] == first_headers["webhook-id"]
    assert body == first_body


def test_a_photo_damaged_after_its_header_fails_with_its_reason(
    client: Client, sample: bytes
) -> None:
    middle = len(sample) // 2
    damaged = sample[:middle] + bytes(64) + sample[middle + 64 :]
    with pytest.raises(JobFailed, match="image_invalid") as failed:
        client.wait(client.submit(damaged))
    assert failed.value.job.data["result"] is None


def test_deleting_a_job_erases_its_files(stack: Stack, client: Client, sample: bytes) -> None:
    job = client.wait(client.submit(sample, box=BOX))
    assert [name for name in files_in(stack) if job.id in name]
    before = len(files_in(stack))
    client.delete(job)
    assert len(files_in(stack)) == before - 3  # photo, result, alpha
    with pytest.raises(NotFound):
        client.get(job.id)


def test_concurrent_callers_each_get_their_own_photo(client: Client) -> None:
    def cut(side: int) -> tuple[int, ...]:
        photo = np.full((side, side, 3), 255, np.uint8)
        cv2.circle(photo, (side // 2, side // 2), side // 4, (20, 60, 200), -1)
        _, png = cv2.imencode(".png", photo)
        job = client.wait(client.submit(png.tobytes()), timeout=60)
        return tuple(pixels(client.download(job)).shape)

    sides = list(range(40, 72))
    with ThreadPoolExecutor(16) as callers:
        shapes = list(callers.map(cut, sides))
    assert shapes == [(side, side, 4) for side in sides]


def test_several_objects_are_cut_as_one(client: Client) -> None:
    photo = np.full((200, 300, 3), (90, 150, 90), np.uint8)
    cv2.circle(photo, (80, 100), 40, (200, 40, 40), -1)
    cv2.circle(photo, (220, 100), 40, (40, 60, 200), -1)
    png = cv2.imencode(".png", photo)[1].tobytes()
    objects = [{"points": [[80, 100]]}, {"points": [[220, 100]]}]
    job = client.wait(client.submit(png, objects=objects))
    alpha = pixels(client.download_mask(job))
    assert alpha[100, 80] == alpha[100, 220] == 255
    assert alpha[100, 150] == 0
    assert len(job.data["subject"]["scores"]) == 2


def test_a_second_click_on_a_photo_needs_no_encode(client: Client, sample: bytes) -> None:
    side = sample + b"\x00"  # a photo that no other test has sent
    first = client.wait(client.submit(side, points=[CUP]))
    second = client.wait(client.submit(job=first.id, points=[CUP, (180, 330)]))
    assert first.data["timings_ms"]["encode"] > 0
    assert second.data["timings_ms"]["encode"] < first.data["timings_ms"]["encode"] / 2


def test_finished_jobs_are_rendered_again_without_a_device(client: Client, sample: bytes) -> None:
    """Every kind of output is rendered from the stored alpha and photo."""
    parent = client.wait(client.submit(sample, box=BOX))
    behind = client.upload(sample)
    outputs: list[dict[str, object]] = [
        {"preset": "coupang"},
        {"size": [500, 400], "scale": 0.5, "background": {"upload": behind}, "format": "webp"},
        {"crop": True, "margin": "5%", "shadow": {}, "format": "avif"},
        {"format": "zip", "crop": True},
        {"type": "mask", "crop": True, "format": "webp"},
    ]
    found = []
    for output in outputs:
        job = client.wait(client.submit(render=parent.id, output=output))
        assert "segment" not in job.data["timings_ms"]
        assert job.data["model"] is None
        file = client.download(job)
        result = job.data["result"]
        assert result["sha256"] == hashlib.sha256(file).hexdigest()
        if result["content_type"] != "application/zip":
            assert pixels(file).shape[:2] == (result["height"], result["width"])
        found.append(job.data)
    report = found[0]["compliance"]
    assert report["preset"] == "coupang"
    assert report["passed"] is True
    assert {check["name"] for check in report["checks"]} >= {"format", "bytes", "fill"}
    assert all(job["compliance"] is None for job in found[1:])
    assert (found[1]["result"]["width"], found[1]["result"]["height"]) == (500, 400)
    x1, y1, x2, y2 = parent.data["subject"]["box"]
    assert (found[4]["result"]["width"], found[4]["result"]["height"]) == (x2 - x1, y2 - y1)
    assert found[3]["result"]["content_type"] == "application/zip"


def test_a_preset_that_cannot_be_met_fails_with_its_reason(client: Client, sample: bytes) -> None:
    job = client.wait(client.submit(sample, box=BOX, output={"preset": "amazon"}))
    report = job.data["compliance"]
    assert (report["passed"], report["upscale_required"]) == (False, True)
    assert [check["name"] for check in report["checks"] if not check["passed"]] == ["fill"]
    assert any(text.startswith("upscale_required") for text in job.data["warnings"])
    larger = {"preset": "amazon", "upscale": True}
    job = client.wait(client.submit(render=job.id, output=larger))
    assert job.data["compliance"]["passed"] is True
    picture = pixels(client.download(job))
    assert picture.shape == (1000, 1000, 3)
    assert (picture[:20] == 255).all()


def test_metadata_is_kept_only_on_request(client: Client, sample: bytes) -> None:
    image, file = Image.open(io.BytesIO(sample)).convert("RGB"), io.BytesIO()
    exif = image.getexif()
    exif[0x010F], exif[0x0112] = "Kamera", 3
    image.save(file, "JPEG", exif=exif)
    parent = client.wait(client.submit(file.getvalue()))
    assert not Image.open(io.BytesIO(client.download(parent))).getexif()
    child = client.wait(client.submit(render=parent.id, output={"keep_metadata": True}))
    assert dict(Image.open(io.BytesIO(client.download(child))).getexif()) == {0x010F: "Kamera"}
