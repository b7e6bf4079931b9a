"""The load generator, in its own process: keep-alive connections that post one form.

    python -m tests.bench.engine.load URL --photo FILE --requests N --connections 8

Prints JSON: the seconds of each request, of all together, and the processor seconds it cost.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, urlsplit

from tests.bench.engine.multipart import Form
from tests.bench.engine.photos import ROOT

#: The status that both routes answer.
_ACCEPTED = 202


@dataclass(frozen=True, slots=True)
class Load:
    """The result of a load."""

    seconds: float
    cpu_seconds: float
    requests: Sequence[float]

    @property
    def per_s(self) -> float:
        return len(self.requests) / self.seconds

    @property
    def cpu_share(self) -> float:
        """The generator's share of one CPU core."""
        return self.cpu_seconds / self.seconds

    @classmethod
    def run(cls, url: str, photo: Path, requests: int, connections: int) -> Self:
        """Run the generator.

        Raises:
            subprocess.CalledProcessError: a request was not accepted.
        """
        argv = [sys.executable, "-m", "tests.bench.engine.load", url, "--photo", str(photo)]
        argv += ["--requests", str(requests), "--connections", str(connections)]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            argv, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"the load generator: {done.stderr[-2000:]}")
        return cls(**json.loads(done.stdout))


class _Generator:
    def __init__(self, address: SplitResult, form: Form, requests: int) -> None:
        self._address = address
        self._form = form
        self._left = requests
        self._lock = threading.Lock()
        self.spent: list[float] = []
        self.errors: list[str] = []

    def send(self) -> None:
        """Post until enough requests are sent or one fails."""
        connection = http.client.HTTPConnection(
            str(self._address.hostname), self._address.port, timeout=60
        )
        try:
            while self._take() and not self.errors:
                begun = time.perf_counter()
                connection.request("POST", self._address.path, self._form.body, self._form.headers)
                answer = connection.getresponse()
                text = answer.read()
                self.spent.append(time.perf_counter() - begun)
                if answer.status != _ACCEPTED:
                    self.errors.append(f"{answer.status}: {text[:300]!r}")
        except (OSError, http.client.HTTPException) as error:
            self.errors.append(repr(error))
        finally:
            connection.close()

    def _take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0


def main() -> None:
    """Send the load and print its result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    options = parser.parse_args()
    form = Form.of_photo(options.photo.read_bytes(), {"priority": "bulk"})
    generator = _Generator(urlsplit(options.url), form, options.requests)
    threads = [threading.Thread(target=generator.send) for _ in range(options.connections)]
    begun, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
    if generator.errors:
        sys.exit(generator.errors[0])
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "requests": generator.spent}))


if __name__ == "__main__":
    main()
