"""The benchmark's own arithmetic, files and seeding."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from shared.images.decode import decode
from shared.job import Lane, Status
from shared.queue.connection import Connection
from shared.queue.doorbell import QUEUES, Doorbell, make_celery
from shared.schema import Prompt
from shared.settings import StackSettings
from shared.testing import MemoryStorage, RedisProcess
from tests.bench.engine import naive, report
from tests.bench.engine.arithmetic import (
    Series,
    TooFew,
    Window,
    bound,
    device_rate,
    percentile,
    rate,
    slope,
    steady,
)
from tests.bench.engine.photos import files, jpegs, marked
from tests.bench.engine.seeding import Store, records, seed_bare, waiting
from tests.simulated import SimulatedSegmenter, Size
from worker.segmenters.protocol import Question


def test_a_rate_is_the_slope_of_the_count() -> None:
    assert rate([10 + 0.25 * count for count in range(40)]) == pytest.approx(4)


@pytest.mark.parametrize("cut", range(8))
def test_the_windows_start_within_a_batch_hardly_matters(cut: int) -> None:
    moments = [0.5 * (count // 8) for count in range(160)]
    assert rate(moments[cut : len(moments) - 2 * cut]) == pytest.approx(16, rel=0.015)


def test_a_rate_needs_time_to_pass() -> None:
    with pytest.raises(TooFew):
        rate([3.0])
    with pytest.raises(ZeroDivisionError):
        rate([3.0, 3.0, 3.0])


def test_ramp_up_and_tail_are_dropped() -> None:
    moments = [float(count) for count in range(100)]
    assert steady(moments[::-1], lead=0.15, trail=0.1) == moments[15:90]
    with pytest.raises(TooFew):
        steady(moments[:3], lead=0.5, trail=0.1)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)]
)
def test_percentiles_are_of_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([float(item) for item in range(100, 0, -1)], share) == expected
    assert percentile([3.0, 1.0, 2.0], 0.4) == 2


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(TooFew):
        percentile([], 0.5)


def test_the_bound_is_the_device_or_the_cpu() -> None:
    device = device_rate(8, 0.3, 0.02)
    assert device == pytest.approx(17.391, rel=1e-4)
    assert bound(device, 2, cpu_seconds=0.05) == device
    assert bound(device, 2, cpu_seconds=0.5) == 4
    assert bound(device, 2, cpu_seconds=0) == device
    assert device_rate(8, 0, 0) == math.inf


def test_a_counters_rate_is_over_its_window_alone() -> None:
    moments = [float(item) for item in range(30)]
    counter = Series(moments, [0.0] * 10 + [2.0 * (item - 10) for item in moments[10:]])
    assert counter.rate(Window(0, 9)) == 0
    assert counter.rate(Window(10, 29)) == pytest.approx(2)
    assert counter.rate(Window(15.2, 15.8)) == pytest.approx(2)  # between two samples
    assert Series(moments, moments).mean(Window(4, 6)) == 5


def test_a_line_needs_as_many_x_as_y() -> None:
    with pytest.raises(ValueError, match="2 x and 1 y"):
        slope([1, 2], [1])


def test_every_file_differs_and_the_picture_is_unchanged() -> None:
    made = [*files(0.05, 12, limit=2), *files(0.05, 8, limit=2)]  # of one round and of the next
    assert len({hashlib.sha256(data).digest() for data in made}) == 20
    assert np.array_equal(decode(made[0]).rgb, decode(jpegs(0.05, 2)[0]).rgb)
    assert decode(marked(made[1], "again")).rgb.size == pytest.approx(3 * 0.05e6, rel=0.01)


@pytest.mark.parametrize("codecs", [naive.PILLOW, naive.OURS], ids=["Pillow", "ours"])
def test_the_naive_worker_cuts_the_photo(codecs: naive.Codecs) -> None:
    storage = MemoryStorage()
    photo = jpegs(1.0, 1)[0]
    storage.put("a", photo, "image/jpeg")
    naive.cut(storage, SimulatedSegmenter(), codecs, "a")
    result, alpha = decode(storage.get("a.result")), decode(storage.get("a.alpha")).rgb[..., 0]
    height, width = alpha.shape
    assert (alpha[height // 2, width // 2], alpha[0, 0]) == (255, 0)
    assert set(np.unique(alpha)) == {0, 255}
    [found] = SimulatedSegmenter().decode([Question(Size(width, height), Prompt())])
    assert (alpha == 255).mean() == pytest.approx(found.mask.mean(), rel=0.005)
    assert result.alpha is not None
    assert np.array_equal(result.alpha, alpha)
    shown = alpha == 255
    assert np.array_equal(result.rgb[shown], codecs.decode(photo)[shown])


def test_seeded_jobs_and_messages_equal_the_apis(
    shared_redis: RedisProcess, connection: Connection, tmp_path: Path
) -> None:
    settings = StackSettings(redis_url=shared_redis.url, storage_dir=tmp_path)
    store = Store.of(settings)
    try:
        ids = seed_bare(store, 25)
        assert waiting(store) == len(set(ids)) == 25
        for job in records(store, ids):
            assert (job.status, job.lane) == (Status.QUEUED, Lane.BULK)
            assert store.jobs().input(job.input_id, job.tenant).digest is not None
        queue = QUEUES[Lane.BULK]
        seeded = connection.redis.lrange(queue, 0, -1)
        connection.redis.delete(queue)
        assert Doorbell(make_celery(settings)).ring(ids[0], Lane.BULK)
        [real] = connection.redis.lrange(queue, 0, -1)
    finally:
        store.close()
    assert sorted(_rung_for(message) for message in seeded) == sorted(ids)
    assert {len(message) for message in seeded} == {len(real)}
    assert len({json.loads(message)["headers"]["id"] for message in seeded}) == 25


def _rung_for(message: str) -> str:
    arguments, _, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
    assert repr(arguments[0]) in json.loads(message)["headers"]["argsrepr"]
    return str(arguments[0])


def test_the_table_says_what_is_met_and_what_is_not() -> None:
    summary = {
        "saturation": 0.95,
        "cpu_saturation": 0.5,
        "submit_p99_drift": -0.3,
        "redis_bytes_per_job": 2007.4,
        "device_busy": 0.2,
        "rss_drift": None,
    }
    verdicts = {line.split()[0]: line for line in report.table(summary).splitlines()[1:]}
    assert verdicts["saturation"].endswith(" met")
    assert verdicts["cpu_saturation"].endswith("MISSED")
    assert verdicts["submit_p99_drift"].endswith("MISSED")
    assert "2007 B" in verdicts["redis_bytes_per_job"]
    assert verdicts["device_busy"].split() == ["device_busy", "0.200"]
    assert verdicts["rss_drift"].endswith("not measured")
