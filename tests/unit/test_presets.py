"""Every preset, from a photo to its file, checked by code that shares nothing with the renderer."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from shared.arrays import UInt8Array
from shared.images.decode import decode
from shared.job import Compliance
from shared.presets import presets
from shared.schema import Output
from tests import material
from tests.framing import publish
from worker.framing import compliance
from worker.framing.publication import Publication, Trimmings
from worker.review.subject import measure

MATTES = material.folder("data", "mattes")
NAMES = list(presets())
ON_WHITE = ["amazon", "coupang", "square-white"]

#: What each marketplace wants, written down once more: sides, fill, most bytes, formats.
WANTED = {
    "amazon": (1000, 10_000, 0.85, 1.0, None),
    "google": (500, 8_000, 0.75, 0.90, 16_000_000),
    "coupang": (100, 5_000, 0.85, 1.0, 5_000_000),
    "smartstore": (1000, 1_000, 0.0, 1.0, 20_000_000),
    "square-white": (500, 10_000, 0.80, 1.0, None),
}


def product(shape: str, side: int = 2000) -> tuple[UInt8Array, UInt8Array]:
    """A photo of `side` pixels and its alpha, drawn by Pillow at twice the size."""
    big = 2 * side
    alpha = Image.new("L", (big, big))
    pen = ImageDraw.Draw(alpha)
    match shape:
        case "bottle":
            pen.rounded_rectangle((1500, 200, 2500, 3800), 200, fill=255)
        case "plate":
            pen.ellipse((150, 1200, 3850, 2700), fill=255)
        case "ring":
            pen.ellipse((800, 800, 3200, 3200), fill=255)
            pen.ellipse((1100, 1100, 2900, 2900), fill=0)
        case "edge":
            pen.polygon([(0, 4000), (0, 900), (2000, 300), (4000, 4000)], fill=255)
    noise = np.random.default_rng(5).normal(0, 25, (side, side, 3))
    ramp = np.linspace(20, 235, side)
    rgb = np.stack([ramp[None].repeat(side, 0), ramp[:, None].repeat(side, 1), noise[..., 0]], -1)
    shown = alpha.resize((side, side), Image.Resampling.BOX)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8), np.asarray(shown, np.uint8)


def published(rgb: UInt8Array, alpha: UInt8Array, output: Output) -> Publication:
    return publish(rgb, alpha, output, measure(alpha).box, Trimmings())


def compliant(made: Publication) -> Compliance:
    assert made.compliance is not None
    return made.compliance


def box_in(picture: UInt8Array) -> tuple[int, int, int, int]:
    """Around what is not nearly white."""
    dark = (255 - picture.min(axis=2)) > 24
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", ["bottle", "plate", "ring", "edge"])
def test_a_photo_of_2000_pixels_meets_every_preset(shape: str, name: str) -> None:
    made = published(*product(shape), Output(preset=name))
    report = compliant(made)
    assert report.passed, [check for check in report.checks if not check.passed]
    assert not report.upscale_required
    assert made.warnings == ()

    least, most, low, high, most_bytes = WANTED[name]
    with Image.open(io.BytesIO(made.file)) as opened:
        assert opened.format == "JPEG"
        assert opened.mode == "RGB"
        assert "icc_profile" not in opened.info
        assert "exif" not in opened.info
        picture = np.asarray(opened)
    assert most_bytes is None or len(made.file) <= most_bytes
    height, width = picture.shape[:2]
    assert height == width
    assert least <= width <= most
    x1, y1, x2, y2 = box_in(picture)
    assert low - 0.004 <= max(x2 - x1, y2 - y1) / width <= high + 0.004
    around = picture.copy()
    around[max(0, y1 - 16) : y2 + 16, max(0, x1 - 16) : x2 + 16] = 255
    assert (around == 255).all()
    assert abs((x1 + x2) / 2 - width / 2) <= 2
    assert abs((y1 + y2) / 2 - height / 2) <= 2


@pytest.mark.parametrize("name", NAMES)
def test_a_hole_shows_the_background(name: str) -> None:
    made = published(*product("ring"), Output(preset=name))
    picture = decode(made.file).rgb
    middle = picture.shape[0] // 2
    assert (picture[middle - 20 : middle + 20, middle - 20 : middle + 20] == 255).all()


@pytest.mark.skipif(not (MATTES / "image").is_dir(), reason="needs the photos with true alpha")
@pytest.mark.parametrize("name", NAMES)
def test_small_photos_meet_it_or_say_why_not(name: str) -> None:
    for path in sorted((MATTES / "image").iterdir()):
        rgb = decode(path.read_bytes()).rgb
        alpha = decode((MATTES / "alpha" / f"{path.stem}.png").read_bytes()).rgb[..., 0].copy()
        made = published(rgb, alpha, Output(preset=name))
        report = compliant(made)
        assert report.passed or report.upscale_required, path.name
        if report.upscale_required:
            assert any(text.startswith("upscale_required") for text in made.warnings)
            assert {check.name for check in report.checks if not check.passed} == {"fill"}
        allowed = published(rgb, alpha, Output(preset=name, upscale=True))
        assert compliant(allowed).passed, path.name


def test_every_preset_names_its_source_and_its_day() -> None:
    for name, preset in presets().items():
        assert preset.title, name
        assert preset.source, name
        assert preset.seen.year >= 2026, name


@pytest.mark.parametrize("name", NAMES)
def test_every_look_is_a_valid_output_that_meets_its_own_rules(name: str) -> None:
    look, rules = presets()[name].look, presets()[name].rules
    output = Output(preset=name)
    assert (output.format, output.background) == (look.format, look.background)
    assert output.scale == look.scale
    assert look.format in rules.formats
    for low, high in filter(None, (rules.longest_side, rules.shortest_side)):
        assert low <= look.least_side <= look.side <= high
    if rules.fill is not None:
        assert rules.fill[0] < look.scale < rules.fill[1]


class TestReport:
    """What does not comply is found in the file, however it came there."""

    PHOTO = product("bottle")

    def failed(self, **asked: object) -> set[str]:
        output = Output.model_validate({"preset": "amazon", **asked})
        report = compliant(published(*self.PHOTO, output))
        failed = {check.name for check in report.checks if not check.passed}
        assert report.passed == (not failed)
        return failed

    def test_a_look_is_overridden_but_the_rules_stay(self) -> None:
        assert self.failed(background="#fffffe") == {"background"}
        assert self.failed(scale=0.5) == {"fill"}
        assert self.failed(size=999) == {"longest_side"}
        assert self.failed(format="png") == {"format"}
        assert self.failed(shadow={"softness": 0.3}) == {"background"}

    def test_a_transparent_picture_is_not_white(self) -> None:
        found = self.failed(format="png", background="transparent")
        assert found == {"format", "opaque", "background"}

    def test_what_passes_by_other_means_passes(self) -> None:
        assert self.failed(size=[1200, 1300], margin=20, align="top") == set()

    def test_each_side_is_held_to_its_own_rule(self) -> None:
        assert self.failed(preset="google", size=[1500, 400], scale=0.8) >= {"shortest_side"}
        assert self.failed(preset="smartstore", size=[1000, 1100]) == {"longest_side"}
        assert self.failed(preset="square-white", size=[900, 800]) == {"square"}

    def test_one_gray_pixel_in_the_background_is_found(self) -> None:
        picture = np.full((100, 100, 3), 255, np.uint8)
        alpha = np.zeros((100, 100), np.uint8)
        alpha[40:60, 40:60] = 255
        assert compliance.off_colour(picture, alpha, "#ffffff") == 0
        picture[2, 3] = 254
        assert compliance.off_colour(picture, alpha, "#ffffff") == 1

    @pytest.mark.parametrize(("away", "wrong"), [(16, 0), (17, 1)])
    def test_the_clearance_is_16_pixels(self, away: int, wrong: int) -> None:
        picture = np.full((100, 100, 3), 255, np.uint8)
        alpha = np.zeros((100, 100), np.uint8)
        alpha[40:60, 40:60] = 255
        picture[50, 59 + away] = 0
        assert compliance.off_colour(picture, alpha, "#ffffff") == wrong

    def test_haze_far_from_the_subject_is_not_drawn(self) -> None:
        rgb, alpha = self.PHOTO
        alpha = alpha.copy()
        alpha[60:100, 60:100], alpha[1900:1990, 1000] = 9, 12
        made = published(rgb, alpha, Output(preset="amazon"))
        assert compliant(made).passed

    @pytest.mark.parametrize(
        ("box", "share"), [((0, 0, 50, 20), 0.25), ((0, 0, 20, 50), 0.5), ((0, 0, 20, 20), 0.1)]
    )
    def test_the_fill_is_along_the_longest_side(
        self, box: tuple[int, int, int, int], share: float
    ) -> None:
        alpha = np.zeros((100, 200), np.uint8)
        alpha[box[1] : box[3], box[0] : box[2]] = 255
        assert compliance.fill(alpha) == pytest.approx(share)

    def test_a_foreign_profile_is_found(self) -> None:
        from PIL import ImageCms

        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
        file = io.BytesIO()
        Image.new("RGB", (1000, 1000), "white").save(file, "JPEG", icc_profile=lab)
        alpha = np.zeros((1000, 1000), np.uint8)
        alpha[50:950, 50:950] = 255
        report = compliance.report(file.getvalue(), alpha, "amazon", limited=False)
        assert {check.name for check in report.checks if not check.passed} == {"colour_space"}

    def test_too_many_bytes_are_found(self) -> None:
        file = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)
        Image.fromarray(noise).save(file, "PNG")
        alpha = np.full((1500, 1500), 255, np.uint8)
        report = compliance.report(file.getvalue(), alpha, "coupang", limited=False)
        assert {check.name for check in report.checks if not check.passed} == {"bytes"}
