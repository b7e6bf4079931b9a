"""The shadow: on the ground, soft, and nowhere cut off."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from shared.arrays import UInt8Array
from shared.images.photo import Photo
from shared.job import Compliance
from shared.schema import Output, Shadow
from tests.framing import publish, published_pixels
from worker.framing import publication
from worker.framing.compliance import report
from worker.framing.frame import place
from worker.framing.layout import plan
from worker.framing.publication import Trimmings
from worker.framing.shadow import cast
from worker.matting.solid import Box

BOX = (150, 80, 250, 300)


def standing(side: int = 400, box: Box = BOX) -> UInt8Array:
    alpha = np.zeros((side, side), np.uint8)
    alpha[box[1] : box[3], box[0] : box[2]] = 255
    return alpha


def sides(image: UInt8Array) -> list[int]:
    return [int(line.max()) for line in (image[0], image[-1], image[:, 0], image[:, -1])]


def test_it_is_darkest_where_the_subject_meets_the_ground() -> None:
    shadow = cast(standing(), BOX, Shadow(opacity=0.8))
    rows = shadow.max(axis=1)
    assert abs(int(rows.argmax()) - BOX[3]) <= 2
    assert 0.6 * 255 < rows.max() <= 0.8 * 255 + 1
    falling = rows[BOX[3] + 2 :].astype(int)
    assert (np.diff(falling) <= 0).all()


def test_it_lies_below_and_to_both_sides_alike() -> None:
    shadow = cast(standing(), BOX, Shadow()).astype(int)
    assert np.abs(shadow - shadow[:, ::-1]).max() <= 3
    assert not shadow[: BOX[3] - 60].any()
    assert shadow[BOX[3] + 3, 200] > 0


def test_an_offset_moves_it() -> None:
    right = cast(standing(), BOX, Shadow(offset=0.1)).astype(float).sum(axis=0)
    middle = (right * np.arange(400)).sum() / right.sum()
    assert middle == pytest.approx(200 + 0.1 * 220, abs=2)


def test_a_softer_one_reaches_further() -> None:
    reach = [
        int(np.nonzero(cast(standing(), BOX, Shadow(softness=softness)).max(axis=0))[0].min())
        for softness in (0.02, 0.06, 0.2)
    ]
    assert reach == sorted(reach, reverse=True)
    assert reach[-1] < reach[0] - 8


@pytest.mark.parametrize("opacity", [0.0, 0.3, 1.0])
def test_the_opacity_bounds_it(opacity: float) -> None:
    assert cast(standing(), BOX, Shadow(opacity=opacity)).max() <= round(255 * opacity) + 1


@pytest.mark.parametrize("softness", [0.005, 0.1, 0.5])
@pytest.mark.parametrize("offset", [-0.5, 0.0, 0.2])
@pytest.mark.parametrize("side", [320, 400, 1700])
@pytest.mark.parametrize("left", [3, 30, 150])
def test_it_is_never_cut_off(side: int, left: int, softness: float, offset: float) -> None:
    box = (left, 80, left + 100, 300)
    shadow = cast(standing(side, box), box, Shadow(opacity=1, softness=softness, offset=offset))
    assert max(sides(shadow)) <= 1


def test_without_room_there_is_none() -> None:
    box = (0, 0, 400, 400)
    assert not cast(standing(400, box), box, Shadow()).any()


def test_what_stands_on_two_legs_has_two_contacts() -> None:
    alpha = standing()
    alpha[200:300, 185:215] = 0
    shadow = cast(alpha, BOX, Shadow(opacity=1, softness=0.05))
    assert shadow[BOX[3] + 1, 200] < 0.7 * shadow[BOX[3] + 1, 168]


class TestInThePicture:
    RGB: UInt8Array = np.full((400, 400, 3), (200, 60, 60), np.uint8)

    def test_the_subject_keeps_its_colours(self) -> None:
        output = Output(background="#ffffff", shadow=Shadow())
        pixels = published_pixels(self.RGB, standing(), output, BOX)
        assert (pixels[standing() == 255] == (200, 60, 60)).all()
        assert pixels[BOX[3] + 2, 200].max() < 250
        assert publish(self.RGB, standing(), output, BOX, Trimmings()).warnings == ()

    def test_it_darkens_the_ground_by_its_opacity(self) -> None:
        output = Output(background="#808080", shadow=Shadow(opacity=0.5))
        pixels = published_pixels(self.RGB, standing(), output, BOX)
        shadow = cast(standing(), BOX, Shadow(opacity=0.5))
        exact = 128 * (1 - shadow / 255)
        ground = standing() == 0
        assert np.abs(pixels[..., 0][ground] - exact[ground]).max() <= 1

    def test_a_transparent_picture_carries_it_in_its_alpha(self) -> None:
        alpha = np.asarray(cv2.GaussianBlur(standing(), (0, 0), 3), np.uint8)
        shadow = Shadow(opacity=0.9)
        rgba = published_pixels(self.RGB, alpha, Output(shadow=shadow), BOX).astype(float)
        white = Output(shadow=shadow, background="#ffffff")
        flat = published_pixels(self.RGB, alpha, white, BOX)
        weight = rgba[..., 3:] / 255
        assert np.abs(rgba[..., :3] * weight + 255 * (1 - weight) - flat).max() <= 3

    def test_the_alpha_that_compliance_measures_excludes_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        measured: list[UInt8Array] = []

        def measure(file: bytes, alpha: UInt8Array, preset: str, *, limited: bool) -> Compliance:
            measured.append(alpha)
            return report(file, alpha, preset, limited=limited)

        monkeypatch.setattr(publication, "report", measure)
        alpha = np.asarray(cv2.GaussianBlur(standing(), (0, 0), 3), np.uint8)
        plain = Output(preset="amazon")
        shaded = Output(preset="amazon", shadow=Shadow(opacity=0.9))
        files = [publish(self.RGB, alpha, o, BOX, Trimmings()).file for o in (plain, shaded)]
        assert files[0] != files[1]
        assert (measured[0] == measured[1]).all()

    def test_it_follows_the_subject_to_its_place(self) -> None:
        output = Output.model_validate(
            {"size": 200, "scale": 0.5, "align": "top-left", "margin": 30, "shadow": {}}
        )
        layout = plan(output, (400, 400), BOX)
        _, subject = place(self.RGB, standing(), layout)
        shown = published_pixels(self.RGB, standing(), output, BOX)[..., 3] > subject
        rows, columns = np.nonzero(shown)
        foot = layout.place[3]
        assert abs(rows.mean() - foot) < 4
        assert columns.min() < layout.place[0]

    def test_where_there_is_no_room_the_job_says_so(self) -> None:
        output = Output(crop=True, shadow=Shadow())
        made = publish(self.RGB, standing(), output, BOX, Trimmings())
        assert made.warnings[0].startswith("no_room_for_shadow")


class TestBackdrops:
    RGB: UInt8Array = np.full((20, 40, 3), 9, np.uint8)
    UPLOAD = Output.model_validate({"background": {"upload": "inp_" + "0" * 24}})

    def behind(self, width: int, height: int) -> Photo:
        rgb = np.zeros((height, width, 3), np.uint8)
        rgb[:, width // 2 :, 0] = 240
        rgb[height // 2 :, :, 1] = 240
        return Photo(rgb)

    @pytest.mark.parametrize("size", [(40, 20), (400, 400), (20, 80), (3, 3), (80, 10)])
    def test_it_covers_the_canvas_from_its_middle(self, size: tuple[int, int]) -> None:
        alpha = np.zeros((20, 40), np.uint8)
        pixels = published_pixels(self.RGB, alpha, self.UPLOAD, (0, 0, 40, 20), self.behind(*size))
        assert pixels.shape == (20, 40, 3)
        corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1], :2] > 120
        assert corners.tolist() == [[False, False], [True, False], [False, True], [True, True]]

    def test_the_subject_lies_on_it(self) -> None:
        alpha = np.zeros((20, 40), np.uint8)
        alpha[5:10, 5:10] = 255
        pixels = published_pixels(self.RGB, alpha, self.UPLOAD, (5, 5, 10, 10), self.behind(40, 20))
        assert (pixels[5:10, 5:10] == 9).all()
        assert (pixels[15, 30] == (240, 240, 0)).all()

    def test_where_it_is_clear_it_is_white(self) -> None:
        clear = Photo(np.zeros((20, 40, 3), np.uint8), np.zeros((20, 40), np.uint8))
        nothing = np.zeros((20, 40), np.uint8)
        pixels = published_pixels(self.RGB, nothing, self.UPLOAD, (0, 0, 40, 20), clear)
        assert (pixels == 255).all()
