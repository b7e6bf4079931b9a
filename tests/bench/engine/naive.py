"""The naive baseline: a Celery solo worker that processes one photo at a time.

    python -m tests.bench.engine.naive --queue NAME [--our-codecs]

Fetch, decode, call the model as the reference's predictor is called (a batch of one, the logits
resized to the photo's size and cut at 0), compose, write a PNG, store. Its device, its Redis and
its storage are the engine's; its mask's edge is not refined, and nothing is recorded.
"""

from __future__ import annotations

import argparse
import io
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from celery import Celery
from PIL import Image
from redis import Redis
from torch.nn import functional

from shared.arrays import UInt8Array
from shared.images.decode import decode
from shared.images.encode import encode
from shared.queue.address import broker_url
from shared.schema import OutputFormat, Prompt
from shared.settings import StackSettings
from shared.storage import Storage, open_storage
from tests.simulated import SimulatedSegmenter, load
from worker.segmenters import ModelOptions
from worker.segmenters.protocol import Question

TASK = "bench.naive"
#: The Redis list of the times at which photos were finished.
DONE = "bench:done:"
_BROKEN = 70


@dataclass(frozen=True, slots=True)
class Codecs:
    """A decoder and an encoder of image files."""

    decode: Callable[[bytes], UInt8Array]
    encode: Callable[[UInt8Array], bytes]


def _by_pillow(image: UInt8Array) -> bytes:
    target = io.BytesIO()
    Image.fromarray(image).save(target, "PNG", compress_level=6)
    return target.getvalue()


PILLOW = Codecs(
    decode=lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
    encode=_by_pillow,
)
OURS = Codecs(
    decode=lambda data: decode(data).rgb,
    encode=lambda image: encode(image, OutputFormat.PNG),
)


def cut(storage: Storage, segmenter: SimulatedSegmenter, codecs: Codecs, key: str) -> None:
    """Process one photo from its file to the files of its cutout and alpha."""
    rgb = codecs.decode(storage.get(key))
    [embedding] = segmenter.encode([segmenter.prepare(rgb)])
    [prediction] = segmenter.decode([Question(embedding, Prompt())])
    mask = _full_size(prediction.mask - 0.5, *rgb.shape[:2])
    alpha = mask.astype(np.uint8) * 255
    cutout = np.asarray(_composed(rgb, alpha))
    storage.put(f"{key}.result", codecs.encode(cutout), "image/png")
    storage.put(f"{key}.alpha", codecs.encode(alpha), "image/png")


def _full_size(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width) bool, as `SAM2ImagePredictor.predict` makes its masks of (h, w) logits.

    `SAM2Transforms.postprocess_masks` (bilinear), then `mask_threshold`, which is 0.
    """
    given = torch.from_numpy(np.ascontiguousarray(logits))[None, None]
    large = functional.interpolate(given, (height, width), mode="bilinear", align_corners=False)
    return (large > 0)[0, 0].numpy()


def _composed(rgb: UInt8Array, alpha: UInt8Array) -> Image.Image:
    """Compose RGBA with Pillow's paste; hidden pixels are transparent black."""
    photo = Image.fromarray(rgb).convert("RGBA")
    mask = Image.fromarray(alpha)
    photo.putalpha(mask)
    empty = Image.new("RGBA", photo.size)
    empty.paste(photo, mask=mask)
    return empty


def make_app(settings: StackSettings, queue: str) -> Celery:
    """A Celery app with default settings."""
    app = Celery("naive", broker=broker_url(settings.redis_url), set_as_current=False)
    app.conf.update(task_default_queue=queue, task_ignore_result=True)
    return app


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queue", required=True)
    parser.add_argument("--our-codecs", action="store_true")
    options = parser.parse_args()
    settings = StackSettings.load()
    storage = open_storage(settings)
    segmenter = load(ModelOptions())
    codecs = OURS if options.our_codecs else PILLOW
    app = make_app(settings, options.queue)
    redis = Redis.from_url(settings.redis_url)

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def run(key: str) -> None:
        try:
            cut(storage, segmenter, codecs, key)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(_BROKEN)  # Celery would continue, and the bench would wait forever
        redis.rpush(DONE + options.queue, time.time())

    app.worker_main(
        [
            "worker",
            "--pool=solo",
            f"--queues={options.queue}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=WARNING",
        ]
    )


if __name__ == "__main__":
    main()
