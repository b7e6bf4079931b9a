"""HTTP requests, repeated while the server is busy or does not answer."""

from __future__ import annotations

import time
from dataclasses import dataclass

import httpx

from nukki.answers import problem_of
from nukki.errors import ConnectionFailed

#: Seconds before a request is repeated: by default, and at most if the server names a time.
_PAUSE, _LONGEST_PAUSE = 0.5, 5.0


@dataclass(frozen=True, slots=True)
class RetryingSender:
    """Sends requests through `http`, and repeats those that may succeed later.

    Attributes:
        retries: how often to repeat a request that got no answer or 503.
        patience: seconds to keep repeating a request that is answered 429; these do not count as
            `retries`.
    """

    http: httpx.Client
    retries: int
    patience: float

    def send(self, request: httpx.Request) -> httpx.Response:
        """Send `request` until it succeeds; every try sends the same bytes.

        Raises:
            ConnectionFailed: no answer, or too many redirects, on the last try.
            ApiError: any other answer, or 503 or 429 for too long.
        """
        request.read()
        tries_left, deadline = self.retries, time.monotonic() + self.patience
        while True:
            try:
                response = self.http.send(request)
            except httpx.RequestError as error:  # no answer, or too many redirects
                if not tries_left:
                    raise ConnectionFailed(f"no answer from {request.url.host}: {error}") from error
                pause = _PAUSE
            else:
                if response.is_success:
                    return response
                problem = problem_of(response)
                pause = min(problem.retry_after or _PAUSE, _LONGEST_PAUSE)
                if response.status_code == 429 and time.monotonic() + pause < deadline:
                    time.sleep(pause)
                    continue
                if response.status_code != 503 or not tries_left:
                    raise problem
            tries_left -= 1
            time.sleep(pause)
