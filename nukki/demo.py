"""The demo: starts a stack on free ports and runs four jobs on a sample photo over HTTP."""

from __future__ import annotations

import http.server
import json
import os
import queue
import tempfile
import threading
from importlib import resources
from pathlib import Path
from typing import Any

import click

from nukki.client import Client
from nukki.job import Job
from nukki.stack import Stack
from shared import webhooks
from shared.settings import DEFAULT_TENANT

_PHOTO = "coffee.png"
#: The prompt of each job, in the photo's pixels.
_PROMPTS: dict[str, dict[str, Any]] = {
    "click": {"points": [(300, 240)]},
    "box": {"box": (70, 10, 488, 395)},
    "auto": {},
}
_PATIENCE = 60.0


class Receiver:
    """A webhook receiver on loopback; it keeps the messages whose signature is valid."""

    def __init__(self, secret: str) -> None:
        self.messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), self._handler(secret, self.messages)
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def _handler(
        secret: str, messages: queue.Queue[dict[str, Any]]
    ) -> type[http.server.BaseHTTPRequestHandler]:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                expected = webhooks.signature(
                    secret, self.headers["webhook-id"], int(self.headers["webhook-timestamp"]), body
                )
                genuine = expected in self.headers["webhook-signature"].split()
                self.send_response(204 if genuine else 401)
                self.end_headers()
                if genuine:
                    messages.put(json.loads(body))

            def log_message(self, *_: object) -> None:
                """Log nothing: the demo prints its own table."""

        return Handler


def run(output: Path) -> int:
    """Run the demo and write the PNGs to `output`; returns the exit status."""
    _forget_settings()
    photo = (resources.files("nukki") / "samples" / _PHOTO).read_bytes()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nukki-demo-") as data:
        overrides = {"NUKKI_ALLOW_NETWORKS": "127.0.0.0/8"}
        with Stack(Path(data), overrides=overrides, say=click.echo) as stack:
            receiver = Receiver(stack.secrets()[f"webhook:{DEFAULT_TENANT}"])
            try:
                rows = _jobs(Client(stack.url), photo, receiver, output)
            finally:
                receiver.close()
    click.echo()
    _print_table(rows)
    click.echo(
        "\nThe webhook's signature was valid. Everything has stopped. `make up` runs the service."
    )
    return 0 if all(row["status"] == "succeeded" for row in rows) else 1


def _forget_settings() -> None:
    """Remove this shell's settings, since the demo shows the defaults."""
    for name in list(os.environ):
        if name.startswith(("NUKKI_", "S3_")) or name == "REDIS_URL":
            del os.environ[name]


def _jobs(client: Client, photo: bytes, receiver: Receiver, output: Path) -> list[dict[str, str]]:
    rows = []
    with client:
        for name, prompt in _PROMPTS.items():
            job = client.wait(client.submit(photo, **prompt), timeout=_PATIENCE)
            rows.append(_save(client, job, name, output))
        client.submit(photo, **_PROMPTS["click"], webhook={"url": receiver.url})
        message = receiver.messages.get(timeout=_PATIENCE)
        told = client.get(message["data"]["id"])
        rows.append(_save(client, told, "click + webhook", output))
    return rows


def _save(client: Client, job: Job, name: str, output: Path) -> dict[str, str]:
    path = output / f"coffee-{name.replace(' + ', '-')}.png"
    path.write_bytes(client.download(job))
    timings = job.data["timings_ms"]
    shown = ("queued", "fetch", "decode", "encode", "segment", "compose", "store", "total")
    return {
        "job": job.id,
        "prompt": name,
        "status": job.status,
        **{stage: f"{timings[stage]:.0f}" for stage in shown},
        "review": ", ".join(job.data["subject"]["reasons"]) or "-",
        "file": str(path),
    }


def _print_table(rows: list[dict[str, str]]) -> None:
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    click.echo("  ".join(name.ljust(width) for name, width in widths.items()) + "  (times in ms)")
    for row in rows:
        click.echo("  ".join(row[name].ljust(width) for name, width in widths.items()))
