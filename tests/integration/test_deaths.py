"""Processes that die are replaced, and their jobs are finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from nukki import Client, NotFound
from nukki.data_folder import AlreadyRunning
from nukki.stack import ServiceDied, Stack
from shared.errors import ConfigError
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from tests.integration.conftest import files_in, pixels, running, simulation, until, worker_process

SLOW = {**simulation(seconds=0.6), "LEASE": "1"}


def test_kill_9_of_a_worker_loses_nothing(tmp_path: Path, sample: bytes) -> None:
    with running(tmp_path, **SLOW) as stack, Client(stack.url) as client:
        jobs = [client.submit(sample) for _ in range(6)]
        until(lambda: client.get(jobs[0].id).status == "processing")
        worker_process(stack).kill()
        done = [client.wait(job, timeout=60) for job in jobs]
        # Any of the six may have killed it, so none is charged an attempt.
        assert {job.data["attempts"] for job in done} == {1}
        assert {pixels(client.download(job)).shape for job in done} == {(400, 600, 4)}
        results = [name for name in files_in(stack) if name.endswith("/result")]
        assert len(results) == len(jobs)  # one per job: the killed attempt left none


def test_a_stopped_worker_returns_its_job_to_the_queue(tmp_path: Path, sample: bytes) -> None:
    slow = {**SLOW, "LEASE": "30", **simulation(seconds=2), "SHUTDOWN_GRACE": "0.5"}
    with running(tmp_path, **slow) as stack, Client(stack.url) as client:
        job = client.submit(sample)
        until(lambda: client.get(job.id).status == "processing")
        worker_process(stack).terminate()  # the launcher starts another
        done = client.wait(job, timeout=30)  # long before the lease expires
        assert done.data["attempts"] == 1


def test_a_stopping_worker_finishes_jobs_within_its_grace_period(
    tmp_path: Path, sample: bytes
) -> None:
    with running(tmp_path, **SLOW) as stack, Client(stack.url) as client:
        job = client.submit(sample)
        until(lambda: client.get(job.id).status == "processing")
        first = worker_process(stack)
        first.terminate()
        assert client.wait(job, timeout=10).data["attempts"] == 1
        until(lambda: not first.is_running())


def test_queued_jobs_survive_a_restart(tmp_path: Path, sample: bytes) -> None:
    with running(tmp_path, **SLOW, SHUTDOWN_GRACE="0") as stack, Client(stack.url) as client:
        jobs = [client.submit(sample) for _ in range(8)]
    with running(tmp_path, **SLOW) as stack, Client(stack.url) as client:
        assert all(client.wait(job, timeout=60).status == "succeeded" for job in jobs)


def test_a_storage_outage_delays_a_job_without_using_an_attempt(
    tmp_path: Path, sample: bytes
) -> None:
    with running(tmp_path, **SLOW) as stack, Client(stack.url) as client:
        job = client.submit(sample)
        until(lambda: client.get(job.id).status == "processing")
        storage, aside = tmp_path / "storage", tmp_path / "aside"
        storage.rename(aside)
        until(lambda: client.get(job.id).status == "queued")  # it has tried to store
        aside.rename(storage)
        done = client.wait(job, timeout=30)
        assert done.data["attempts"] == 1
        assert pixels(client.download(done)).shape == (400, 600, 4)


def test_a_long_storage_outage_fails_the_job_with_its_reason(tmp_path: Path, sample: bytes) -> None:
    with running(tmp_path, **SLOW, STORAGE_PATIENCE="1") as stack, Client(stack.url) as client:
        job = client.submit(sample)
        until(lambda: client.get(job.id).status == "processing")
        (tmp_path / "storage").rename(tmp_path / "aside")
        failed = until(lambda: (seen := client.get(job.id)).done and seen, 30)
        assert failed.error.code == "storage_unavailable"
        (tmp_path / "aside").rename(tmp_path / "storage")


def test_a_canceled_job_is_dropped_at_its_next_stage(tmp_path: Path, sample: bytes) -> None:
    with running(tmp_path, **SLOW) as stack, Client(stack.url) as client:
        job = client.submit(sample)
        until(lambda: client.get(job.id).status == "processing")
        assert client.cancel(job).status == "canceled"
        time.sleep(1.5)
        assert client.get(job.id).status == "canceled"
        assert not [name for name in files_in(stack) if job.id in name]


def test_a_running_job_can_be_erased_with_all_its_files(tmp_path: Path, sample: bytes) -> None:
    with running(tmp_path, **SLOW) as stack, Client(stack.url) as client:
        job = client.submit(sample)
        until(lambda: client.get(job.id).status == "processing")
        client.delete(job)
        with pytest.raises(NotFound):
            client.get(job.id)
        time.sleep(2)  # by now its worker would have stored the result
        assert files_in(stack) == []


def test_a_job_expired_from_redis_is_read_and_erased_in_storage(
    tmp_path: Path, sample: bytes
) -> None:
    quick = SLOW | simulation(seconds=0)
    with running(tmp_path, **quick, RECORD_RETENTION="1") as stack, Client(stack.url) as client:
        job = client.wait(client.submit(sample))
        connection = _connect(stack)
        until(lambda: not connection.redis.exists(redis_keys.JOB.key(job.id)), 30)
        connection.close()
        assert f"default/jobs/{job.id}/job.json" in files_in(stack)
        assert client.get(job.id).data == job.data
        assert pixels(client.download(job)).shape == (400, 600, 4)
        client.delete(job)
        assert files_in(stack) == []


def _connect(stack: Stack) -> Connection:
    """Connect to the stack's own Redis."""
    return Connection(stack.redis_url)


def test_erasing_everything_leaves_nothing_behind(tmp_path: Path, sample: bytes) -> None:
    with running(tmp_path, **(SLOW | simulation(seconds=0))) as stack:
        with Client(stack.url) as client:
            done = [client.wait(client.submit(sample)) for _ in range(3)]
            for job in done:
                client.delete(job)
        connection = _connect(stack)
        left = connection.redis.keys(redis_keys.EVERY_KEY)
        connection.close()
        idempotency = set(filter(redis_keys.IDEMPOTENCY.matches, left))
        workers = set(filter(redis_keys.WORKER.matches, left)) | {redis_keys.WORKERS.key()}
        upkeep = {redis_keys.CLOCK.key(), redis_keys.WALK.key(), redis_keys.WALKER.key()}
        assert set(left) - upkeep == idempotency | workers  # both expire
        assert files_in(stack) == []


@pytest.mark.parametrize("service", ["redis", "api", "courier", "worker"])
def test_the_stack_exits_with_an_error_when_a_service_dies(tmp_path: Path, service: str) -> None:
    with running(tmp_path) as stack:
        os.kill(stack.pid(service), signal.SIGKILL)
        with pytest.raises(ServiceDied, match=service):
            until(lambda: stack.watch(0.01))


def test_a_second_stack_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        running(tmp_path),
        pytest.raises(AlreadyRunning, match=f"already running on .* \\(pid {os.getpid()}\\)"),
    ):
        Stack(tmp_path, say=lambda _line: None).start()


def test_a_folder_written_by_a_newer_redis_is_refused(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    (tmp_path / "redis" / "redis-version").write_text("99.0.0")
    with pytest.raises(ConfigError, match=r"written by Redis 99\.0\.0"):
        Stack(tmp_path, say=lambda _line: None).start()


def _up(data: Path, *options: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "nukki", "up", "--data", str(data), "--port", "0", *options]
    # Background jobs of a shell ignore Ctrl-C, and their children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    finally:
        signal.signal(signal.SIGINT, before)


def _lines_until_ready(process: subprocess.Popen[str]) -> list[str]:
    lines = []
    for line in process.stdout or ():
        lines.append(line.rstrip())
        if line.startswith("ready"):
            break
    return lines


def test_the_command_prints_one_line_per_service_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    with _up(tmp_path) as process:
        lines = _lines_until_ready(process)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    services = ["redis", "courier", "api", "worker", "ready"]
    assert [line.split()[0] for line in lines] == ["model", *services]
    assert "grabcut" in lines[0]
    assert "grabcut on cpu" in lines[4]
    assert "http://127.0.0.1:" in lines[5]
    # redis, courier, launcher and its worker, the API's master and its server, and the two that
    # decode images for the worker
    assert len(children) == 8
    assert not [child for child in children if child.is_running()]


def test_no_process_survives_kill_9_of_the_command(tmp_path: Path) -> None:
    with _up(tmp_path) as process:
        _lines_until_ready(process)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        until(lambda: not [child for child in children if child.is_running()], 30)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--model", "sam9"], "no such model: sam9"),
        (["--host", "0.0.0.0"], "set NUKKI_API_KEYS"),
    ],
)
def test_a_wrong_configuration_is_named_and_refused(
    tmp_path: Path, options: list[str], complaint: str
) -> None:
    with _up(tmp_path, *options) as process:
        output = process.communicate(timeout=30)[0]
    assert process.returncode != 0
    assert complaint in output
