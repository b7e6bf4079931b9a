"""Seeds: valid files of every format and kind, which the fuzzer damages."""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image, PngImagePlugin

from tests.unit.test_images_avif import sequence, tiled
from tests.unit.test_images_damage import run_length_bmp
from tests.unit.test_images_samples import (
    DISPLAY_P3,
    HEIGHT,
    WIDTH,
    chunk,
    deep_png,
    exif,
    file,
    gray_profile,
    png,
    ramp,
    rgb_profile,
    scene,
    tiff,
)

SIZE = (WIDTH, HEIGHT)


@dataclass(frozen=True)
class Seed:
    """A valid file."""

    format: str
    kind: str
    data: bytes


@functools.cache
def seeds() -> tuple[Seed, ...]:
    """Every seed; the same bytes in every call."""
    families = {
        "jpeg": _jpeg(),
        "png": _png(),
        "webp": _webp(),
        "gif": _gif(),
        "bmp": _bmp(),
        "tiff": _tiff(),
        "avif": _avif(),
    }
    return tuple(
        Seed(image_format, kind, data)
        for image_format, kinds in families.items()
        for kind, data in kinds.items()
    )


def _frames() -> list[Image.Image]:
    return [Image.fromarray(np.roll(scene(), 5 * step, axis=1)) for step in range(3)]


def _rgba() -> Image.Image:
    return Image.fromarray(np.dstack([scene(), ramp()]))


def _palette() -> Image.Image:
    return Image.fromarray(scene()).quantize(16)


def _jpeg() -> dict[str, bytes]:
    inks = Image.fromarray(np.dstack([scene(), ramp()]), "CMYK")
    profile = rgb_profile(DISPLAY_P3)
    return {
        "baseline": file(scene(), "jpeg"),
        "progressive": file(scene(), "jpeg", progressive=True),
        "gray": file(ramp(), "jpeg"),
        "cmyk": file(inks, "jpeg"),
        "exif": file(scene(), "jpeg", exif=exif(6), comment=b"a comment"),
        "profile": file(scene(), "jpeg", icc_profile=profile + bytes(70_000)),
        "restarts": file(scene(), "jpeg", restart_marker_blocks=2, xmp=b"<x/>"),
        "two pictures": file(_frames()[0], "mpo", save_all=True, append_images=_frames()[1:]),
    }


def _png() -> dict[str, bytes]:
    rows = [row.tobytes() for row in scene()]
    deep = np.dstack([scene(), ramp()]).astype(np.uint16) * 257
    few = [np.packbits(row > 127).tobytes() for row in ramp()]
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "text" * 20, zip=True)
    level = chunk(b"tRNS", struct.pack(">H", 1))
    deep_level = chunk(b"tRNS", struct.pack(">H", deep[0, 0, 0]))
    colour = chunk(b"tRNS", struct.pack(">3H", 20, 30, 210))
    return {
        "rgb": png(SIZE, rows),
        "rgba": file(_rgba(), "png"),
        "gray": file(ramp(), "png"),
        "gray with alpha": file(_rgba().convert("LA"), "png"),
        "gray with a transparent level": file(ramp(), "png", transparency=128),
        "1-bit gray with a transparent level": png(SIZE, few, bits=1, colour=0, before=level),
        "16-bit gray": deep_png(deep[..., :1], 0),
        "16-bit gray with a transparent level": deep_png(deep[..., :1], 0, deep_level),
        "16-bit rgb": deep_png(deep[..., :3], 2),
        "16-bit rgba": deep_png(deep, 6),
        "rgb with a transparent colour": png(SIZE, rows, before=colour),
        "palette": file(_palette(), "png"),
        "palette with alpha": file(_palette(), "png", transparency=bytes(range(16))),
        "interlaced": png(SIZE, _adam7(), interlace=1),
        "profile": file(scene(), "png", icc_profile=rgb_profile(DISPLAY_P3)),
        "gray profile": file(ramp(), "png", icc_profile=gray_profile(1.8)),
        "exif": file(scene(), "png", exif=exif(8), pnginfo=text),
        "exif after the pixels": png(SIZE, rows, after=chunk(b"eXIf", exif(6)[6:])),
        "animated": file(_frames()[0], "png", save_all=True, append_images=_frames()[1:]),
    }


def _adam7() -> list[bytes]:
    """The rows of an interlaced PNG, pass by pass."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    return [
        row.tobytes()
        for x, y, right, down in [*passes, (0, 1, 1, 2)]
        for row in scene()[y::down, x::right]
    ]


def _webp() -> dict[str, bytes]:
    animation = {"save_all": True, "append_images": _frames()[1:]}
    return {
        "lossless": file(scene(), "webp"),
        "lossy": file(scene(), "webp", lossless=False),
        "lossless with alpha": file(_rgba(), "webp"),
        "lossy with alpha": file(_rgba(), "webp", lossless=False),
        "exif": file(scene(), "webp", lossless=False, exif=exif(6), xmp=b"<x/>"),
        "profile": file(scene(), "webp", icc_profile=rgb_profile(DISPLAY_P3)),
        "animated": file(_frames()[0], "webp", **animation),
        "animated with exif": file(_frames()[0], "webp", exif=exif(5), **animation),
    }


def _gif() -> dict[str, bytes]:
    return {
        "plain": file(_palette(), "gif"),
        "interlaced": file(_palette(), "gif", interlace=1),
        "transparent": file(_palette(), "gif", transparency=2, comment=b"a comment"),
        "animated": file(_frames()[0], "gif", save_all=True, append_images=_frames()[1:]),
    }


def _bmp() -> dict[str, bytes]:
    top_down = bytearray(file(scene(), "bmp"))
    top_down[22:26] = struct.pack("<l", -HEIGHT)
    pixels = scene()[::-1, :, ::-1].tobytes()
    old = b"BM" + struct.pack("<LLLLHHHH", 26 + len(pixels), 0, 26, 12, *SIZE, 1, 24) + pixels
    return {
        "24-bit": file(scene(), "bmp"),
        "32-bit": file(_rgba(), "bmp"),
        "palette": file(_palette(), "bmp"),
        "bilevel": file(Image.fromarray(ramp()).convert("1"), "bmp"),
        "from the top": bytes(top_down),
        "old header": old,
        "run lengths": run_length_bmp(),
    }


def _tiff() -> dict[str, bytes]:
    gray: dict[int, tuple[int, tuple[int, ...] | bytes]] = {258: (3, (8,)), 262: (3, (1,))}
    rgb: dict[int, tuple[int, tuple[int, ...] | bytes]]
    rgb = {258: (3, (8, 8, 8)), 262: (3, (2,)), 277: (3, (3,))}
    kinds = {
        f"{name} {title}": tiff(SIZE, pixels, tags, order=order, big=big)
        for name, order, big in (
            ("little", "<", False),
            ("big", ">", False),
            ("BigTIFF", "<", True),
        )
        for title, pixels, tags in (
            ("rgb", scene().tobytes(), {**rgb, 34675: (7, rgb_profile(DISPLAY_P3))}),
            ("turned gray", ramp().tobytes(), {**gray, 274: (3, (6,))}),
            (
                "16-bit",
                (ramp().astype(order + "u2") * 257).tobytes(),
                {**gray, 258: (3, (16,)), 262: (3, (0 if order == "<" else 1,))},
            ),
        )
    }
    animation = {"save_all": True, "append_images": _frames()[1:]}
    return kinds | {
        "lzw": file(scene(), "tiff", compression="tiff_lzw"),
        "deflate": file(_rgba(), "tiff", compression="tiff_adobe_deflate"),
        "jpeg": file(scene(), "tiff", compression="jpeg"),
        "pages": file(_frames()[0], "tiff", **animation),
        "palette": file(_palette(), "tiff"),
        "tiled": tiff(
            (16, 16),
            ramp(16, 16).tobytes(),
            {**gray, 322: (3, (16,)), 323: (3, (16,)), 324: (4, (8,))},
        ),
    }


def _avif() -> dict[str, bytes]:
    return {
        "rgb": file(scene(), "avif"),
        "gray": file(ramp(), "avif", subsampling="4:0:0"),
        "alpha": file(_rgba(), "avif"),
        "exif": file(scene(), "avif", exif=exif(6), xmp=b"<x/>"),
        "sequence": sequence(),
        "sequence with alpha": sequence("RGBA"),
        "grid": tiled(alpha=True),
    }
