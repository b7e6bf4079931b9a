"""The webhook sender, with a real Redis and real receivers on loopback."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from shared import webhooks
from shared.errors import ConfigError
from shared.job import Outcome
from shared.outbound import Outbound
from shared.queue.connection import Connection
from shared.queue.delivery_log import DeliveryRecord
from shared.records import Records
from shared.testing import MemoryStorage
from shared.webhooks import SecretBook
from tests.clock import shift
from tests.unit.test_deliveries import DOUBTFUL, Post
from tests.unit.test_queue import DONE
from tests.web import Server, answer, outbound
from worker.courier.webhook_sender import WebhookSender

OLD, NEW = webhooks.new_secret(), webhooks.new_secret()


@pytest.fixture
def post(connection: Connection) -> Post:
    return Post(connection)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


Deliver = Callable[..., DeliveryRecord]


@pytest.fixture
def deliver(post: Post) -> Deliver:
    """Make the one attempt that is due; returns the delivery's record afterwards."""

    def do(*, timeout: float = 5.0, allow: tuple[str, ...] = ("127.0.0.1/32",)) -> DeliveryRecord:
        (delivery,) = post.take()
        sender_of(post, timeout=timeout, allow=allow).deliver(delivery)
        return post.record(delivery)

    return do


def sender_of(
    post: Post,
    *,
    timeout: float = 5.0,
    allow: tuple[str, ...] = ("127.0.0.1/32",),
    secrets: tuple[tuple[str, str], ...] = (("shop", OLD), ("shop", NEW)),
) -> WebhookSender:
    return WebhookSender(
        post.deliveries,
        Records(post.jobs, MemoryStorage()),
        outbound(allow),
        SecretBook(secrets),
        schedule=(0, 0, 0),
        timeout=timeout,
    )


def received(request: bytes) -> tuple[dict[str, str], bytes]:
    """A request's headers and body."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = [line.decode().split(": ", 1) for line in head.split(b"\r\n")[1:]]
    return {name.lower(): value for name, value in lines}, body


@pytest.mark.parametrize(
    ("event", "outcome"), [("job.succeeded", DONE), ("job.needs_review", DOUBTFUL)]
)
def test_the_official_package_verifies_a_delivery(
    post: Post, server: Server, deliver: Deliver, event: str, outcome: Outcome
) -> None:
    server.scripts["/hook"] = answer(200)
    job = post.queue(server.url("/hook"), events=[event], outcome=outcome)
    assert deliver().state == "delivered"
    headers, body = received(server.asked[0])
    message = Verifier(NEW).verify(body, headers)
    assert Verifier(OLD).verify(body, headers) == message
    assert (message["type"], message["data"]["id"]) == (event, job.id)
    assert set(message) == {"type", "timestamp", "data"}
    assert len(headers["webhook-signature"].split()) == 2


def test_each_attempt_has_the_same_id_and_body_but_a_new_time(
    post: Post, server: Server, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.scripts["/hook"] = answer(500)
    post.queue(server.url("/hook"))
    for number in range(3):
        shift(post.connection, monkeypatch, number)
        record = deliver()
    assert record.state == "dead"
    tries = [received(request) for request in server.asked]
    assert len({headers["webhook-id"] for headers, _ in tries}) == 1
    assert len({body for _, body in tries}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in tries}) == 3
    for headers, body in tries:
        assert Verifier(NEW).verify(body, headers) == json.loads(body)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (200, "delivered"),
        (202, "delivered"),
        (204, "delivered"),
        (301, "pending"),
        (307, "pending"),
        (400, "pending"),
        (410, "suspended"),
        (500, "pending"),
        (503, "pending"),
    ],
)
def test_the_answer_is_logged_and_sets_the_state(
    post: Post, server: Server, deliver: Deliver, status: int, state: str
) -> None:
    server.scripts["/hook"] = answer(status, b"its words", Location=server.url("/elsewhere"))
    server.scripts["/elsewhere"] = answer(200)
    post.queue(server.url("/hook"))
    record = deliver()
    assert record.state == state
    (item,) = record.tries
    assert (item.status, item.error) == (status, None)
    assert server.connections == 1


def test_retry_after_delays_the_next_attempt(post: Post, server: Server, deliver: Deliver) -> None:
    server.scripts["/hook"] = answer(503, Retry_After="120")
    post.queue(server.url("/hook"))
    due = deliver().due_ms
    assert due is not None
    assert 118_000 < due - post.now() <= 120_000


def test_a_hanging_receiver_times_out(post: Post, server: Server, deliver: Deliver) -> None:
    server.scripts["/hook"] = lambda: iter([time.sleep(2) or b""])  # type: ignore[func-returns-value]
    post.queue(server.url("/hook"))
    record = deliver(timeout=0.3)
    assert record.state == "pending"
    (item,) = record.tries
    assert item.status is None
    assert item.error is not None
    assert "no whole answer" in item.error
    assert 250 <= item.took_ms < 1_500


def test_a_private_address_is_not_retried(post: Post, server: Server, deliver: Deliver) -> None:
    post.queue(server.url("/hook"))
    record = deliver(allow=())
    assert (record.state, server.connections) == ("dead", 0)
    assert record.tries[0].error == "Connecting to that address is not allowed."


def test_without_a_secret_nothing_is_sent_and_it_is_retried(post: Post, server: Server) -> None:
    post.queue(server.url("/hook"))
    (delivery,) = post.take()
    sender_of(post, secrets=(("other", NEW),)).deliver(delivery)
    record = post.record(delivery)
    assert (record.state, server.connections) == ("pending", 0)
    assert record.tries[0].error == "no signing secret is configured"


def test_an_unexpected_error_counts_as_a_failed_attempt(
    post: Post, deliver: Deliver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("inner words")

    monkeypatch.setattr(Outbound, "post", broken)
    post.queue()
    states = [deliver().state for _ in range(3)]
    assert states == ["pending", "pending", "dead"]
    assert "ZeroDivisionError" in caplog.text


def test_a_secret_is_never_logged(
    post: Post, server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)  # for every logger, including httpcore's
    server.scripts |= {"/200": answer(200), "/500": answer(500, b"no"), "/410": answer(410)}
    sender = sender_of(post)
    for url in (*map(server.url, server.scripts), server.url("/404"), "http://10.0.0.1/"):
        post.queue(url)
    for delivery in post.take():
        sender.deliver(delivery)

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("inner words")

    monkeypatch.setattr(Outbound, "post", broken)
    post.queue(tenant="other")
    for delivery in post.take():
        sender.deliver(delivery)
    said = [repr(post.log.page("shop", limit=100)), repr(sender), repr(SecretBook([("shop", NEW)]))]
    for bad in (NEW[:-8], NEW + "=", NEW[:20], NEW.replace("whsec_", "")):
        try:
            SecretBook([("shop", bad)])
        except ConfigError as error:
            said += [str(error), repr(error)]
    assert len(said) > 3
    for told in ("delivered on try 1", "suspended on try 1", "dead on try 1", "ZeroDivisionError"):
        assert told in caplog.text
    text = "\n".join([*said, caplog.text])
    for secret in (OLD, NEW):
        key = secret.removeprefix("whsec_")
        for form in (key[:16], base64.b64decode(key).hex()[:16], repr(base64.b64decode(key))[2:14]):
            assert form not in text
