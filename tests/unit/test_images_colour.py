from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image, ImageCms

from shared.images.decode import decode
from tests.unit.test_images_samples import (
    DISPLAY_P3,
    HEIGHT,
    SRGB,
    SWAPPED,
    WIDTH,
    Array,
    chunk,
    exif,
    file,
    gray_profile,
    in_srgb,
    ink_profile,
    png,
    ramp,
    rgb_profile,
    scene,
    shown,
    srgb_curve,
    tiff,
)

CARRIERS = ("jpeg", "png", "webp", "avif", "tiff")
STANDARD = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def distance(found: Array, expected: Array) -> int:
    assert found.shape == expected.shape
    return int(np.abs(found.astype(int) - expected.astype(int)).max())


@pytest.mark.parametrize("image_format", CARRIERS)
def test_display_p3_becomes_srgb(image_format: str) -> None:
    photo = decode(file(scene(), image_format, icc_profile=rgb_profile(DISPLAY_P3)))
    assert np.abs(photo.rgb.astype(int) - in_srgb(scene(), DISPLAY_P3)).mean() < 1.5
    assert photo.warnings == ()


@pytest.mark.parametrize("image_format", CARRIERS)
def test_a_profile_with_red_and_green_swapped_swaps_them(image_format: str) -> None:
    photo = decode(file(scene(), image_format, icc_profile=rgb_profile(SWAPPED)))
    assert np.abs(photo.rgb.astype(int) - in_srgb(scene(), SWAPPED)).mean() < 1.5
    assert np.abs(photo.rgb.astype(int) - scene()[..., [1, 0, 2]]).mean() < 5


@pytest.mark.parametrize("image_format", ["jpeg", "png"])
def test_the_srgb_profile_changes_nothing(image_format: str) -> None:
    plain = decode(file(scene(), image_format)).rgb
    assert distance(decode(file(scene(), image_format, icc_profile=STANDARD)).rgb, plain) == 0


def test_a_profile_in_several_parts_is_joined() -> None:
    profile = rgb_profile(SWAPPED) + bytes(150_000)
    profile = len(profile).to_bytes(4) + profile[4:]
    data = file(scene(), "jpeg", icc_profile=profile)
    assert data.count(b"ICC_PROFILE\0") == 3
    assert np.abs(decode(data).rgb.astype(int) - in_srgb(scene(), SWAPPED)).mean() < 1.5


def test_a_profile_with_a_missing_part_is_a_warning() -> None:
    data = file(scene(), "jpeg", icc_profile=rgb_profile(SWAPPED) + bytes(150_000))
    photo = decode(data.replace(b"ICC_PROFILE\0\2", b"ICC_PROFILE\0\1"))
    assert distance(photo.rgb, scene()) <= 6
    assert photo.warnings == ("The colour profile was ignored: parts of the profile are missing.",)


@pytest.mark.parametrize("image_format", CARRIERS)
def test_a_broken_profile_is_a_warning(image_format: str) -> None:
    photo = decode(file(scene(), image_format, icc_profile=b"not a profile at all" * 20))
    assert distance(photo.rgb, scene()) <= 6
    assert photo.warnings == ("The colour profile was ignored: it is damaged.",)


def test_a_profile_that_cannot_be_unpacked_is_a_warning() -> None:
    broken = chunk(b"iCCP", b"name\0\0these bytes are not deflated")
    photo = decode(png((WIDTH, HEIGHT), [row.tobytes() for row in scene()], before=broken))
    assert distance(photo.rgb, scene()) == 0
    assert len(photo.warnings) == 1


def test_a_profile_for_other_pixels_is_a_warning() -> None:
    photo = decode(file(scene(), "png", icc_profile=gray_profile(1.0)))
    assert distance(photo.rgb, scene()) == 0
    assert photo.warnings == ("The colour profile was ignored: it is for GRAY pixels.",)


@pytest.mark.parametrize("image_format", ["jpeg", "png", "tiff"])
@pytest.mark.parametrize("gamma", [1.0, 1.8])
def test_a_gray_profile_is_applied(image_format: str, gamma: float) -> None:
    photo = decode(file(ramp(), image_format, icc_profile=gray_profile(gamma)))
    expected = srgb_curve((ramp() / 255) ** gamma)[..., None].repeat(3, axis=2)
    assert np.abs(photo.rgb.astype(int) - expected).mean() < 1.5
    # Near black, one level of linear light is a dozen levels of sRGB.
    assert distance(photo.rgb[ramp() > 40], expected[ramp() > 40]) <= 4


def test_an_rgb_profile_applies_its_curve_to_a_gray_image() -> None:
    photo = decode(file(ramp(), "png", icc_profile=rgb_profile(SRGB, gamma=1.0)))
    expected = srgb_curve(ramp() / 255)[..., None].repeat(3, axis=2)
    assert distance(photo.rgb, expected) <= 2


def test_a_profile_is_applied_to_a_16_bit_image() -> None:
    wide = (scene().astype("<u2") * 257).tobytes()
    tags = {258: (3, (16, 16, 16)), 262: (3, (2,)), 277: (3, (3,))}
    data = tiff((WIDTH, HEIGHT), wide, {**tags, 34675: (7, rgb_profile(DISPLAY_P3))})
    assert distance(decode(data).rgb, in_srgb(scene(), DISPLAY_P3)) <= 2


def test_a_profile_is_applied_to_a_palette() -> None:
    image = Image.fromarray(ramp() // 64, "P")
    colours = np.array([[10, 20, 30], [200, 40, 0], [0, 200, 90], [70, 0, 200]], np.uint8)
    image.putpalette(colours.tobytes())
    photo = decode(file(image, "png", icc_profile=rgb_profile(SWAPPED)))
    assert distance(photo.rgb, in_srgb(colours, SWAPPED)[ramp() // 64]) <= 2


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_a_profile_does_not_change_the_alpha(image_format: str) -> None:
    rgba = np.dstack([scene(), ramp()])
    photo = decode(file(rgba, image_format, icc_profile=rgb_profile(SWAPPED)))
    assert photo.alpha is not None
    assert distance(photo.alpha, ramp()) == 0


def test_a_photo_is_turned_and_converted() -> None:
    data = file(scene(), "png", icc_profile=rgb_profile(SWAPPED), exif=exif(6))
    assert distance(decode(data).rgb, shown(in_srgb(scene(), SWAPPED), 6)) <= 2


Corner = tuple[int, int, int, int]


def overprints() -> dict[Corner, tuple[int, int, int]]:
    """A press whose inks are unlike the naive ones: cyan prints as a dull blue, and so on."""
    inks = np.array([[40, 120, 190], [200, 60, 110], [235, 215, 60], [60, 58, 56]]) / 255
    found: dict[Corner, tuple[int, int, int]] = {}
    for c, m, y, k in itertools.product((0, 1), repeat=4):
        light = np.where(np.array([[c], [m], [y], [k]]), inks, 1.0).prod(axis=0)
        red, green, blue = (light * 255).round().astype(int).tolist()
        found[c, m, y, k] = (red, green, blue)
    return found


@pytest.mark.parametrize("image_format", ["jpeg", "tiff"])
@pytest.mark.parametrize("corner", [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0)])
def test_an_ink_profile_is_applied(image_format: str, corner: Corner) -> None:
    inks = np.tile(np.array(corner, np.uint8) * 255, (HEIGHT, WIDTH, 1))
    profile = ink_profile(overprints())
    photo = decode(file(Image.fromarray(inks, "CMYK"), image_format, icc_profile=profile))
    assert photo.warnings == ()
    assert distance(photo.rgb[5, 5], np.array(overprints()[corner])) <= 8


def test_large_images_are_converted_in_strips_without_seams() -> None:
    tall = np.repeat(scene(1200, 4), 700, axis=0)
    photo = decode(file(tall, "png", icc_profile=rgb_profile(DISPLAY_P3), compress_level=1))
    assert distance(photo.rgb, in_srgb(tall, DISPLAY_P3)) <= 2
