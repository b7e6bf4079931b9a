from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from shared.errors import ImageTooLarge
from shared.images.decode import decode
from shared.images.encode import encode
from shared.schema import OutputFormat
from tests.unit.test_images_samples import HEIGHT, WIDTH, Array, ramp, scene

FORMATS = [item for item in OutputFormat if item is not OutputFormat.ZIP]
WITH_ALPHA = [OutputFormat.PNG, OutputFormat.WEBP]


def cutout() -> Array:
    """(H, W, 4): the scene in a disc with a soft edge, transparent outside."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(x - WIDTH / 2, y - HEIGHT / 2)
    alpha = (np.clip(14 - distance, 0, 1) * 255).astype(np.uint8)
    return np.dstack([scene() * (alpha > 0)[..., None], alpha]).astype(np.uint8)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("image", [ramp(), scene(), cutout()], ids=["gray", "rgb", "rgba"])
def test_png_is_lossless(image: Array) -> None:
    assert np.array_equal(np.asarray(opened(encode(image, OutputFormat.PNG))), image)


def test_png_bytes_do_not_depend_on_memory_addresses() -> None:
    """ISA-L alone gives three different files here, by memory address (intel/isa-l#140)."""
    image = np.zeros((8, 50), np.uint8)
    image[4:] = np.random.default_rng(0).integers(0, 256, (4, 50))
    files, between = set(), []
    for _ in range(14_000):
        files.add(encode(image, OutputFormat.PNG))
        between.append(np.empty(60_000, np.uint8))  # moves the next deflater in memory
    assert len(files) == 1


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 1, 3), (3, 1, 4), (1, 5000, 3), (5000, 1, 4), (1500, 1900, 4)], ids=str
)
def test_png_is_lossless_for_any_shape(shape: tuple[int, ...]) -> None:
    """From one pixel to a size at which the file is written in bands."""
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert np.array_equal(np.asarray(opened(encode(image, OutputFormat.PNG))), image)


@pytest.mark.parametrize("output", FORMATS)
def test_the_file_is_of_its_format(output: OutputFormat) -> None:
    assert (opened(encode(scene(), output)).format or "").lower() == output.value


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize("image", [ramp(), scene()], ids=["gray", "rgb"])
def test_colours_are_near_after_a_round_trip(output: OutputFormat, image: Array) -> None:
    expected = image if image.ndim == 3 else image[..., None].repeat(3, axis=2)
    found = decode(encode(image, output)).rgb
    assert np.abs(found.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("output", WITH_ALPHA)
def test_alpha_is_exact(output: OutputFormat) -> None:
    alpha = decode(encode(cutout(), output)).alpha
    assert alpha is not None
    assert np.array_equal(alpha, cutout()[..., 3])


def test_a_mask_is_exact_in_webp() -> None:
    assert np.array_equal(decode(encode(ramp(), OutputFormat.WEBP)).rgb[..., 0], ramp())


def test_one_channel_is_gray() -> None:
    assert encode(ramp()[..., None], OutputFormat.PNG) == encode(ramp(), OutputFormat.PNG)


def test_colours_are_near_under_the_alpha_of_webp() -> None:
    found = decode(encode(cutout(), OutputFormat.WEBP)).rgb
    solid = cutout()[..., 3] == 255
    assert np.abs(found[solid].astype(int) - cutout()[solid][:, :3]).mean() < 3


def test_jpeg_keeps_the_colour_of_a_one_pixel_line() -> None:
    image = np.full((32, 32, 3), 255, np.uint8)
    image[:, 15] = (255, 0, 0)
    line = decode(encode(image, OutputFormat.JPEG)).rgb[:, 15].astype(int)
    assert (line[:, 0] - line[:, 1]).min() > 200


@pytest.mark.parametrize("output", FORMATS)
def test_the_same_pixels_give_the_same_bytes(output: OutputFormat) -> None:
    assert encode(scene(), output) == encode(scene().copy(), output)


@pytest.mark.parametrize("output", FORMATS)
def test_the_file_carries_no_metadata(output: OutputFormat) -> None:
    image = opened(encode(scene(), output))
    image.load()
    assert not {"exif", "icc_profile", "xmp", "comment", "Software"} & set(image.info)


@pytest.mark.parametrize("output", FORMATS)
def test_a_view_is_encoded_like_its_copy(output: OutputFormat) -> None:
    view = scene()[::2, ::-3]
    assert encode(view, output) == encode(view.copy(), output)


def test_encoding_does_not_modify_the_image() -> None:
    image = cutout()
    encode(image, OutputFormat.WEBP)
    assert np.array_equal(image, cutout())


@pytest.mark.parametrize(
    ("output", "side"), [(OutputFormat.WEBP, 16_384), (OutputFormat.JPEG, 65_501)]
)
@pytest.mark.parametrize("upright", [True, False])
def test_a_side_beyond_the_format_is_too_large(
    output: OutputFormat, side: int, upright: bool
) -> None:
    shape = (side, 1, 3) if upright else (1, side, 3)
    with pytest.raises(ImageTooLarge, match=str(side - 1)):
        encode(np.zeros(shape, np.uint8), output)


@pytest.mark.parametrize(
    ("output", "side"), [(OutputFormat.WEBP, 16_383), (OutputFormat.JPEG, 65_500)]
)
def test_the_longest_side_of_the_format_is_written(output: OutputFormat, side: int) -> None:
    assert opened(encode(np.zeros((1, side, 3), np.uint8), output)).width == side


def test_a_png_side_may_exceed_the_limits_of_webp_and_jpeg() -> None:
    assert opened(encode(np.zeros((1, 70_000), np.uint8), OutputFormat.PNG)).width == 70_000


def test_jpeg_rejects_alpha() -> None:
    with pytest.raises(ValueError, match="alpha"):
        encode(cutout(), OutputFormat.JPEG)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=["floats", "two channels", "one axis", "empty"],
)
def test_an_array_that_is_not_an_image_is_refused(image: Array) -> None:
    with pytest.raises(ValueError, match="cannot encode"):
        encode(image, OutputFormat.PNG)


class TestAvif:
    def test_alpha_is_nearly_exact(self) -> None:
        found = decode(encode(cutout(), OutputFormat.AVIF)).alpha
        assert found is not None
        assert np.abs(found.astype(int) - cutout()[..., 3]).max() <= 12

    def test_a_mask_is_nearly_exact(self) -> None:
        found = decode(encode(ramp(), OutputFormat.AVIF)).rgb[..., 0]
        assert np.abs(found.astype(int) - ramp()).max() <= 3

    def test_chroma_is_not_subsampled(self) -> None:
        image = np.full((32, 32, 3), 255, np.uint8)
        image[:, 15] = (255, 0, 0)
        found = decode(encode(image, OutputFormat.AVIF)).rgb.astype(int)
        assert (found[:, 15, 0] - found[:, 15, 1]).min() > 150
        assert np.abs(found[:, :13] - 255).max() < 12


class TestZip:
    def test_the_archive_holds_colours_and_alpha(self) -> None:
        rgba = cutout()
        rgba[..., :3] = scene()  # colours of transparent pixels too
        with zipfile.ZipFile(io.BytesIO(encode(rgba, OutputFormat.ZIP))) as archive:
            assert archive.namelist() == ["colour.png", "alpha.png"]
            assert archive.testzip() is None
            colours, alpha = (opened(archive.read(name)) for name in archive.namelist())
        assert (np.asarray(colours) == scene()).all()
        assert (np.asarray(alpha) == rgba[..., 3]).all()

    def test_the_same_pixels_give_the_same_file(self) -> None:
        assert encode(cutout(), OutputFormat.ZIP) == encode(cutout(), OutputFormat.ZIP)

    @pytest.mark.parametrize("image", [ramp(), scene()], ids=["gray", "rgb"])
    def test_an_image_without_alpha_is_refused(self, image: Array) -> None:
        with pytest.raises(ValueError, match="ZIP"):
            encode(image, OutputFormat.ZIP)
