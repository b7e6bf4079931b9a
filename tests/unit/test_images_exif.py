"""EXIF copied from the photo to the result, for each format."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import ExifTags, Image

from shared.images.decode import decode
from shared.images.encode import encode
from shared.images.exif import kept
from shared.schema import OutputFormat

MAKE, ORIENTATION, COPYRIGHT, TAKEN, NOTES = 0x010F, 0x0112, 0x8298, 0x9003, 0x927C
RGB = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
CARRIERS = [item for item in OutputFormat if item is not OutputFormat.ZIP]


def photo(image_format: str = "JPEG", *, thumbnail: bool = False, notes: int = 20) -> bytes:
    image = Image.fromarray(RGB)
    exif = image.getexif()
    exif[MAKE], exif[ORIENTATION], exif[COPYRIGHT] = "Kamera", 6, "A. Photographer"
    exif[0x0100], exif[0x0101] = 9999, 9999
    directory = exif.get_ifd(ExifTags.IFD.Exif)
    directory[TAKEN], directory[NOTES], directory[0xA002] = "2026:01:02 03:04:05", b"n" * notes, 1
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[1], place[2] = "N", (37.0, 33.0, 59.0)
    if thumbnail:
        small = io.BytesIO()
        image.resize((8, 8)).save(small, "JPEG")
        exif.get_ifd(ExifTags.IFD.IFD1)[0x0103] = 6
    file = io.BytesIO()
    image.save(file, image_format, exif=exif)
    return file.getvalue()


def read(data: bytes) -> Image.Exif:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.getexif()


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("target", CARRIERS)
def test_camera_date_and_place_are_carried_by_every_format(
    source: str, target: OutputFormat
) -> None:
    exif = read(encode(RGB, target, kept(photo(source))))
    assert (exif[MAKE], exif[COPYRIGHT]) == ("Kamera", "A. Photographer")
    assert exif.get_ifd(ExifTags.IFD.Exif)[TAKEN] == "2026:01:02 03:04:05"
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[2] == (37.0, 33.0, 59.0)


@pytest.mark.parametrize("target", CARRIERS)
def test_tags_about_the_original_pixels_are_dropped(target: OutputFormat) -> None:
    data = encode(RGB, target, kept(photo(thumbnail=True)))
    exif = read(data)
    assert not {ORIENTATION, 0x0100, 0x0101} & exif.keys()
    assert not {NOTES, 0xA002} & exif.get_ifd(ExifTags.IFD.Exif).keys()
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
    assert decode(data).rgb.shape == RGB.shape  # not rotated a second time


@pytest.mark.parametrize("target", CARRIERS)
def test_exif_does_not_change_the_pixels(target: OutputFormat) -> None:
    assert (decode(encode(RGB, target, kept(photo()))).rgb == decode(encode(RGB, target)).rgb).all()


def test_the_structural_tags_of_a_tiff_are_dropped() -> None:
    found = Image.Exif()
    found.load(kept(photo("TIFF")))
    assert dict(found) == {MAKE: "Kamera", COPYRIGHT: "A. Photographer"}


def test_a_photo_without_exif_gives_an_empty_block() -> None:
    assert kept(encode(RGB, OutputFormat.JPEG)) == b""


def test_exif_too_long_for_a_jpeg_is_refused() -> None:
    image, file = Image.fromarray(RGB), io.BytesIO()
    exif = image.getexif()
    exif[COPYRIGHT] = "x" * 70_000
    image.save(file, "PNG", exif=exif)
    with pytest.raises(ValueError, match="too long"):
        kept(file.getvalue())


@pytest.mark.parametrize("data", [b"", b"no image", photo()[:30]])
def test_damaged_files_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        kept(data)
