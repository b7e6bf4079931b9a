"""Photos to measure with: real ones resized to a given size, every file different."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from shared.arrays import UInt8Array
from shared.images.decode import decode
from tests import material

ROOT = material.ROOT
#: Folders of photographs, else of the sample in the package.
_FOLDERS = (material.folder("data", "photos"), ROOT / "nukki" / "samples")
_QUALITY = 90
_numbers = itertools.count()


def originals() -> list[Path]:
    """The available photographs, sorted by name."""
    for folder in _FOLDERS:
        found = sorted(path for path in folder.glob("*") if path.suffix in {".jpg", ".png"})
        if found:
            return found
    raise FileNotFoundError(f"no photos in {' or '.join(map(str, _FOLDERS))}")


@cache
def pixels(megapixels: float, index: int = 0) -> UInt8Array:
    """The `index`-th photograph as (H, W, 3) of that many megapixels, 3:2 landscape."""
    found = originals()
    image = decode(found[index % len(found)].read_bytes()).rgb
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    size = (round(height * 1.5), height)
    how = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


@cache
def jpegs(megapixels: float, limit: int = 7) -> tuple[bytes, ...]:
    """Up to `limit` different photographs as JPEG files of that many megapixels."""
    return tuple(_jpeg(pixels(megapixels, index)) for index in range(min(limit, len(originals()))))


def _jpeg(image: UInt8Array) -> bytes:
    target = io.BytesIO()
    Image.fromarray(image).save(target, "JPEG", quality=_QUALITY)
    return target.getvalue()


def files(megapixels: float, count: int, limit: int = 7) -> Iterator[bytes]:
    """`count` files, all different in this run, because a worker caches photos by their digest."""
    known = itertools.cycle(jpegs(megapixels, limit))
    return (marked(next(known), f"photo {next(_numbers)}") for _ in range(count))


def marked(jpeg: bytes, comment: str) -> bytes:
    """The same picture with a comment segment behind the file's first marker (ITU-T T.81, B.2.4.5).

    Other bytes, so another digest, and not a pixel's difference in the work.
    """
    text = comment.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]
