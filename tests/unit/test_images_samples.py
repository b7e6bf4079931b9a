"""Sample files of every format for the image tests, and tests of the samples."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

Array = NDArray[Any]
Primaries = tuple[tuple[float, float], ...]

WIDTH, HEIGHT = 48, 32
FORMATS = ("jpeg", "png", "webp", "avif", "tiff", "bmp", "gif")

# Of sRGB and Display P3: chromaticities of red, green and blue. Both have a D65 white.
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
SWAPPED = (SRGB[1], SRGB[0], SRGB[2])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_D65 = np.array([0.95047, 1.0, 1.08883])
D50 = np.array([0.9642, 1.0, 0.8249])


def scene(width: int = WIDTH, height: int = HEIGHT) -> Array:
    """(H, W, 3) uint8: smooth, with a different colour in each corner to show a wrong rotation."""
    x = np.linspace(0, 1, width)[None, :]
    y = np.linspace(0, 1, height)[:, None]
    red = 20 + 200 * x + 0 * y
    green = 30 + 180 * y + 0 * x
    blue = 60 + 150 * (1 - x) * (1 - y)
    return np.stack([red, green, blue], -1).round().astype(np.uint8)


def ramp(width: int = WIDTH, height: int = HEIGHT) -> Array:
    """(H, W) uint8 gradient, rising to the right and downwards from 0 to 255."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return (255 * (x + y) / (width + height - 2)).round().astype(np.uint8)


def file(image: Image.Image | Array, image_format: str, **options: Any) -> bytes:
    """The image as a file, encoded by Pillow."""
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    settings: dict[str, dict[str, Any]] = {
        "jpeg": {"quality": 95, "subsampling": 0},
        "webp": {"lossless": True, "exact": True},
        "avif": {"quality": 95, "subsampling": "4:4:4"},
    }
    target = io.BytesIO()
    image.save(target, image_format, **(settings.get(image_format, {}) | options))
    return target.getvalue()


def exif(orientation: int) -> bytes:
    """An EXIF block with this orientation."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def shown(stored: Array, orientation: int) -> Array:
    """`stored` as displayed, by the EXIF standard's positions of row 0 and column 0."""
    return {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.swapaxes(0, 1),
        6: stored.swapaxes(0, 1)[:, ::-1],
        7: stored.swapaxes(0, 1)[::-1, ::-1],
        8: stored.swapaxes(0, 1)[::-1],
    }[orientation]


def chunk(name: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def png(
    size: tuple[int, int],
    rows: list[bytes],
    *,
    bits: int = 8,
    colour: int = 2,
    interlace: int = 0,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A PNG by hand: packed `rows` without filters, extra chunks before and after the pixels."""
    header = struct.pack(">LLBBBBB", *size, bits, colour, 0, 0, interlace)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            before,
            chunk(b"IDAT", pixels),
            after,
            chunk(b"IEND", b""),
        ]
    )


def deep_png(samples: Array, colour: int, before: bytes = b"") -> bytes:
    """A PNG of (H, W, C) 16-bit samples."""
    rows = [row.astype(">u2").tobytes() for row in samples]
    return png((samples.shape[1], samples.shape[0]), rows, bits=16, colour=colour, before=before)


def tiff(
    size: tuple[int, int],
    pixels: bytes,
    tags: Mapping[int, tuple[int, tuple[int, ...] | bytes]],
    *,
    order: str = "<",
    big: bool = False,
) -> bytes:
    """A TIFF of one strip by hand; `tags` are number to (type, values)."""
    number = {1: "B", 3: "H", 4: "L", 7: "B", 16: "Q"}
    word = "Q" if big else "L"
    room = 8 if big else 4
    start = 16 if big else 8
    everything: dict[int, tuple[int, tuple[int, ...] | bytes]] = {
        256: (4, (size[0],)),
        257: (4, (size[1],)),
        259: (3, (1,)),
        273: (4, (start,)),
        278: (4, (size[1],)),
        279: (4, (len(pixels),)),
        **tags,
    }
    pixels += b"\0" * (len(pixels) % 2)
    entries, extra = [], b""
    directory_size = (8 if big else 2) + len(everything) * (20 if big else 12) + room
    for tag, (kind, values) in sorted(everything.items()):
        body = (
            values
            if isinstance(values, bytes)
            else struct.pack(f"{order}{len(values)}{number[kind]}", *values)
        )
        count = len(values)
        if len(body) > room:
            at = start + len(pixels) + directory_size + len(extra)
            extra += body + b"\0" * (len(body) % 2)
            body = struct.pack(order + word, at)
        entries.append(struct.pack(order + "HH" + word, tag, kind, count) + body.ljust(room, b"\0"))
    name = b"II" if order == "<" else b"MM"
    head = name + (
        struct.pack(order + "HHHQ", 43, 8, 0, start + len(pixels))
        if big
        else struct.pack(order + "HL", 42, start + len(pixels))
    )
    count_field = struct.pack(order + ("Q" if big else "H"), len(entries))
    return head + pixels + count_field + b"".join(entries) + bytes(room) + extra


def rgb_profile(primaries: Primaries, gamma: float = 2.2) -> bytes:
    """An ICC profile of these primaries, by hand (ICC.1:2001, matrix and one gamma)."""
    matrix = to_d50(primaries)
    curve = b"curv" + bytes(4) + struct.pack(">LH", 1, round(gamma * 256))
    tags = {b"wtpt": _xyz(D50), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    tags |= {name: _xyz(matrix[:, at]) for at, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def in_srgb(rgb: Array, primaries: Primaries, gamma: float = 2.2) -> Array:
    """Colours of these primaries converted to sRGB by formula."""
    linear = (rgb / 255) ** gamma @ to_d50(primaries).T @ np.linalg.inv(to_d50(SRGB)).T
    return srgb_curve(linear)


def gray_profile(gamma: float) -> bytes:
    """An ICC profile of gray with this gamma."""
    curve = b"curv" + bytes(4) + struct.pack(">LH", 1, round(gamma * 256))
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(D50), b"kTRC": curve})


def ink_profile(corners: dict[tuple[int, int, int, int], tuple[int, int, int]]) -> bytes:
    """An ICC profile of CMYK: the sRGB colour of each of the 16 full overprints."""
    nodes = bytearray()
    for at in range(16):
        inks = (at >> 3 & 1, at >> 2 & 1, at >> 1 & 1, at & 1)
        light, a, b = lab(corners[inks])
        nodes += bytes([round(light * 2.55), round(a + 128), round(b + 128)])
    straight = bytes(range(256))
    identity = struct.pack(">9l", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity
    table += straight * 4 + bytes(nodes) + straight * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(D50), b"A2B0": table})


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">L", 5) + b"Test\0" + bytes(79),
        b"cprt": b"text" + bytes(4) + b"None\0",
        **tags,
    }
    at = 128 + 4 + 12 * len(tags)
    table, bodies = struct.pack(">L", len(tags)), b""
    for name, body in tags.items():
        table += name + struct.pack(">LL", at + len(bodies), len(body))
        bodies += body + b"\0" * (-len(body) % 4)
    size = at + len(bodies)
    head = struct.pack(">L4sL4s4s4s", size, b"none", 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += b"".join(struct.pack(">l", round(value * 65536)) for value in D50)
    return head.ljust(128, b"\0") + table + bodies


def _xyz(values: Array) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">l", round(v * 65536)) for v in values)


def to_d50(primaries: Primaries) -> Array:
    """(3, 3): linear RGB of these primaries to XYZ, adapted from D65 to D50 by Bradford."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    matrix = columns * np.linalg.solve(columns, _D65)
    scale = np.diag((_BRADFORD @ D50) / (_BRADFORD @ _D65))
    return np.asarray(np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD @ matrix)


def srgb_curve(linear: Array) -> Array:
    """Linear light, 0–1, to 8-bit sRGB (IEC 61966-2-1)."""
    linear = np.clip(linear, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray((curved * 255).round(), np.uint8)


def lab(rgb: tuple[int, int, int]) -> tuple[float, float, float]:
    """CIELab (D50) of an 8-bit sRGB colour."""
    value = np.array(rgb) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    ratio = to_d50(SRGB) @ linear / D50
    root = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return (116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2]))


@pytest.mark.parametrize("image_format", FORMATS)
def test_pillow_opens_each_sample(image_format: str) -> None:
    with Image.open(io.BytesIO(file(scene(), image_format))) as image:
        assert (image.format or "").lower() == image_format


@pytest.mark.parametrize("primaries", [SRGB, DISPLAY_P3, SWAPPED])
def test_littlecms_reads_the_hand_made_profile_correctly(primaries: Primaries) -> None:
    transform = ImageCms.buildTransform(
        io.BytesIO(rgb_profile(primaries)), ImageCms.createProfile("sRGB"), "RGB", "RGB"
    )
    moved = ImageCms.applyTransform(Image.fromarray(scene()), transform)
    assert moved is not None
    assert np.abs(np.asarray(moved).astype(int) - in_srgb(scene(), primaries)).max() <= 2
