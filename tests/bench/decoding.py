"""Measure what decoding in a process of its own costs, against decoding in this one.

    python -m tests.bench.decoding [--runs N] [--json OUT]

Each photo is decoded both ways in turn, so that other load on the machine affects both. The figures
are medians of the runs; `on top` is the median of the differences.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from shared.arrays import UInt8Array
from shared.images.decode import decode
from tests.bench.codecs import A_PHOTO, load_photo
from worker.decoding import Decoders

MEGAPIXELS = (0.3, 2.0, 12.0)
FORMATS = ("jpeg", "png", "webp")


@dataclass(frozen=True)
class Row:
    """One photo's figures: milliseconds of decoding it here, in a decoder, and the difference."""

    format: str
    megapixels: float
    here_ms: float
    there_ms: float
    on_top_ms: float
    ratio: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", type=Path, dest="out")
    given = parser.parse_args()
    cv2.setNumThreads(1)  # as a worker does
    decoders = Decoders(1)
    began = time.perf_counter()
    decoders.photo(encoded(np.zeros((8, 8, 3), np.uint8), "png"))
    print(f"first decoder ready after {(time.perf_counter() - began) * 1000:.0f} ms")
    photo = load_photo(A_PHOTO)
    rows = [
        measured(decoders, photo, megapixels, image_format, given.runs)
        for megapixels in MEGAPIXELS
        for image_format in FORMATS
    ]
    decoders.close()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of a decoder: {peak:.0f} MiB")
    if given.out is not None:
        given.out.write_text(json.dumps([asdict(row) for row in rows], indent=1))


def measured(
    decoders: Decoders, photo: UInt8Array, megapixels: float, image_format: str, runs: int
) -> Row:
    """Time one photo both ways, and print its row."""
    scale = (megapixels * 1e6 / (photo.shape[0] * photo.shape[1])) ** 0.5
    sized = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    data = encoded(np.asarray(sized, np.uint8), image_format)
    here, there = [], []
    for _ in range(runs):
        here.append(milliseconds(lambda: decode(data)))
        there.append(milliseconds(lambda: decoders.photo(data)))
    on_top = statistics.median(b - a for a, b in zip(here, there, strict=True))
    row = Row(
        image_format,
        megapixels,
        round(statistics.median(here), 2),
        round(statistics.median(there), 2),
        round(on_top, 2),
        round(statistics.median(there) / statistics.median(here), 3),
    )
    print(
        f"{row.format:5} {row.megapixels:5.1f} MP  here {row.here_ms:8.2f} ms"
        f"  decoder {row.there_ms:8.2f} ms  on top {row.on_top_ms:6.2f} ms  × {row.ratio:.3f}",
        flush=True,
    )
    return row


def encoded(rgb: UInt8Array, image_format: str) -> bytes:
    """A photo's file."""
    target = io.BytesIO()
    Image.fromarray(rgb).save(target, image_format, quality=92, method=0, compress_level=1)
    return target.getvalue()


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
