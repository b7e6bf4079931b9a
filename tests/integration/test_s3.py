"""The whole path of a job with S3 as its storage."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from nukki import Client
from nukki.stack import Stack
from tests.integration.conftest import pixels, running

BUCKET = f"nukki-{uuid.uuid4().hex[:12]}"
BOX = (115, 15, 520, 375)

#: The stack, and a function that counts the objects in its bucket.
S3Stack = tuple[Stack, Callable[[], int]]


@pytest.fixture(scope="module", params=["moto", "real"])
def s3_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3Stack]:
    """A stack that stores images in S3: moto, and a real server if the environment names one."""
    moto = None
    if request.param == "moto":
        moto = ThreadedMotoServer("127.0.0.1", 0)
        moto.start()
        host, port = moto.get_host_and_port()
        settings = (f"http://{host}:{port}", "key", "secret")
    else:
        endpoint = os.environ.get("NUKKI_TEST_S3_ENDPOINT")
        if endpoint is None:
            pytest.skip("NUKKI_TEST_S3_ENDPOINT names no real S3 server")
        settings = (
            endpoint,
            os.environ["NUKKI_TEST_S3_ACCESS_KEY"],
            os.environ["NUKKI_TEST_S3_SECRET_KEY"],
        )
    client = boto3.client(
        "s3",
        endpoint_url=settings[0],
        aws_access_key_id=settings[1],
        aws_secret_access_key=settings[2],
        region_name=os.environ.get("NUKKI_TEST_S3_REGION", "us-east-1"),
    )
    client.create_bucket(Bucket=BUCKET)
    with running(
        tmp_path_factory.mktemp("s3"),
        S3_BUCKET=BUCKET,
        S3_ENDPOINT=settings[0],
        S3_ACCESS_KEY=settings[1],
        S3_SECRET_KEY=settings[2],
    ) as stack:
        yield stack, partial(_count, client)
        for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=item["Key"])
        client.delete_bucket(Bucket=BUCKET)
    client.close()
    if moto is not None:
        moto.stop()


def _count(client: Any) -> int:
    """The objects in the bucket, without the tombstones of erased jobs."""
    found = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return sum(not item["Key"].startswith("~erased/") for item in found)


def test_a_cutout_is_fetched_by_a_presigned_url(s3_stack: S3Stack, sample: bytes) -> None:
    url = s3_stack[0].url
    with Client(url) as client:
        job = client.wait(client.submit(sample, box=BOX))
        answer = httpx.get(f"{url}/v1/jobs/{job.id}/result", timeout=10)
        assert answer.status_code == 303
        assert BUCKET in answer.headers["Location"]
        assert pixels(client.download(job)).shape == (400, 600, 4)
        assert pixels(client.download_mask(job)).shape == (400, 600)


def test_an_upload_goes_straight_to_the_bucket(s3_stack: S3Stack, sample: bytes) -> None:
    with Client(s3_stack[0].url) as client:
        job = client.wait(client.submit(upload=client.upload(sample), box=BOX))
        assert pixels(client.download(job)).shape == (400, 600, 4)


def test_erasing_every_job_empties_the_bucket(s3_stack: S3Stack, sample: bytes) -> None:
    stack, count = s3_stack
    with Client(stack.url) as client:
        client.wait(client.submit(sample, box=BOX))
        assert count() >= 3  # photo, result, alpha
        for job in client.jobs():
            client.delete(job)
    assert count() == 0
