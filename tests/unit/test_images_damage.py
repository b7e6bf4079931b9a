from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.errors import ImageError, ImageInvalid, ImageTooLarge
from shared.images.decode import decode
from shared.images.headers import memory_bound
from shared.images.probe import probe
from tests.unit.test_images_samples import (
    DISPLAY_P3,
    FORMATS,
    HEIGHT,
    WIDTH,
    chunk,
    deep_png,
    exif,
    file,
    png,
    ramp,
    rgb_profile,
    scene,
    tiff,
)

EVERY_KIND = {
    **{image_format: file(scene(), image_format) for image_format in FORMATS},
    "progressive jpeg": file(scene(), "jpeg", progressive=True, exif=exif(6)),
    "gray jpeg": file(ramp(), "jpeg"),
    "cmyk jpeg": file(Image.fromarray(np.dstack([scene(), ramp()]), "CMYK"), "jpeg"),
    "jpeg with a profile": file(scene(), "jpeg", icc_profile=rgb_profile(DISPLAY_P3)),
    "lossy webp": file(np.dstack([scene(), ramp()]), "webp", lossless=False, exif=exif(6)),
    "avif with alpha": file(np.dstack([scene(), ramp()]), "avif", exif=exif(6)),
    "16-bit png": deep_png(np.dstack([scene().astype(np.uint16) * 257, ramp()]), 6),
    "palette png": file(Image.fromarray(ramp() // 64).convert("P"), "png", transparency=2),
    "lzw tiff": file(scene(), "tiff", compression="tiff_lzw"),
    "deflate tiff": file(np.dstack([scene(), ramp()]), "tiff", compression="tiff_adobe_deflate"),
    "jpeg tiff": file(scene(), "tiff", compression="jpeg"),
}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_undamaged_sample_is_read(kind: str) -> None:
    assert sorted(decode(EVERY_KIND[kind]).rgb.shape) == sorted((HEIGHT, WIDTH, 3))


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.5, 0.7, 0.9, 0.97])
def test_a_file_cut_anywhere_is_invalid(kind: str, part: float) -> None:
    data = EVERY_KIND[kind]
    with pytest.raises(ImageInvalid):
        decode(data[: int(len(data) * part)])


# A GIF is whole without its end marker, and TIFF's deflate ends with a checksum of its own.
@pytest.mark.parametrize("kind", sorted(set(EVERY_KIND) - {"gif", "deflate tiff"}))
def test_a_file_without_its_last_bytes_is_invalid(kind: str) -> None:
    with pytest.raises(ImageInvalid):
        decode(EVERY_KIND[kind][:-2])


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("restart", [0, 3])
@pytest.mark.parametrize("levels", ["rgb", "gray"])
def test_a_jpeg_that_ends_early_with_an_end_marker_is_invalid(
    progressive: bool, restart: int, levels: str
) -> None:
    picture = scene(320, 240) if levels == "rgb" else ramp(320, 240)
    data = file(picture, "jpeg", progressive=progressive, restart_marker_blocks=restart)
    first_scan = data.index(b"\xff\xda")
    end = data.index(b"\xff\xc4", first_scan) if progressive else len(data)
    with pytest.raises(ImageInvalid, match="cut short"):
        decode(data[: first_scan + (end - first_scan) // 2] + b"\xff\xd9")


def test_a_cmyk_jpeg_that_ends_early_with_an_end_marker_is_invalid() -> None:
    data = file(Image.fromarray(np.dstack([scene(320, 240), ramp(320, 240)]), "CMYK"), "jpeg")
    with pytest.raises(ImageInvalid, match="cut short"):
        decode(data[: len(data) // 2] + b"\xff\xd9")


def test_the_end_marker_of_a_thumbnail_is_not_that_of_the_photo() -> None:
    thumbnail = file(scene(8, 8), "jpeg")
    data = file(scene(), "jpeg", exif=b"Exif\0\0" + thumbnail)
    with pytest.raises(ImageInvalid, match="cut short"):
        decode(data[:-40])


def test_the_end_marker_of_a_second_picture_is_not_that_of_the_first() -> None:
    data = file(scene(), "jpeg")
    with pytest.raises(ImageInvalid):
        decode(data[:-40] + data)


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT"])
def test_a_png_with_a_wrong_checksum_is_invalid(name: bytes) -> None:
    data = bytearray(file(scene(), "png"))
    at = data.index(name)
    length = int.from_bytes(data[at - 4 : at])
    data[at + 4 + length] ^= 1
    with pytest.raises(ImageInvalid):
        decode(bytes(data))


def test_a_png_with_too_little_data_and_good_checksums_is_invalid() -> None:
    with pytest.raises(ImageInvalid):
        decode(png((WIDTH, HEIGHT), [row.tobytes() for row in scene()[: HEIGHT // 2]]))


def test_a_16_bit_png_with_too_little_data_is_invalid() -> None:
    half = [bytes(2 * WIDTH)] * (HEIGHT // 2)
    with pytest.raises(ImageInvalid):
        decode(png((WIDTH, HEIGHT), half, bits=16, colour=0))


def test_a_run_length_bmp_is_read() -> None:
    assert decode(run_length_bmp()).rgb[:, 7, 0].tolist() == [35, 25, 15, 5]


@pytest.mark.parametrize("lost", [1, 3, 4, 9, 15])
def test_a_truncated_run_length_bmp_is_invalid(lost: int) -> None:
    with pytest.raises(ImageInvalid):
        decode(run_length_bmp()[:-lost])


def run_length_bmp() -> bytes:
    """8 × 4 gray levels, one level per row from the bottom."""
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256))
    body = b"".join(bytes([8, 10 * row + 5, 0, 0]) for row in range(4)) + b"\0\1"
    start = 54 + len(palette)
    head = b"BM" + struct.pack("<LHHL", start + len(body), 0, 0, start)
    head += struct.pack("<LllHHLLllLL", 40, 8, 4, 1, 8, 1, len(body), 0, 0, 256, 0)
    return head + palette + body


def test_a_jpeg_of_very_many_scans_is_invalid() -> None:
    data = file(scene(), "jpeg", progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(ImageInvalid, match="scans"):
        decode(data[:-2] + data[last:-2] * 200 + b"\xff\xd9")


@pytest.mark.parametrize("side", [12_000, 1 << 30])
@pytest.mark.parametrize("image_format", ["png", "gif", "bmp", "tiff", "webp", "jpeg"])
def test_a_huge_image_is_too_large_by_its_header(image_format: str, side: int) -> None:
    if image_format in {"gif", "webp", "jpeg"}:
        side = min(side, 16_383)
    with pytest.raises(ImageTooLarge):
        decode(lying(image_format, side))


def lying(image_format: str, side: int) -> bytes:
    """A tiny file whose header claims `side` × `side` pixels."""
    if image_format == "png":
        return png((side, side), [bytes(10)])
    if image_format == "tiff":
        return tiff((side, side), bytes(10), {258: (3, (8,)), 262: (3, (1,))})
    if image_format == "bmp":
        return b"BM" + bytes(8) + struct.pack("<LLllHH", 54, 40, side, side, 1, 24) + bytes(40)
    data = bytearray(file(scene(), image_format))
    if image_format == "gif":
        at = data.index(b",\0\0\0\0") + 5
        data[at : at + 4] = struct.pack("<HH", side, side)
    elif image_format == "webp":
        data[21:25] = ((side - 1) | (side - 1) << 14).to_bytes(4, "little")
    else:
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
    return bytes(data)


@pytest.mark.parametrize("image_format", ["png", "gif", "bmp", "tiff", "webp", "jpeg"])
def test_a_header_that_claims_more_pixels_than_there_are_is_invalid(image_format: str) -> None:
    with pytest.raises(ImageInvalid):
        decode(lying(image_format, 3000))


def test_an_avif_sequence_of_another_size_than_its_header_says_is_invalid() -> None:
    frames = [Image.fromarray(scene()), Image.fromarray(scene()[::-1])]
    data = bytearray(file(frames[0], "avif", save_all=True, append_images=frames[1:]))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">LL", 24, 16)
    with pytest.raises(ImageInvalid, match="another size"):
        decode(bytes(data))


def test_a_tiff_with_absurd_tiles_is_invalid() -> None:
    tags = {258: (3, (8,)), 262: (3, (1,)), 322: (4, (1 << 30,)), 323: (4, (1 << 30,))}
    with pytest.raises(ImageInvalid, match="tiles"):
        decode(tiff((WIDTH, HEIGHT), ramp().tobytes(), tags))


def test_a_tiff_whose_directory_points_to_itself_is_read() -> None:
    data = tiff((WIDTH, HEIGHT), ramp().tobytes(), {258: (3, (8,)), 262: (3, (1,))})
    at = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[at : at + 2], "little")
    end = at + 2 + 12 * count
    photo = decode(data[:end] + struct.pack("<L", at) + data[end + 4 :])
    assert photo.warnings == ()


def test_a_tiff_with_a_needed_tag_outside_the_file_is_invalid() -> None:
    tags = {258: (3, (8, 8, 8)), 262: (3, (2,)), 277: (3, (3,))}
    data = bytearray(tiff((WIDTH, HEIGHT), scene().tobytes(), tags))
    at = data.index(struct.pack("<HHL", 258, 3, 3))
    data[at + 8 : at + 12] = struct.pack("<L", 1 << 30)
    with pytest.raises(ImageInvalid):
        decode(bytes(data))


@pytest.mark.parametrize("tag", [259, 277, 278, 284])
def test_a_tiff_tag_of_too_many_values_is_invalid(tag: int) -> None:
    tags = {258: (3, (8, 8, 8)), 262: (3, (2,)), 277: (3, (3,)), 284: (3, (1,))}
    data = bytearray(tiff((WIDTH, HEIGHT), scene().tobytes(), tags))
    kind = 3 if tag in {259, 277, 284} else 4
    at = data.index(struct.pack("<HHL", tag, kind, 1))
    data[at + 4 : at + 8] = struct.pack("<L", 200)
    with pytest.raises(ImageInvalid, match="more values"):
        decode(bytes(data))


def test_a_png_profile_that_is_a_zip_bomb_is_harmless() -> None:
    bomb = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(100_000_000), 9))
    photo = decode(png((WIDTH, HEIGHT), [row.tobytes() for row in scene()], before=bomb))
    assert len(photo.warnings) == 1


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(EVERY_KIND)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    st.floats(0, 1.2),
)
def test_damaged_bytes_give_a_photo_or_an_image_error(
    kind: str, flips: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(EVERY_KIND[kind])
    for place, value in flips:
        # Half of the changes are in the header, where they have most effect.
        at = int(place * len(data)) if value % 2 else int(place * min(len(data), 120))
        data[at] = value
    damaged = bytes(data[: int(kept * len(data))])
    for read in (probe, lambda given: decode(given, max_pixels=1_000_000)):
        with contextlib.suppress(ImageError):
            read(damaged)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(EVERY_KIND)), st.binary(max_size=300))
def test_random_bytes_after_a_magic_number_give_an_image_error(kind: str, tail: bytes) -> None:
    with pytest.raises(ImageError):
        decode(EVERY_KIND[kind][:12] + tail)


# Memory, measured in a separate process.

_SIDE = (6400, 5000)
_MEASURE = """
    import sys
    from pathlib import Path
    from shared.images.decode import decode
    from shared.images.probe import probe

    def peak():
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])

    data = Path(sys.argv[1]).read_bytes()
    decode(Path(sys.argv[2]).read_bytes())  # imports, tables and threads
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    try:
        decode(data)
    except Exception as error:
        print(type(error).__name__, file=sys.stderr)
    print(peak() - before)
"""


def peak_of(data: bytes, warm_up: bytes, folder: Path) -> int:
    """Peak memory of decoding, in bytes."""
    (folder / "measured").write_bytes(data)
    (folder / "warm").write_bytes(warm_up)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_MEASURE), folder / "measured", folder / "warm"],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def large(kind: str) -> bytes:
    """A photo of 32 megapixels."""
    small = np.dstack([scene(64, 50), ramp(64, 50)])
    picture = cv2.resize(small, _SIDE, interpolation=cv2.INTER_LINEAR)
    if kind == "jpeg":
        return file(picture[..., :3], "jpeg", exif=exif(6))
    if kind == "progressive jpeg":
        profile = rgb_profile(DISPLAY_P3)
        return file(picture[..., :3], "jpeg", progressive=True, exif=exif(6), icc_profile=profile)
    if kind == "png":
        done, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    elif kind == "16-bit png":
        done, data = cv2.imencode(
            ".png", picture.astype(np.uint16) * 257, [cv2.IMWRITE_PNG_COMPRESSION, 1]
        )
    else:
        target = io.BytesIO()
        Image.fromarray(picture).save(target, "webp", quality=50, method=0)
        return target.getvalue()
    assert done
    return data.tobytes()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("kind", ["jpeg", "progressive jpeg", "png", "16-bit png", "webp"])
def test_decoding_stays_within_its_memory_bound(kind: str, tmp_path: Path) -> None:
    data = large(kind)
    bound = memory_bound(probe(data))
    peak = peak_of(data, EVERY_KIND.get(kind, EVERY_KIND["png"]), tmp_path)
    assert bound / 4 < peak < bound + 2 * len(data)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("image_format", ["png", "gif", "bmp", "tiff", "webp", "jpeg"])
def test_a_false_header_stays_within_its_memory_bound(image_format: str, tmp_path: Path) -> None:
    data = lying(image_format, 9000)
    assert peak_of(data, EVERY_KIND[image_format], tmp_path) < memory_bound(probe(data))
