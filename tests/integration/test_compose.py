"""Every service of compose.yaml as a plain process here, by its own command line and settings.

No Docker engine is needed, and none is tested: the services' names become loopback ports, and an
S3 server of the tests' own stands for MinIO and its bucket's maker.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from standardwebhooks import Webhook

from nukki import Client
from nukki.redis_server import free_port
from shared import processes
from tests.compose import BASE, CPU, FILLED_IN, Tree, example, filled, merged
from tests.conftest import missing
from tests.integration.conftest import Receiver, pixels, until

BUCKET = "compose-test"
#: Our images and Redis. MinIO and `mc` are not available here.
SERVICES = ("redis", "worker", "courier", "api")


@dataclass
class Plain:
    """The services as processes; each listens on its own port of loopback."""

    services: Tree
    folder: Path
    ports: dict[str, int]
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        service = self.services[name]
        folder = self.folder / name
        folder.mkdir()
        with (self.folder / f"{name}.log").open("wb") as log:
            self.children[name] = subprocess.Popen(
                self.argv(service["command"]),
                env=self.environment(service),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def healthy(self, name: str) -> bool:
        """Whether the service's own check passes."""
        service = self.services[name]
        if name in self.children and self.children[name].poll() is not None:
            raise AssertionError((self.folder / f"{name}.log").read_text())
        kind, *check = service["healthcheck"]["test"]
        assert kind == "CMD"
        done = subprocess.run(
            self.argv(check),
            env=self.environment(service),
            cwd=self.folder,
            capture_output=True,
            timeout=20,
            check=False,
        )
        return done.returncode == 0

    def argv(self, command: list[str]) -> list[str]:
        program, *rest = [self.here(part) for part in command]
        if program == "nukki":
            return [sys.executable, "-m", "nukki", *rest]
        if program == "python":
            return [sys.executable, *rest]
        found = shutil.which(program)
        if found is None:
            missing(program)
        if program == "redis-server":
            rest += ["--bind", "127.0.0.1", "--port", str(self.ports["redis:6379"])]
        if program == "redis-cli":
            rest = ["-p", str(self.ports["redis:6379"]), *rest]
        return [str(found), *rest]

    def environment(self, service: Tree) -> dict[str, str]:
        """The container's environment, plus what Python needs to find our packages."""
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        given = service.get("environment", {})
        return kept | {name: self.here(value) for name, value in given.items()}

    def here(self, text: str) -> str:
        """Replace hosts and ports by those on this machine."""
        if text == "0.0.0.0":
            return "127.0.0.1"
        own = {place.partition(":")[2]: str(port) for place, port in self.ports.items()}
        if text in own:
            return own[text]
        hosts = "|".join(["127.0.0.1", *(place.partition(":")[0] for place in self.ports)])
        return re.sub(
            rf"\b(?:{hosts}):({'|'.join(own)})\b", lambda at: f"127.0.0.1:{own[at[1]]}", text
        )

    def stop(self) -> dict[str, int]:
        """Send SIGTERM to each, last started first; returns their exit statuses."""
        statuses = {}
        for name in reversed(list(self.children)):
            grace = self.services[name]["stop_grace_period"]
            statuses[name] = processes.stop(self.children.pop(name), float(grace.rstrip("s")))
        return statuses


@pytest.fixture
def s3() -> Iterator[dict[str, str]]:
    """The S3 server named by the environment, or else moto; with an empty bucket."""
    moto = None
    endpoint = os.environ.get("NUKKI_TEST_S3_ENDPOINT")
    keys = [os.environ.get(f"NUKKI_TEST_S3_{name}", "") for name in ("ACCESS_KEY", "SECRET_KEY")]
    if endpoint is None:
        moto = ThreadedMotoServer("127.0.0.1", 0)
        moto.start()
        host, port = moto.get_host_and_port()
        endpoint, keys = f"http://{host}:{port}", ["access", "secret-secret"]
    store = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
        region_name="us-east-1",
    )
    store.create_bucket(Bucket=BUCKET)
    yield {"endpoint": endpoint, "S3_ACCESS_KEY": keys[0], "S3_SECRET_KEY": keys[1]}
    for item in store.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        store.delete_object(Bucket=BUCKET, Key=item["Key"])
    store.delete_bucket(Bucket=BUCKET)
    store.close()
    if moto is not None:
        moto.stop()


@pytest.fixture
def plain(tmp_path: Path, s3: dict[str, str]) -> Iterator[Plain]:
    """compose.yaml with its overlay for a host without a GPU; no service is started."""
    s3_port = int(s3["endpoint"].rpartition(":")[2])
    variables: dict[str, Any] = example() | FILLED_IN | s3
    variables |= {
        "S3_BUCKET": BUCKET,
        "S3_PUBLIC_ENDPOINT": f"http://localhost:{s3_port}",
        "NUKKI_ALLOW_NETWORKS": "127.0.0.0/8",
    }
    places = ["redis:6379", "api:8000", "worker:9101", "courier:9102"]
    ports = {place: free_port() for place in places} | {"minio:9000": s3_port}
    made = Plain(filled(merged(BASE, CPU), variables)["services"], tmp_path, ports)
    yield made
    made.stop()


def test_every_services_own_command_serves_a_job(
    plain: Plain, receiver: Receiver, sample: bytes
) -> None:
    assert plain.services.keys() - set(SERVICES) == {
        *("minio", "minio-init", "minio-volume"),  # an S3 server of the tests' own
        *("worker-gpu0", "worker-gpu1", "models"),  # behind profiles
    }
    assert not [name for name in SERVICES if plain.healthy(name)]
    plain.start("redis")
    until(lambda: plain.healthy("redis"))
    for name in SERVICES[1:]:
        plain.start(name)
    for name in SERVICES[1:]:
        until(lambda name=name: plain.healthy(name), 60)  # type: ignore[misc]

    url = f"http://127.0.0.1:{plain.ports['api:8000']}"
    tenant_key = FILLED_IN["NUKKI_API_KEYS"].partition(":")[2]
    assert httpx.get(f"{url}/v1/jobs", timeout=5).status_code == 401
    with Client(url, tenant_key) as client:
        job = client.submit(sample, box=(115, 15, 520, 375), webhook={"url": receiver.url})
        done = client.wait(job, timeout=60)
        assert (done.status, done.data["model"]) == ("succeeded", "grabcut")
        assert pixels(client.download(done)).shape == (400, 600, 4)
        answer = httpx.get(
            f"{url}/v1/jobs/{job.id}/result", headers={"X-Api-Key": tenant_key}, timeout=10
        )
        s3_port = plain.ports["minio:9000"]
        assert answer.headers["Location"].startswith(f"http://localhost:{s3_port}/{BUCKET}/shop/")
    headers, body = receiver.messages.get(timeout=20)
    secret = FILLED_IN["NUKKI_WEBHOOK_SECRETS"].partition(":")[2]
    event = Webhook(secret).verify(body, headers)
    assert (event["type"], event["data"]["id"]) == ("job.succeeded", job.id)

    assert plain.stop() == dict.fromkeys(SERVICES, 0)
    logs = {name: (plain.folder / f"{name}.log").read_text() for name in SERVICES}
    assert not [name for name, text in logs.items() if re.search(r"Traceback|CRITICAL", text)]
    for variable in ("NUKKI_API_KEYS", "NUKKI_WEBHOOK_SECRETS", "REDIS_PASSWORD"):
        secret = FILLED_IN[variable].rpartition(":")[2]
        assert not [name for name, text in logs.items() if secret in text]
