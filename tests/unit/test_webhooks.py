"""Webhook messages, checked with the specification's official package."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from shared import webhooks
from shared.errors import ConfigError
from shared.job import Job, Outcome, Result, Status
from shared.schema import JobRequest
from shared.webhooks import SecretBook

OLD, NEW = webhooks.new_secret(), webhooks.new_secret()
DONE = Outcome(
    model="grabcut",
    result=Result(content_type="image/png", width=3, height=2, bytes=9, sha256="0" * 64),
)
JOB = Job(
    id="job_0123456789abcdef01234567",
    tenant="shop",
    request=JobRequest(url="https://photos.test/1", metadata={"sku": "누끼-1", "b": 1, "a": 2}),
    input_id="inp_0123456789abcdef01234567",
    base_url="https://nukki.test",
    status=Status.SUCCEEDED,
    created_ms=1_700_000_000_000,
    finished_ms=1_700_000_001_500,
    outcome=DONE,
)


def signed(*secrets: str, age: float = 0, body: bytes = b'{"a":1}') -> dict[str, str]:
    return webhooks.headers("msg_1", int(time.time() - age), body, secrets)


def test_the_official_package_verifies_our_signature() -> None:
    body = webhooks.body("job.succeeded", JOB)
    assert Webhook(NEW).verify(body, signed(NEW, body=body)) == json.loads(body)


def test_the_official_package_signs_as_we_do() -> None:
    body = webhooks.body("job.succeeded", JOB)
    theirs = Webhook(NEW).sign("msg_1", datetime.fromtimestamp(1_700_000_000, UTC), body.decode())
    assert webhooks.signature(NEW, "msg_1", 1_700_000_000, body) == theirs


@pytest.mark.parametrize("secret", [OLD, NEW], ids=["old", "new"])
def test_either_secret_verifies_during_rotation(secret: str) -> None:
    assert Webhook(secret).verify(b'{"a":1}', signed(OLD, NEW)) == {"a": 1}


def test_another_tenants_secret_does_not_verify() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(webhooks.new_secret()).verify(b'{"a":1}', signed(OLD, NEW))


@pytest.mark.parametrize("body", [b'{"a":2}', b'{"a":1} ', b'{"a": 1}', b"{}"])
def test_a_tampered_body_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(body, signed(NEW))


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp"])
def test_a_tampered_header_is_refused(header: str) -> None:
    others = {"webhook-id": "msg_2", "webhook-timestamp": str(int(time.time()) - 1)}
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(b'{"a":1}', signed(NEW) | {header: others[header]})


def test_an_old_message_is_refused_as_a_replay() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(b'{"a":1}', signed(NEW, age=600))


def test_the_specifications_example_is_reproduced() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    signature = webhooks.signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_headers_match_the_specification() -> None:
    assert set(signed(NEW)) == {
        "Content-Type",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }
    assert signed(NEW)["Content-Type"] == "application/json"


def test_the_body_is_the_same_bytes_on_each_attempt() -> None:
    fields = JOB.to_fields() | {
        "status": "succeeded",
        "lane": "interactive",
        "created": str(JOB.created_ms),
        "finished": str(JOB.finished_ms),
        "outcome": DONE.model_dump_json(exclude_none=True),
    }
    tries = {webhooks.body("job.succeeded", Job.from_fields(JOB.id, fields)) for _ in range(3)}
    assert tries == {webhooks.body("job.succeeded", JOB)}


def test_the_body_describes_the_job() -> None:
    message = json.loads(webhooks.body("job.succeeded", JOB))
    assert message["type"] == "job.succeeded"
    assert message["timestamp"] == "2023-11-14T22:13:21.500000+00:00"
    assert message["data"]["id"] == JOB.id
    assert message["data"]["metadata"] == {"sku": "누끼-1", "b": 1, "a": 2}
    assert message["data"]["result"]["url"] == f"https://nukki.test/v1/jobs/{JOB.id}/result"


def test_a_new_secret_has_the_specified_format() -> None:
    assert NEW.startswith("whsec_")
    assert len(base64.b64decode(NEW.removeprefix("whsec_"))) == 32
    assert NEW != OLD


def test_the_secret_book_keeps_each_tenants_secrets_in_order() -> None:
    book = SecretBook([("shop", OLD), ("other", NEW), ("shop", NEW)])
    assert list(book.of("shop")) == [OLD, NEW]
    assert list(book.of("other")) == [NEW]


def test_an_unknown_tenant_has_no_secrets() -> None:
    assert list(SecretBook([("shop", OLD)]).of("other")) == []


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_c2hvcnQ=",
        "whsec_not base64 at all, and long enough to be a key",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_" + "ü" * 40,
    ],
    ids=["empty", "prefix alone", "short", "not base64", "cut short", "not ASCII"],
)
def test_a_bad_secret_is_a_config_error_without_the_secret(secret: str) -> None:
    with pytest.raises(ConfigError, match="webhook secret") as refusal:
        SecretBook([("shop", secret)])
    assert secret.removeprefix("whsec_")[:20] not in str(refusal.value) or len(secret) < 7
