"""The client: submit, wait, download."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from nukki.answers import content_of, job_of
from nukki.errors import ConnectionFailed, JobFailed, WaitTimeout
from nukki.job import Job
from nukki.retries import RetryingSender

Image = str | Path | bytes | BinaryIO
Point = tuple[float, float]

#: Seconds of one long poll; a longer wait is several polls.
_POLL = 30.0


class Client(AbstractContextManager["Client"]):
    """Talks to a Nukki server. Safe to share between threads.

    Args:
        base_url: the server's URL.
        api_key: your API key, if the server requires one.
        timeout: seconds without an answer after which a call fails; time spent waiting for a job
            is added to it.
        retries: how often to repeat a call that got no answer or 503. Submitting is safe to
            repeat: each submit carries an idempotency key.
        patience: seconds to keep repeating a call that is answered 429 (queue full). These do not
            count as `retries`: a full queue is no failure, only a sign to submit more slowly.
        transport: an httpx transport, for tests and for proxies.

    Every call raises `ConnectionFailed` or an `ApiError`; see `nukki.errors`.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        api_key: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 2,
        patience: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        # As a bearer token: httpx drops that one on a redirect to the object storage.
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = timeout
        try:
            self._http = httpx.Client(
                base_url=base_url,
                headers=headers,
                timeout=timeout,
                transport=transport,
                follow_redirects=True,
            )
        except httpx.InvalidURL as error:
            raise ConnectionFailed(f"{base_url} is not a valid server URL: {error}") from error
        self._sender = RetryingSender(self._http, retries, patience)

    def submit(
        self,
        image: Image | None = None,
        *,
        url: str | None = None,
        upload: str | None = None,
        job: str | None = None,
        render: str | None = None,
        points: Sequence[Point] = (),
        labels: Sequence[int] = (),
        box: tuple[float, float, float, float] | None = None,
        mask: str | None = None,
        objects: Sequence[Mapping[str, Any]] = (),
        model: str | None = None,
        output: Mapping[str, Any] | None = None,
        webhook: Mapping[str, Any] | None = None,
        priority: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a job and return at once.

        Args:
            image: a path, the bytes, or a binary file; or give one of the next four instead.
            url: where the server fetches the photo.
            upload: the id that `upload` returned.
            job: id of an earlier job whose photo is segmented again.
            render: id of an earlier job whose alpha is reused as it is.
            points: clicks `(x, y)` in pixels of the photo as displayed.
            labels: one per point: 1 on the subject, 0 on the background; all 1 by default.
            box: `(x1, y1, x2, y2)` around the subject, in the same pixels.
            mask: id of an earlier job on the same photo whose mask is refined.
            objects: several objects `{"points": …, "box": …}` cut out together, in place of the
                four arguments above.
            model: one of `models`.
            output: the output file: `preset`, `format`, `background`, `size`, `crop` and more; see
                the server's `/docs`.
            webhook: `url` and `events`.
            priority: `interactive` or `bulk`.
            metadata: a JSON object of at most 4 KiB; it is returned with the job.
            idempotency_key: submits with the same key make one job; random by default.
        """
        prompt = {"points": list(points), "labels": list(labels), "box": box, "mask": mask}
        fields: dict[str, Any] = {
            "url": url,
            "upload": upload,
            "job": job,
            "render": render,
            "prompt": {name: value for name, value in prompt.items() if value},
            "objects": [dict(item) for item in objects],
            "model": model,
            "output": dict(output) if output else None,
            "webhook": dict(webhook) if webhook else None,
            "priority": priority,
            "metadata": dict(metadata) if metadata else None,
        }
        body = {name: value for name, value in fields.items() if value}
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        if image is None:
            answer = self._call("POST", "/v1/jobs", headers=headers, json=body)
        else:
            # Read once: a repeated call must send the same bytes.
            files = {"image": ("image", _bytes(image), "application/octet-stream")}
            data = {"job": json.dumps(body)}
            answer = self._call("POST", "/v1/jobs", headers=headers, files=files, data=data)
        return job_of(answer)

    def get(self, job_id: str, *, wait: float = 0.0) -> Job:
        """Get a job as it is now, or wait up to `wait` seconds (at most 60) for it to finish."""
        answer = self._call(
            "GET",
            f"/v1/jobs/{job_id}",
            params={"wait": wait} if wait else None,
            timeout=self._timeout + wait,
        )
        return job_of(answer)

    def wait(self, job: Job | str, *, timeout: float = 300.0) -> Job:
        """Wait until the job has succeeded, and return it.

        Raises:
            JobFailed: the job failed or was canceled.
            WaitTimeout: the job had not finished after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        found = job if isinstance(job, Job) else self.get(job)
        while not found.done:
            left = deadline - time.monotonic()
            if left <= 0:
                raise WaitTimeout(found)
            asked = time.monotonic()
            found = self.get(found.id, wait=min(_POLL, max(left, 0.1)))
            if not found.done and time.monotonic() - asked < 0.2:
                time.sleep(0.25)  # the server had no free waiting slot and answered at once
        if found.status != "succeeded":
            raise JobFailed(found)
        return found

    def download(self, job: Job | str) -> bytes:
        """Download the result file of a job that succeeded."""
        return self._call("GET", f"/v1/jobs/{_id(job)}/result").content

    def download_mask(self, job: Job | str) -> bytes:
        """Download the alpha of a job that succeeded, as an 8-bit gray PNG of the photo's size."""
        return self._call("GET", f"/v1/jobs/{_id(job)}/mask").content

    def upload(self, image: Image) -> str:
        """Upload a photo directly to storage; returns the id to pass to `submit` as `upload`."""
        content = _bytes(image)
        answer = self._call("POST", "/v1/uploads", json={"bytes": len(content)})
        ticket = content_of(answer, "id", "method", "url", "headers")
        # Without our API key: the URL is signed and may belong to another server.
        request = httpx.Request(
            ticket["method"], ticket["url"], headers=ticket["headers"], content=content
        )
        self._sender.send(request)
        return str(ticket["id"])

    def jobs(self, *, status: str | None = None) -> Iterator[Job]:
        """List the jobs of this API key, newest first."""
        cursor = None
        while True:
            params = {"status": status, "cursor": cursor}
            given = {name: value for name, value in params.items() if value}
            page = content_of(self._call("GET", "/v1/jobs", params=given), "jobs", "next")
            yield from map(Job.of, page["jobs"])
            cursor = page["next"]
            if cursor is None:
                return

    def cancel(self, job: Job | str) -> Job:
        """Stop a job; a finished job stays as it is."""
        return job_of(self._call("POST", f"/v1/jobs/{_id(job)}/cancel"))

    def delete(self, job: Job | str) -> None:
        """Stop a job and erase it, its photo and its files."""
        self._call("DELETE", f"/v1/jobs/{_id(job)}")

    def models(self) -> list[str]:
        """List the models that ready workers serve."""
        served = content_of(self._call("GET", "/v1/models"), "models")
        return [model["name"] for model in served["models"]]

    def close(self) -> None:
        self._http.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._sender.send(self._http.build_request(method, path, **options))


def _id(job: Job | str) -> str:
    return job.id if isinstance(job, Job) else job


def _bytes(image: Image) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        return Path(image).read_bytes()
    return image.read()
