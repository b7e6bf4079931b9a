"""Compare image decoders and encoders, for the choices in `shared/images`.

    python -m tests.bench.codecs [--photo FILE] [--runs N] [--json OUT]

Each row is the median of several runs. The rows take turns, so that other load on the machine
affects all of them; ratios are against the first row of the same table.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.arrays import UInt8Array
from shared.images.decode import decode
from shared.images.encode import encode
from shared.schema import OutputFormat
from tests import material

PIXELS = 2_250_000
A_PHOTO = material.folder("data", "photos", "truck.jpg")


@dataclass(frozen=True)
class Row:
    """One codec's figures in a table."""

    table: str
    name: str
    milliseconds: float
    size: int
    speed_up: float
    relative_size: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photo", type=Path, default=A_PHOTO, help="synthetic if missing")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", type=Path, dest="out")
    given = parser.parse_args()

    photo = load_photo(given.photo)
    cutout = cut(photo)
    height, width = photo.shape[:2]
    print(f"{width}×{height}, {width * height / 1e6:.2f} megapixels, {given.runs} runs\n")
    rows = [
        *compare("decode JPEG", jpeg_decoders(photo), given.runs),
        *compare("encode PNG cutout", png_encoders(cutout), given.runs),
        *compare("encode PNG mask", png_encoders(cutout[..., 3]), given.runs),
        *compare("encode WebP cutout", webp_encoders(cutout), given.runs),
        *compare("encode WebP mask", webp_mask_encoders(cutout[..., 3]), given.runs),
        *compare("encode JPEG", jpeg_encoders(photo), given.runs),
    ]
    if given.out is not None:
        given.out.write_text(json.dumps([asdict(row) for row in rows], indent=1))


def load_photo(path: Path) -> UInt8Array:
    """A photo of about `PIXELS` pixels, (H, W, 3); synthetic if the file is missing."""
    if path.exists():
        photo = decode(path.read_bytes()).rgb
    else:
        noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
        photo = np.asarray(cv2.resize(noise, (900, 600), interpolation=cv2.INTER_CUBIC), np.uint8)
    scale = (PIXELS / (photo.shape[0] * photo.shape[1])) ** 0.5
    size = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def cut(photo: UInt8Array) -> UInt8Array:
    """A cutout, (H, W, 4): an ellipse of a third of the photo with a soft, ragged edge; hidden
    pixels are zero."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = np.arctan2(y - height / 2, x - width / 2)
    ragged = 1 + 0.04 * np.sin(37 * angle) + 0.02 * np.sin(211 * angle)
    reach = np.hypot((x - width / 2) / (0.33 * width), (y - height / 2) / (0.33 * height))
    alpha = np.clip((ragged - reach) * 60 + 0.5, 0, 1) * 255
    alpha8 = alpha.round().astype(np.uint8)
    return np.dstack([photo * (alpha8 > 0)[..., None], alpha8]).astype(np.uint8)


Work = Callable[[], Any]


def jpeg_decoders(photo: UInt8Array) -> dict[str, Work]:
    data = by_pillow(photo, "JPEG", quality=92, subsampling=2)()
    buffer = np.frombuffer(data, np.uint8)
    ways: dict[str, Work] = {
        "Pillow": lambda: np.asarray(Image.open(io.BytesIO(data))),
        "OpenCV": lambda: cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB),
        "shared.images.decode": lambda: decode(data).rgb,
    }
    try:
        # Imported by name, because it is not a dependency and has no types.
        simplejpeg = importlib.import_module("simplejpeg")
    except ImportError:
        return ways
    return ways | {
        "simplejpeg": lambda: simplejpeg.decode_jpeg(data),
        "simplejpeg, fast": lambda: simplejpeg.decode_jpeg(data, fastdct=True, fastupsample=True),
    }


def png_encoders(image: UInt8Array) -> dict[str, Work]:
    strategies = {
        "default": cv2.IMWRITE_PNG_STRATEGY_DEFAULT,
        "RLE": cv2.IMWRITE_PNG_STRATEGY_RLE,
        "filtered": cv2.IMWRITE_PNG_STRATEGY_FILTERED,
        "Huffman": cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
    }
    # OpenCV before 4.12 has no filter option.
    filters: dict[str, int] = (
        {}
        if not hasattr(cv2, "IMWRITE_PNG_FILTER")
        else {
            "no filter": cv2.IMWRITE_PNG_FILTER_NONE,
            "sub": cv2.IMWRITE_PNG_FILTER_SUB,
            "up": cv2.IMWRITE_PNG_FILTER_UP,
            "all filters": cv2.IMWRITE_PNG_ALL_FILTERS,
        }
    )
    ways: dict[str, Work] = {
        "Pillow level 6": by_pillow(image, "PNG", compress_level=6),
        "Pillow level 1": by_pillow(image, "PNG", compress_level=1),
    }
    for level in (1, 3):
        for name, strategy in strategies.items():
            settings = [cv2.IMWRITE_PNG_COMPRESSION, level, cv2.IMWRITE_PNG_STRATEGY, strategy]
            ways[f"OpenCV level {level} {name}"] = by_opencv(image, ".png", *settings)
    for name, chosen in filters.items():
        for kind in ("RLE", "default"):
            settings = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, strategies[kind]]
            settings += [cv2.IMWRITE_PNG_FILTER, chosen]
            ways[f"OpenCV level 1 {kind}, {name}"] = by_opencv(image, ".png", *settings)
    return ways | {"shared.images.encode": lambda: encode(image, OutputFormat.PNG)}


def webp_encoders(cutout: UInt8Array) -> dict[str, Work]:
    ways: dict[str, Work] = {"Pillow level 6 (PNG)": by_pillow(cutout, "PNG", compress_level=6)}
    for quality in (80, 90, 95):
        for method in (0, 2, 4):
            ways[f"Pillow quality {quality} method {method}"] = by_pillow(
                cutout, "WEBP", quality=quality, method=method
            )
        ways[f"OpenCV quality {quality}"] = by_opencv(
            cutout, ".webp", cv2.IMWRITE_WEBP_QUALITY, quality
        )
    for method in (0, 2):
        ways[f"Pillow lossless method {method}"] = by_pillow(
            cutout, "WEBP", lossless=True, quality=20, method=method
        )
    return ways | {"shared.images.encode": lambda: encode(cutout, OutputFormat.WEBP)}


def webp_mask_encoders(mask: UInt8Array) -> dict[str, Work]:
    return {
        "Pillow level 6 (PNG)": by_pillow(mask, "PNG", compress_level=6),
        "Pillow quality 90 method 2": by_pillow(mask, "WEBP", quality=90, method=2),
        **{
            f"Pillow lossless method {method}": by_pillow(
                mask, "WEBP", lossless=True, quality=20, method=method
            )
            for method in (0, 1, 2, 4)
        },
        "shared.images.encode": lambda: encode(mask, OutputFormat.WEBP),
    }


def jpeg_encoders(photo: UInt8Array) -> dict[str, Work]:
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
    return {
        "Pillow 92, 4:4:4": by_pillow(photo, "JPEG", quality=92, subsampling=0),
        "OpenCV 92, 4:4:4": by_opencv(photo, ".jpg", *quality, *sampling),
        "OpenCV 92, 4:2:0": by_opencv(photo, ".jpg", *quality),
        "OpenCV 92, 4:4:4, optimized": by_opencv(
            photo, ".jpg", *quality, *sampling, cv2.IMWRITE_JPEG_OPTIMIZE, 1
        ),
        "shared.images.encode": lambda: encode(photo, OutputFormat.JPEG),
    }


def by_pillow(image: UInt8Array, image_format: str, **options: Any) -> Work:
    opened = Image.fromarray(image)

    def work() -> bytes:
        target = io.BytesIO()
        opened.save(target, image_format, **options)
        return target.getvalue()

    return work


def by_opencv(image: UInt8Array, suffix: str, *settings: int) -> Work:
    def work() -> bytes:
        swapped = image if image.ndim == 2 else cv2.cvtColor(image, swap[image.shape[2]])
        done, data = cv2.imencode(suffix, swapped, settings)
        return bytes(data.tobytes()) if done else b""

    swap = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    return work


def compare(table: str, ways: dict[str, Work], runs: int) -> list[Row]:
    """Time each way, print its table, and return its rows."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    sizes = {name: size_of(work()) for name, work in ways.items()}
    for _ in range(runs):
        for name, work in ways.items():
            start = time.perf_counter()
            work()
            took[name].append(1000 * (time.perf_counter() - start))
    median = {name: statistics.median(times) for name, times in took.items()}
    first = next(iter(ways))
    rows = [
        Row(table, name, median[name], sizes[name], median[first] / median[name],
            sizes[name] / sizes[first])
        for name in ways
    ]  # fmt: skip
    print(f"{table:34} {'ms':>8} {'× speed':>8} {'kB':>8} {'× size':>8}")
    for row in rows:
        print(
            f"  {row.name:32} {row.milliseconds:8.1f} {row.speed_up:8.2f}"
            f" {row.size / 1000:8.0f} {row.relative_size:8.2f}"
        )
    print()
    return rows


def size_of(result: bytes | NDArray[np.uint8]) -> int:
    return len(result) if isinstance(result, bytes) else result.nbytes


if __name__ == "__main__":
    main()
