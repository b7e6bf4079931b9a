from __future__ import annotations

import io
import struct
import tempfile

import pytest
from PIL import Image

from shared.errors import ImageError, ImageInvalid, ImageTooLarge, ImageUnsupported
from shared.images.headers import ImageInfo
from shared.images.probe import probe
from tests.unit.test_images_samples import (
    FORMATS,
    HEIGHT,
    WIDTH,
    chunk,
    exif,
    file,
    png,
    ramp,
    scene,
    tiff,
)

TURNABLE = ("jpeg", "png", "webp", "avif", "tiff")


@pytest.mark.parametrize("image_format", FORMATS)
def test_the_header_gives_format_and_size(image_format: str) -> None:
    info = probe(file(scene(), image_format))
    assert (info.format, info.width, info.height, info.frames) == (image_format, WIDTH, HEIGHT, 1)


@pytest.mark.parametrize("image_format", TURNABLE)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_as_displayed(image_format: str, orientation: int) -> None:
    info = probe(file(scene(), image_format, exif=exif(orientation)))
    size = (HEIGHT, WIDTH) if orientation >= 5 else (WIDTH, HEIGHT)
    assert (info.width, info.height, info.orientation) == (*size, orientation)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_undefined_orientation_counts_as_upright(orientation: int) -> None:
    assert probe(file(scene(), "jpeg", exif=exif(orientation))).orientation == 1


def test_a_damaged_exif_block_counts_as_upright() -> None:
    assert probe(file(scene(), "jpeg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")).orientation == 1


def test_a_png_orientation_after_the_pixels_is_read() -> None:
    turned = chunk(b"eXIf", exif(6).removeprefix(b"Exif\0\0"))
    rows = [row.tobytes() for row in scene()]
    assert probe(png((WIDTH, HEIGHT), rows, after=turned)).width == HEIGHT


@pytest.mark.parametrize("image_format", ["png", "webp", "tiff", "gif"])
def test_frames_are_counted(image_format: str) -> None:
    frames = [Image.fromarray(scene()[:, :, order]) for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2])]
    data = file(frames[0], image_format, save_all=True, append_images=frames[1:])
    assert probe(data).frames == 3


def test_the_frames_of_an_avif_sequence_are_not_known() -> None:
    frames = [Image.fromarray(scene()), Image.fromarray(scene()[::-1])]
    assert probe(file(frames[0], "avif", save_all=True, append_images=frames[1:])).frames is None


def test_a_first_gif_frame_may_exceed_the_screen() -> None:
    data = bytearray(file(ramp(), "gif"))
    data[6:10] = struct.pack("<HH", 5, 5)
    info = probe(bytes(data))
    assert (info.width, info.height) == (WIDTH, HEIGHT)


def test_a_top_down_bmp_has_a_positive_height() -> None:
    data = bytearray(file(scene(), "bmp"))
    data[22:26] = struct.pack("<l", -HEIGHT)
    assert probe(bytes(data)).height == HEIGHT


@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_tiff_is_read_in_either_byte_order_and_width(order: str, big: bool) -> None:
    data = tiff((WIDTH, HEIGHT), ramp().tobytes(), {258: (3, (8,))}, order=order, big=big)
    info = probe(data)
    assert (info.format, info.width, info.height) == ("tiff", WIDTH, HEIGHT)


def test_a_stream_is_left_at_its_start() -> None:
    stream = io.BytesIO(file(scene(), "png"))
    stream.seek(7)
    probe(stream)
    assert stream.tell() == 0


def test_a_stream_is_left_at_its_start_after_an_error() -> None:
    stream = io.BytesIO(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    with pytest.raises(ImageUnsupported):
        probe(stream)
    assert stream.tell() == 0


def test_a_spooled_file_is_accepted() -> None:
    with tempfile.SpooledTemporaryFile() as stream:
        stream.write(file(scene(), "jpeg"))
        assert probe(stream).width == WIDTH


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a -->\n<svg></svg>", "SVG"),
        (b"<?xml version='1.0'?><note/>", "XML"),
        (b"\n<!DOCTYPE html><title>404</title>", "HTML"),
        (b'{"error": "not found"}', "JSON"),
        (b"BMW is a maker of cars, and this is text.", "Text"),
        ("사진이 아닙니다".encode(), "Text"),
        (b"%PDF-1.7\n", "PDF"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp42isom", "video"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "WAVE"),
        (b"PK\x03\x04\x14\0\0\0\0\0\0\0", "ZIP"),
        (b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0", "ICO"),
        (bytes(range(128, 256)), "format"),
    ],
)
def test_an_unsupported_format_is_named_in_the_error(data: bytes, name: str) -> None:
    with pytest.raises(ImageUnsupported, match=name):
        probe(data)


def test_a_camera_raw_file_is_not_read_as_its_thumbnail() -> None:
    data = tiff((WIDTH, HEIGHT), ramp().tobytes(), {258: (3, (8,)), 50706: (1, (1, 4, 0, 0))})
    with pytest.raises(ImageUnsupported, match="raw"):
        probe(data)


def test_a_12_bit_jpeg_is_unsupported() -> None:
    data = bytearray(file(scene(), "jpeg"))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(ImageUnsupported, match="12 bits"):
        probe(bytes(data))


def test_an_empty_file_is_invalid() -> None:
    with pytest.raises(ImageInvalid, match="empty"):
        probe(b"")


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("length", [1, 3, 7, 11, 15, 20])
def test_a_header_cut_short_is_invalid(image_format: str, length: int) -> None:
    data = file(scene(), image_format)[:length]
    with pytest.raises(ImageInvalid):
        probe(data)


@pytest.mark.parametrize("image_format", ["png", "webp", "avif", "gif"])
def test_probing_rejects_a_file_cut_within_its_pixels(image_format: str) -> None:
    data = file(scene(), image_format)
    with pytest.raises(ImageInvalid, match="cut short"):
        probe(data[: len(data) * 2 // 3])


def test_a_png_damaged_by_a_text_transfer_is_invalid() -> None:
    with pytest.raises(ImageInvalid, match="transfer"):
        probe(file(scene(), "png").replace(b"\r\n", b"\n"))


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (0, 0)])
def test_an_image_without_pixels_is_invalid(size: tuple[int, int]) -> None:
    with pytest.raises(ImageInvalid, match="no pixels"):
        probe(png(size, []))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff\xc0\0\x11\x08\0\0\0\x10\x03\x01\x22\0\x02\x11\x01\x03\x11\x01\xff\xda\0\2",
        b"GIF89a" + bytes(7) + b"," + bytes(8) + b"\0\2\0;",
        b"BM" + bytes(12) + struct.pack("<LllHH", 40, 0, 5, 1, 24) + bytes(30),
    ],
    ids=["jpeg", "gif", "bmp"],
)
def test_a_side_of_zero_is_invalid_in_any_format(data: bytes) -> None:
    with pytest.raises(ImageInvalid, match="no pixels"):
        probe(data)


def test_too_many_pixels_are_too_large() -> None:
    with pytest.raises(ImageTooLarge, match=r"10001×10000, 100\.0 megapixels"):
        probe(png((10_001, 10_000), []))


def test_an_image_at_the_limit_is_accepted() -> None:
    assert probe(png((10_000, 10_000), [])).pixels == 100_000_000


def test_the_caller_can_set_the_limit() -> None:
    with pytest.raises(ImageTooLarge):
        probe(file(scene(), "png"), max_pixels=WIDTH * HEIGHT - 1)


@pytest.mark.parametrize("image_format", ["jpeg", "png", "webp", "avif", "bmp", "gif"])
def test_the_head_of_a_file_gives_its_size(image_format: str) -> None:
    data = file(scene(), image_format)
    info = probe(data[: len(data) * 2 // 3], partial=True)
    assert info is not None
    assert (info.width, info.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_head_that_is_too_short_gives_none(image_format: str) -> None:
    data = file(scene(), image_format)
    assert [probe(data[:length], partial=True) for length in range(1, 12)] == [None] * 11


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_head_of_a_valid_file_is_accepted(image_format: str) -> None:
    data = file(scene(), image_format, **({"exif": exif(6)} if image_format in TURNABLE else {}))
    whole = probe(data)
    for length in range(1, len(data)):
        head = probe(data[:length], partial=True)
        known = head is not None and head.orientation is not None
        assert not known or (head and (head.width, head.height)) == (whole.width, whole.height)


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_a_head_without_the_orientation_leaves_it_unknown(image_format: str) -> None:
    lossy = {"lossless": False} if image_format == "webp" else {}
    data = file(scene(), image_format, exif=exif(6), **lossy)
    info = probe(data[: 45 if image_format == "png" else 60], partial=True)
    assert info is None or info.orientation is None


def test_a_jpeg_longer_than_decoders_accept_is_too_large() -> None:
    data = bytearray(file(scene(), "jpeg"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 1, 65_501)
    with pytest.raises(ImageTooLarge, match="65500 per side"):
        probe(bytes(data))


def test_the_head_of_a_huge_image_is_too_large() -> None:
    with pytest.raises(ImageTooLarge):
        probe(png((65_000, 65_000), [])[:60], partial=True)


def test_text_is_unsupported_from_its_head() -> None:
    with pytest.raises(ImageUnsupported):
        probe(b"<html><body>", partial=True)


def test_info_is_frozen() -> None:
    info = probe(file(scene(), "png"))
    with pytest.raises(AttributeError):
        info.width = 5  # type: ignore[misc]


def test_unsupported_is_an_image_error() -> None:
    assert issubclass(ImageUnsupported, ImageError)
    assert ImageInfo("png", 2, 3).content_type == "image/png"
