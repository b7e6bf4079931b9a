"""The contract of the header parsers; `tests.fuzz` tests them with random damage."""

from __future__ import annotations

import struct
import subprocess
import sys
import time

import pytest

from shared.errors import ImageInvalid, ImageUnsupported
from shared.images import headers
from shared.images.decode import decode
from shared.images.headers import ByteSource, CutShort
from shared.images.probe import probe
from tests.unit.test_images_samples import (
    FORMATS,
    HEIGHT,
    WIDTH,
    chunk,
    file,
    png,
    ramp,
    scene,
    tiff,
)


@pytest.mark.parametrize(
    "module", ["shared.images", "shared.images.headers", "shared.images.probe", "api.app"]
)
def test_probing_loads_no_image_library(module: str) -> None:
    code = f"import sys, {module}; print({{'cv2', 'PIL', 'numpy'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_format_has_one_header_with_its_info(image_format: str) -> None:
    data = file(scene(), image_format)
    info = headers.read(ByteSource(data)).info
    assert (info.format, info.width, info.height) == (image_format, WIDTH, HEIGHT)
    assert info == probe(data)


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_parser_that_needs_more_bytes_raises_cut_short(image_format: str) -> None:
    with pytest.raises(CutShort):
        headers.read(ByteSource(file(scene(), image_format)[:14]))


def test_a_read_beyond_the_end_allocates_nothing() -> None:
    with pytest.raises(CutShort):
        ByteSource(b"abc").read(1, 1 << 60)


def test_a_jpeg_of_very_many_segments_is_invalid() -> None:
    """10 MB of segments once took 350 MB of memory."""
    data = file(scene(), "jpeg")
    bomb = data[:2] + b"\xff\xe5\0\2" * 20_000 + data[2:]
    with pytest.raises(ImageInvalid, match="10,000 segments"):
        probe(bomb)


def test_a_jpeg_of_very_many_bare_markers_is_invalid() -> None:
    data = file(scene(), "jpeg")
    with pytest.raises(ImageInvalid, match="10,000 segments"):
        probe(data[:2] + b"\xff\x01" * 20_000 + data[2:])


def test_a_jpeg_of_very_many_segments_after_its_scan_is_invalid() -> None:
    data = file(scene(), "jpeg")
    with pytest.raises(ImageInvalid, match="10,000 segments"):
        decode(data[:-2] + b"\xff\xe5\0\2" * 20_000 + data[-2:])


def test_a_jpeg_with_as_much_metadata_as_fits_an_upload_is_read() -> None:
    data = file(scene(), "jpeg")
    text = b"\xff\xe5" + struct.pack(">H", 65_535) + bytes(65_533)
    assert probe(data[:2] + text * 800 + data[2:]).width == WIDTH


def test_a_gif_of_very_many_data_blocks_is_invalid() -> None:
    data = file(ramp(), "gif")
    bomb = data[:-1] + b"!\xfe" + b"\1x" * 1_000_001 + b"\0;"
    with pytest.raises(ImageInvalid, match="data blocks"):
        probe(bomb)


@pytest.mark.parametrize("kind", [8, 9])
def test_a_tiff_with_negative_sides_is_invalid(kind: int) -> None:
    """The product of two negative sides is positive."""
    tags = {258: (3, (8,)), 262: (3, (1,))}
    data = bytearray(tiff((WIDTH, HEIGHT), ramp().tobytes(), tags))
    for tag in (256, 257):
        at = data.index(struct.pack("<HHL", tag, 4, 1))
        data[at + 2 : at + 4] = struct.pack("<H", kind)
        data[at + 8 : at + 12] = struct.pack("<l", -40)
    with pytest.raises(ImageInvalid, match="no pixels"):
        probe(bytes(data))


def test_the_directories_of_a_tiff_are_counted_without_reading_their_tags() -> None:
    """Overlapping directories of 65,535 tags each once took half a minute for 0.8 MB."""
    head = tiff((WIDTH, HEIGHT), ramp().tobytes(), {258: (3, (8,)), 262: (3, (1,))})
    first = int.from_bytes(head[4:8], "little")
    end = first + 2 + 12 * int.from_bytes(head[first : first + 2], "little")
    data = bytearray(head) + bytes(20_000 + 65_535 * 12)
    start, length = len(head), 65_535 * 12
    data[end : end + 4] = struct.pack("<L", start)
    for index in range(999):
        at = start + 20 * index
        data[at : at + 2] = b"\xff\xff"
        tail = at + 2 + length
        data[tail : tail + 4] = struct.pack("<L", at + 20)
    began = time.perf_counter()
    assert probe(bytes(data)).frames == 1000
    assert time.perf_counter() - began < 5


def test_a_png_with_two_headers_is_invalid() -> None:
    """Decoders disagree on which header counts."""
    second = chunk(b"IHDR", struct.pack(">LLBBBBB", 9, 9, 8, 2, 0, 0, 0))
    with pytest.raises(ImageInvalid, match="two headers"):
        probe(png((WIDTH, HEIGHT), [row.tobytes() for row in scene()], before=second))


@pytest.mark.parametrize("bits", [0, 3, 64])
def test_a_bmp_with_impossible_bits_is_unsupported(bits: int) -> None:
    data = bytearray(file(scene(), "bmp"))
    data[28:30] = struct.pack("<H", bits)
    with pytest.raises(ImageUnsupported, match="bits per pixel"):
        probe(bytes(data))


def test_the_avif_brand_may_come_late() -> None:
    data = file(scene(), "avif").replace(b"ftypavif", b"ftypmif1")
    whole = probe(data)
    assert whole.format == "avif"
    heads = [probe(data[:length], partial=True) for length in range(1, len(data))]
    assert heads[:19] == [None] * 19
    assert all(head is None or head.width == WIDTH for head in heads)


@pytest.mark.parametrize("tag", [258, 277])
def test_a_tiff_without_bits_or_samples_is_invalid(tag: int) -> None:
    tags = {258: (3, (8,)), 262: (3, (1,)), 277: (3, (1,)), tag: (3, (0,))}
    with pytest.raises(ImageInvalid, match="no samples"):
        probe(tiff((WIDTH, HEIGHT), ramp().tobytes(), tags))
