from __future__ import annotations

import io
import struct
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from shared.errors import ImageUnsupported
from shared.images.decode import decode
from tests.unit.test_images_samples import (
    FORMATS,
    HEIGHT,
    WIDTH,
    Array,
    chunk,
    deep_png,
    exif,
    file,
    png,
    ramp,
    scene,
    shown,
    tiff,
)

LOSSLESS = ("png", "webp", "tiff", "bmp")
TURNABLE = ("jpeg", "png", "webp", "avif", "tiff")
SIZE = (WIDTH, HEIGHT)


def distance(found: Array, expected: Array) -> int:
    """Largest difference between two samples."""
    assert found.shape == expected.shape
    return int(np.abs(found.astype(int) - expected.astype(int)).max())


def gray(levels: Array) -> Array:
    return np.repeat(levels[..., None], 3, axis=2)


@pytest.mark.parametrize("image_format", LOSSLESS)
def test_lossless_colours_are_exact(image_format: str) -> None:
    assert distance(decode(file(scene(), image_format)).rgb, scene()) == 0


@pytest.mark.parametrize("image_format", ["jpeg", "avif"])
def test_lossy_colours_are_close(image_format: str) -> None:
    assert distance(decode(file(scene(), image_format)).rgb, scene()) <= 6


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_photo_without_transparency_has_no_alpha(image_format: str) -> None:
    assert decode(file(scene(), image_format)).alpha is None


@pytest.mark.parametrize("image_format", FORMATS)
def test_one_picture_gives_no_warning(image_format: str) -> None:
    assert decode(file(scene(), image_format)).warnings == ()


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_stream_is_decoded_from_its_start(image_format: str) -> None:
    stream = io.BytesIO(file(scene(), image_format))
    stream.seek(9)
    assert decode(stream).width == WIDTH


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (13, 1)])
def test_the_smallest_images_are_read(image_format: str, size: tuple[int, int]) -> None:
    photo = decode(file(np.full((size[1], size[0], 3), 200, np.uint8), image_format))
    assert (photo.width, photo.height) == size


@pytest.mark.parametrize("image_format", TURNABLE)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_photo_is_upright(image_format: str, orientation: int) -> None:
    photo = decode(file(scene(), image_format, exif=exif(orientation)))
    assert distance(photo.rgb, shown(scene(), orientation)) <= 6


@pytest.mark.parametrize("image_format", ["png", "webp", "avif", "tiff"])
@pytest.mark.parametrize("orientation", [3, 5, 6, 7, 8])
def test_the_alpha_turns_with_the_photo(image_format: str, orientation: int) -> None:
    rgba = np.dstack([scene(), ramp()])
    photo = decode(file(rgba, image_format, exif=exif(orientation)))
    assert photo.alpha is not None
    assert distance(photo.alpha, shown(ramp(), orientation)) <= 6


def test_an_orientation_in_xmp_alone_does_not_turn_the_photo() -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    assert decode(file(scene(), "jpeg", xmp=xmp)).width == WIDTH


# JPEG


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_equals_pillows_decoding(subsampling: int, progressive: bool) -> None:
    data = file(scene(99, 77), "jpeg", subsampling=subsampling, progressive=progressive, quality=80)
    assert distance(decode(data).rgb, np.asarray(Image.open(io.BytesIO(data)))) <= 1


def test_a_jpeg_kept_in_rgb_has_its_colours() -> None:
    assert distance(decode(file(scene(), "jpeg", keep_rgb=True)).rgb, scene()) <= 6


def test_a_gray_jpeg_is_gray_in_all_three_channels() -> None:
    assert distance(decode(file(ramp(), "jpeg")).rgb, gray(ramp())) <= 3


def test_a_jpeg_with_restart_markers_is_read() -> None:
    assert distance(decode(file(scene(), "jpeg", restart_marker_blocks=2)).rgb, scene()) <= 6


def test_the_first_of_two_joined_jpegs_is_read() -> None:
    pictures = [Image.fromarray(scene()), Image.fromarray(scene()[::-1])]
    data = file(pictures[0], "mpo", save_all=True, append_images=pictures[1:], quality=95)
    photo = decode(data)
    assert distance(photo.rgb, scene()) <= 12
    assert photo.warnings == ()


def test_junk_between_jpeg_segments_is_skipped() -> None:
    data = file(scene(), "jpeg")
    at = 4 + int.from_bytes(data[4:6])
    assert distance(decode(data[:at] + b"\0junk" + data[at:]).rgb, scene()) <= 6


def test_a_middle_gray_jpeg_is_not_called_truncated() -> None:
    assert (decode(file(np.full((40, 40, 3), 128, np.uint8), "jpeg")).rgb == 128).all()


def naive(inks: Array) -> Array:
    """CMYK without a profile, as browsers show it."""
    return np.asarray(((255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:]) / 255).round())


def inks() -> Array:
    return np.dstack([scene(), ramp() // 3])


def test_a_cmyk_jpeg_has_its_colours() -> None:
    data = file(Image.fromarray(inks(), "CMYK"), "jpeg")
    assert b"Adobe" in data
    assert distance(decode(data).rgb, naive(inks())) <= 8


def test_a_ycck_jpeg_has_its_colours() -> None:
    # Photoshop inverts the inks, and the standard's YCCK inverts C, M and Y once more.
    colours = Image.fromarray(inks()[..., :3]).convert("YCbCr")
    stored = np.dstack([np.asarray(colours), 255 - inks()[..., 3]])
    data = file(Image.fromarray(255 - stored, "CMYK"), "jpeg")
    at = data.index(b"Adobe") + 11
    data = data[:at] + b"\2" + data[at + 1 :]
    assert distance(decode(data).rgb, naive(inks())) <= 8


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_cmyk_jpeg_is_upright(orientation: int) -> None:
    data = file(Image.fromarray(inks(), "CMYK"), "jpeg", exif=exif(orientation))
    assert distance(decode(data).rgb, shown(naive(inks()), orientation)) <= 8


def test_a_cmyk_jpeg_with_damaged_metadata_is_read() -> None:
    data = file(Image.fromarray(inks(), "CMYK"), "jpeg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    assert decode(data).width == WIDTH


# PNG


def sixteen(channels: int) -> Array:
    """(H, W, C) 16-bit samples that use the low byte too."""
    return np.random.default_rng(channels).integers(0, 65536, (HEIGHT, WIDTH, channels), np.uint16)


def eight(samples: Array) -> Array:
    return (samples.astype(float) / 257).round().astype(np.uint8)


def test_a_16_bit_gray_png_is_scaled() -> None:
    photo = decode(deep_png(sixteen(1), 0))
    assert distance(photo.rgb, gray(eight(sixteen(1))[..., 0])) == 0


def test_a_16_bit_rgb_png_is_scaled() -> None:
    assert distance(decode(deep_png(sixteen(3), 2)).rgb, eight(sixteen(3))) == 0


def test_a_16_bit_rgba_png_is_scaled_with_its_alpha() -> None:
    photo = decode(deep_png(sixteen(4), 6))
    assert photo.alpha is not None
    assert distance(np.dstack([photo.rgb, photo.alpha]), eight(sixteen(4))) == 0


def test_a_16_bit_gray_png_with_alpha_is_scaled() -> None:
    photo = decode(deep_png(sixteen(2), 4))
    assert photo.alpha is not None
    assert distance(photo.rgb, gray(eight(sixteen(2))[..., 0])) == 0
    assert distance(photo.alpha, eight(sixteen(2))[..., 1]) == 0


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3)])
def test_the_transparent_colour_of_a_16_bit_png_is_compared_in_16_bits(
    colour: int, channels: int
) -> None:
    samples = np.full((2, 2, channels), 0x1234, np.uint16)
    samples[0, 0] = 0x1235
    key = chunk(b"tRNS", struct.pack(f">{channels}H", *[0x1234] * channels))
    photo = decode(deep_png(samples, colour, key))
    assert photo.alpha is not None
    assert photo.alpha.tolist() == [[255, 0], [0, 0]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_gray_png_of_few_bits_reaches_white(bits: int) -> None:
    row = np.unpackbits(np.array([0b11110000], np.uint8)).tobytes()
    packed = np.packbits(np.repeat(np.frombuffer(row, np.uint8), bits)).tobytes()
    photo = decode(png((8, 1), [packed], bits=bits, colour=0))
    assert photo.rgb[0, :, 0].tolist() == [255] * 4 + [0] * 4


def test_a_bilevel_image_is_black_and_white() -> None:
    levels = (ramp() > 128).astype(np.uint8) * 255
    photo = decode(file(Image.fromarray(levels).convert("1"), "png"))
    assert distance(photo.rgb, gray(levels)) == 0


def palette_image() -> tuple[Image.Image, Array]:
    """A palette image, and its colours as (H, W, 3)."""
    image = Image.fromarray(ramp() // 64, "P")
    colours = np.array([[10, 20, 30], [200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)
    image.putpalette(colours.tobytes())
    return image, colours[ramp() // 64]


@pytest.mark.parametrize("image_format", ["png", "tiff", "bmp", "gif"])
def test_a_palette_gives_its_colours(image_format: str) -> None:
    image, colours = palette_image()
    photo = decode(file(image, image_format))
    assert distance(photo.rgb, colours) == 0
    assert photo.alpha is None


@pytest.mark.parametrize("image_format", ["png", "gif"])
def test_a_transparent_palette_entry_is_alpha(image_format: str) -> None:
    image, _ = palette_image()
    photo = decode(file(image, image_format, transparency=2))
    assert photo.alpha is not None
    assert distance(photo.alpha, np.where(ramp() // 64 == 2, 0, 255)) == 0


def test_a_palette_with_alpha_per_entry_is_read() -> None:
    image, _ = palette_image()
    photo = decode(file(image, "png", transparency=bytes([0, 80, 160, 255])))
    assert photo.alpha is not None
    assert distance(photo.alpha, np.array([0, 80, 160, 255])[ramp() // 64]) == 0


@pytest.mark.parametrize("image_format", ["png", "webp", "avif", "tiff"])
def test_alpha_is_kept(image_format: str) -> None:
    photo = decode(file(np.dstack([scene(), ramp()]), image_format))
    assert photo.alpha is not None
    assert distance(photo.alpha, ramp()) <= 3


@pytest.mark.parametrize("image_format", ["png", "webp", "avif", "tiff"])
def test_a_fully_opaque_alpha_is_dropped(image_format: str) -> None:
    opaque = np.dstack([scene(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    assert decode(file(opaque, image_format)).alpha is None


@pytest.mark.parametrize("image_format", ["png", "tiff"])
def test_gray_with_alpha_is_read(image_format: str) -> None:
    image = Image.merge("LA", [Image.fromarray(ramp()), Image.fromarray(ramp()[:, ::-1])])
    photo = decode(file(image, image_format))
    assert photo.alpha is not None
    assert distance(photo.rgb, gray(ramp())) == 0
    assert distance(photo.alpha, ramp()[:, ::-1]) == 0


def test_the_transparent_colour_of_an_rgb_png_is_alpha() -> None:
    key = chunk(b"tRNS", struct.pack(">3H", *(int(v) for v in scene()[3, 4])))
    photo = decode(png(SIZE, [row.tobytes() for row in scene()], before=key))
    assert photo.alpha is not None
    assert photo.alpha[3, 4] == 0
    assert (photo.alpha == 0).sum() == (scene() == scene()[3, 4]).all(axis=2).sum()


def test_the_transparent_level_of_a_gray_png_of_few_bits_is_alpha() -> None:
    key = chunk(b"tRNS", struct.pack(">H", 2))
    photo = decode(png((4, 1), [bytes([0b00011011])], bits=2, colour=0, before=key))
    assert photo.alpha is not None
    assert photo.alpha.tolist() == [[255, 255, 0, 255]]
    assert photo.rgb[0, :, 1].tolist() == [0, 85, 170, 255]


def test_an_interlaced_png_is_read() -> None:
    adam7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    passes = [scene()[y::down, x::right] for x, y, right, down in [*adam7, (0, 1, 1, 2)]]
    rows = [row.tobytes() for part in passes for row in part]
    assert distance(decode(png(SIZE, rows, interlace=1)).rgb, scene()) == 0


def test_a_png_with_much_text_is_read() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 5_000_000, zip=True)
    assert distance(decode(file(scene(), "png", pnginfo=text)).rgb, scene()) == 0


def test_a_png_with_a_wrong_animation_header_is_read() -> None:
    data = png(SIZE, [row.tobytes() for row in scene()], before=chunk(b"acTL", bytes(8)))
    assert distance(decode(data).rgb, scene()) == 0


# TIFF


@pytest.mark.parametrize(
    "compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"]
)
def test_a_tiff_is_read_in_every_compression(compression: str) -> None:
    assert distance(decode(file(scene(), "tiff", compression=compression)).rgb, scene()) == 0


@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_a_16_bit_gray_tiff_is_scaled(order: str, big: bool) -> None:
    samples = sixteen(1)[..., 0]
    tags = {258: (3, (16,)), 262: (3, (1,))}
    data = tiff(SIZE, samples.astype(order + "u2").tobytes(), tags, order=order, big=big)
    assert distance(decode(data).rgb, gray(eight(samples))) == 0


def test_a_16_bit_white_is_zero_tiff_is_inverted() -> None:
    samples = sixteen(1)[..., 0]
    tags = {258: (3, (16,)), 262: (3, (0,))}
    data = tiff(SIZE, samples.astype("<u2").tobytes(), tags)
    assert distance(decode(data).rgb, 255 - gray(eight(samples))) <= 1


def test_a_white_is_zero_tiff_is_inverted() -> None:
    data = tiff(SIZE, ramp().tobytes(), {258: (3, (8,)), 262: (3, (0,))})
    assert distance(decode(data).rgb, 255 - gray(ramp())) == 0


def test_a_12_bit_gray_tiff_reaches_white() -> None:
    # Two samples in three bytes: white and black.
    data = tiff((2, 1), b"\xff\xf0\x00", {258: (3, (12,)), 262: (3, (1,))})
    assert decode(data).rgb[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_16_bit_rgb_tiff_is_scaled(order: str) -> None:
    samples = sixteen(3)
    tags = {258: (3, (16, 16, 16)), 262: (3, (2,)), 277: (3, (3,))}
    data = tiff(SIZE, samples.astype(order + "u2").tobytes(), tags, order=order)
    assert distance(decode(data).rgb, eight(samples)) <= 1


def test_a_16_bit_rgb_tiff_by_opencv_is_scaled() -> None:
    samples = sixteen(3)
    done, data = cv2.imencode(".tiff", samples[..., ::-1])
    assert done
    assert distance(decode(data.tobytes()).rgb, eight(samples)) <= 1


@pytest.mark.parametrize("associated", [True, False])
def test_premultiplied_tiff_alpha_is_undone(associated: bool) -> None:
    alpha = np.maximum(ramp(), 64)
    stored = (scene() * (alpha[..., None] / 255)).round() if associated else scene()
    pixels = np.dstack([stored, alpha]).astype(np.uint8).tobytes()
    tags = {258: (3, (8,) * 4), 262: (3, (2,)), 277: (3, (4,)), 338: (3, (1 if associated else 2,))}
    photo = decode(tiff(SIZE, pixels, tags))
    assert photo.alpha is not None
    assert distance(photo.alpha, alpha) == 0
    assert distance(photo.rgb, scene()) <= (4 if associated else 0)


def test_a_cmyk_tiff_has_its_colours() -> None:
    tags = {258: (3, (8,) * 4), 262: (3, (5,)), 277: (3, (4,))}
    assert distance(decode(tiff(SIZE, inks().tobytes(), tags)).rgb, naive(inks())) <= 1


def test_a_planar_tiff_is_read() -> None:
    planes = np.ascontiguousarray(scene().transpose(2, 0, 1))
    plane = WIDTH * HEIGHT
    tags = {
        258: (3, (8, 8, 8)),
        262: (3, (2,)),
        273: (4, (8, 8 + plane, 8 + 2 * plane)),
        277: (3, (3,)),
        279: (4, (plane, plane, plane)),
        284: (3, (2,)),
    }
    assert distance(decode(tiff(SIZE, planes.tobytes(), tags)).rgb, scene()) == 0


def test_a_lab_tiff_has_its_colours() -> None:
    middle = np.tile(np.array([[137, 0, 0]], np.uint8), (WIDTH * HEIGHT, 1))
    tags = {258: (3, (8, 8, 8)), 262: (3, (8,)), 277: (3, (3,))}
    photo = decode(tiff(SIZE, middle.tobytes(), tags))
    # L* = 137 / 2.55 is a neutral of 128 in sRGB.
    assert distance(photo.rgb, np.full((HEIGHT, WIDTH, 3), 128)) <= 2


def test_a_tiff_with_a_wrong_metadata_tag_is_read() -> None:
    rgb = {258: (3, (8, 8, 8)), 262: (3, (2,)), 277: (3, (3,))}
    data = bytearray(tiff(SIZE, scene().tobytes(), {**rgb, 700: (7, b"wrong" * 4)}))
    at = data.index(struct.pack("<HHL", 700, 7, 20))
    data[at + 4 : at + 8] = struct.pack("<L", 0x7FFFFFFF)
    assert distance(decode(bytes(data)).rgb, scene()) == 0


def test_a_tiff_of_floats_is_unsupported() -> None:
    data = file(Image.fromarray(ramp().astype(np.float32)), "tiff")
    with pytest.raises(ImageUnsupported):
        decode(data)


# BMP and GIF


def test_a_top_down_bmp_is_upright() -> None:
    data = bytearray(file(scene(), "bmp"))
    data[22:26] = struct.pack("<l", -HEIGHT)
    assert distance(decode(bytes(data)).rgb, scene()[::-1]) == 0


def test_a_gif_is_transparent_outside_its_first_frame() -> None:
    image, colours = palette_image()
    data = bytearray(file(image, "gif"))
    data[6:10] = struct.pack("<HH", WIDTH + 5, HEIGHT + 3)
    photo = decode(bytes(data))
    assert photo.alpha is not None
    assert (photo.width, photo.height) == (WIDTH + 5, HEIGHT + 3)
    assert distance(photo.rgb[:HEIGHT, :WIDTH], colours) == 0
    assert (photo.alpha[:HEIGHT, :WIDTH] == 255).all()
    assert photo.alpha.sum() == 255 * WIDTH * HEIGHT


# More than one picture


@pytest.mark.parametrize("image_format", ["png", "webp", "avif", "tiff", "gif"])
def test_only_the_first_of_several_pictures_is_used_with_a_warning(image_format: str) -> None:
    frames = [np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in (40, 120, 200)]
    first, *others = [Image.fromarray(frame) for frame in frames]
    photo = decode(file(first, image_format, save_all=True, append_images=others))
    assert distance(photo.rgb, frames[0]) <= 4
    assert photo.warnings == ("The file holds 3 pictures; only the first was used.",)


# Many at once


def test_concurrent_decoding_gives_the_same_pixels() -> None:
    kinds = [
        file(scene(300, 200), "jpeg"),
        file(Image.fromarray(inks(), "CMYK"), "jpeg"),
        file(np.dstack([scene(), ramp()]), "webp"),
        file(scene(), "avif"),
        deep_png(sixteen(3), 2),
        file(scene(), "tiff", compression="tiff_lzw"),
        file(palette_image()[0], "gif"),
    ]
    alone = [decode(data).rgb for data in kinds]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: (at % 7, decode(kinds[at % 7]).rgb), range(140)))
    assert all(np.array_equal(rgb, alone[kind]) for kind, rgb in found)
