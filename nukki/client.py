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

from nukki.errors import BY_STATUS, ApiError, ConnectionFailed, JobFailed, ServerError, WaitTimeout
from nukki.job import Job

Image = str | Path | bytes | BinaryIO
Point = tuple[float, float]

#: One long poll; longer waits are several.
_POLL = 30.0
#: Seconds before a call is made again, where the server names none, and at most.
_PAUSE, _LONGEST_PAUSE = 0.5, 5.0


class Client(AbstractContextManager["Client"]):
    """Talks to a Nukki server. Safe to share between threads.

    Args:
        base_url: the server's address.
        api_key: the key, where the server asks for one.
        timeout: seconds without an answer after which a call fails; waiting is counted apart.
        retries: how often a call that got no answer, or 503, is made again. Submitting is safe
            to repeat: each submit carries an idempotency key.
        patience: seconds for which a call is made again that is answered 429, the queue being
            full. That is no failure, and spends no retry: a catalog is to be submitted slower.
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
        self._retries = retries
        self._patience = patience
        try:
            self._http = httpx.Client(
                base_url=base_url,
                headers=headers,
                timeout=timeout,
                transport=transport,
                follow_redirects=True,
            )
        except httpx.InvalidURL as error:
            raise ConnectionFailed(f"{base_url} is no server's address: {error}") from error

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
            image: a path, the bytes, or a binary file; or give one of the four that follow.
            url: where the server fetches the photo.
            upload: what `upload` returned.
            job: an earlier job, whose photo is cut anew.
            render: an earlier job, whose alpha is used as it is.
            points: clicks `(x, y)` in pixels of the photo as displayed.
            labels: one a point: 1 on the subject, 0 on the background; all 1 when left out.
            box: `(x1, y1, x2, y2)` around the subject.
            mask: an earlier job on the same photo, whose mask is the start.
            objects: instead of all these, several things `{"points": …, "box": …}`, cut as one.
            model: one of `models`.
            output: the file wanted: `preset`, `format`, `background`, `size`, `crop` and more; see
                the server's `/docs`.
            webhook: `url`, `events`.
            priority: `interactive` or `bulk`.
            metadata: anything small; it comes back with the job.
            idempotency_key: made up when left out.
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
            # Read once: a call that is made again must send the same bytes.
            files = {"image": ("image", _bytes(image), "application/octet-stream")}
            data = {"job": json.dumps(body)}
            answer = self._call("POST", "/v1/jobs", headers=headers, files=files, data=data)
        return _job(answer)

    def get(self, job_id: str, *, wait: float = 0.0) -> Job:
        """Look at a job, as soon as it has ended or after `wait` seconds (at most 60)."""
        answer = self._call(
            "GET",
            f"/v1/jobs/{job_id}",
            params={"wait": wait} if wait else None,
            timeout=self._timeout + wait,
        )
        return _job(answer)

    def wait(self, job: Job | str, *, timeout: float = 300.0) -> Job:
        """The job, once it has succeeded.

        Raises:
            JobFailed: it failed, or was canceled.
            WaitTimeout: it had not ended after `timeout` seconds.
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
                time.sleep(0.25)  # no place to wait in: the server answered at once
        if found.status != "succeeded":
            raise JobFailed(found)
        return found

    def download(self, job: Job | str) -> bytes:
        """The result file of a job that succeeded."""
        return self._call("GET", f"/v1/jobs/{_id(job)}/result").content

    def download_mask(self, job: Job | str) -> bytes:
        """Its alpha, as an 8-bit gray PNG of the photo's size."""
        return self._call("GET", f"/v1/jobs/{_id(job)}/mask").content

    def upload(self, image: Image) -> str:
        """Put a photo straight into the storage; what to give `submit` as `upload`."""
        content = _bytes(image)
        answer = self._call("POST", "/v1/uploads", json={"bytes": len(content)})
        ticket = _content(answer, "id", "method", "url", "headers")
        # Without our key: the address is signed, and may be another server's.
        request = httpx.Request(
            ticket["method"], ticket["url"], headers=ticket["headers"], content=content
        )
        self._send(request)
        return str(ticket["id"])

    def jobs(self, *, status: str | None = None) -> Iterator[Job]:
        """This key's jobs, newest first."""
        cursor = None
        while True:
            params = {"status": status, "cursor": cursor}
            given = {name: value for name, value in params.items() if value}
            page = _content(self._call("GET", "/v1/jobs", params=given), "jobs", "next")
            yield from map(Job.of, page["jobs"])
            cursor = page["next"]
            if cursor is None:
                return

    def cancel(self, job: Job | str) -> Job:
        """Stop a job; one that has ended stays as it is."""
        return _job(self._call("POST", f"/v1/jobs/{_id(job)}/cancel"))

    def delete(self, job: Job | str) -> None:
        """Stop a job and erase it, its photo and its files."""
        self._call("DELETE", f"/v1/jobs/{_id(job)}")

    def models(self) -> list[str]:
        """The models served now."""
        served = _content(self._call("GET", "/v1/models"), "models")
        return [model["name"] for model in served["models"]]

    def close(self) -> None:
        self._http.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._send(self._http.build_request(method, path, **options))

    def _send(self, request: httpx.Request) -> httpx.Response:
        request.read()
        tries_left, deadline = self._retries, time.monotonic() + self._patience
        while True:
            try:
                response = self._http.send(request)
            except httpx.RequestError as error:  # no answer, or redirects without end
                if not tries_left:
                    raise ConnectionFailed(f"no answer from {request.url.host}: {error}") from error
                pause = _PAUSE
            else:
                if response.is_success:
                    return response
                problem = _problem(response)
                pause = min(problem.retry_after or _PAUSE, _LONGEST_PAUSE)
                if response.status_code == 429 and time.monotonic() + pause < deadline:
                    time.sleep(pause)
                    continue
                if response.status_code != 503 or not tries_left:
                    raise problem
            tries_left -= 1
            time.sleep(pause)


def _object(response: httpx.Response) -> dict[str, Any]:
    """The answer's JSON object; empty where it is none."""
    try:
        content = response.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _content(response: httpx.Response, *needed: str) -> dict[str, Any]:
    """The answer's JSON object, with at least these fields.

    Raises:
        ServerError: something else answers at that address.
    """
    content = _object(response)
    if any(name not in content for name in needed):
        raise ServerError(
            f"{response.url.host} is not a Nukki server",
            status=response.status_code,
            code="unknown",
        )
    return content


def _job(response: httpx.Response) -> Job:
    return Job.of(_content(response, "id", "status"))


def _problem(response: httpx.Response) -> ApiError:
    """The server's problem as an error; a proxy's page is one without details."""
    content = _object(response)
    fields = [item for item in content.get("errors", ()) if isinstance(item, dict)]
    kind = BY_STATUS.get(response.status_code, ServerError)
    retry_after = response.headers.get("Retry-After", "")
    return kind(
        content.get("detail") or f"the server answered {response.status_code}",
        status=response.status_code,
        code=content.get("code", "unknown"),
        request_id=response.headers.get("X-Request-Id", ""),
        fields=tuple((item.get("field", ""), item.get("message", "")) for item in fields),
        retry_after=float(retry_after) if retry_after.isdigit() else None,
    )


def _id(job: Job | str) -> str:
    return job.id if isinstance(job, Job) else job


def _bytes(image: Image) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        return Path(image).read_bytes()
    return image.read()
