"""Slow but sound work never counts as a hang; a real hang still does."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from nukki import Client
from shared.schema import Output
from shared.schema.duration import allowance
from shared.schema.weight import Sizes
from tests.integration.conftest import ended, plain, running, simulation, until, worker_process

#: The side of a picture of noise whose AVIF takes longer than the deadline: seconds.
SIDE, DEADLINE = 1_600, 1.5
#: The width of a photo on which the simulated segmenter hangs.
HANGING = 333


def noise(side: int) -> bytes:
    """A PNG of four colours that no encoder likes."""
    levels = np.random.default_rng(0).integers(0, 4, (side, side), dtype=np.uint8)
    picture = Image.fromarray(levels, "L").convert("P")
    picture.putpalette([255, 0, 40, 0, 250, 90, 20, 30, 255, 240, 255, 0])
    data = io.BytesIO()
    picture.save(data, "PNG", bits=2, compress_level=1)
    return data.getvalue()


def test_a_slow_result_is_no_hang_and_a_hang_is_one(tmp_path: Path) -> None:
    settings = {
        **simulation(seconds=0.05, hang_width=HANGING),
        "STAGE_DEADLINE": str(DEADLINE),
        "LEASE": "1",
        "MAX_ATTEMPTS": "2",
    }
    with running(tmp_path, **settings) as stack, Client(stack.url) as client:
        first = worker_process(stack)
        background = {"upload": client.upload(noise(SIDE))}
        output = {"format": "avif", "size": [SIDE, SIDE], "background": background}
        slow = client.submit(plain(200), output=output)
        (done,) = until(lambda: ended(client, [slow]), 90)
        assert done.data["timings_ms"]["compose"] > 1000 * DEADLINE, "too easy for this machine"
        assert (done.status, done.data["attempts"]) == ("succeeded", 1)
        assert worker_process(stack) == first

        client.submit(plain(HANGING))
        first.wait(30)


def test_the_deadline_follows_what_takes_time() -> None:
    hundred = Sizes(100_000_000, 100_000_000)
    by_format = [allowance(Output(format=name), hundred) for name in ("png", "webp", "avif")]
    assert by_format == sorted(by_format)
    assert by_format[-1] > 4 * 190  # seconds that an AVIF of noise took on one core, at most
    assert allowance(Output(), Sizes(1_000_000, 1_000_000)) < 10
    backdrop = Sizes(1_000_000, 1_000_000, backdrop=50_000_000)
    assert allowance(Output(), backdrop) > 100
