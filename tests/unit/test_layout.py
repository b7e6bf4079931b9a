"""Where on which canvas, against plain arithmetic."""

from __future__ import annotations

import pytest

from shared.errors import InvalidRequest
from shared.presets import presets
from shared.schema import Align, Output
from worker.framing.layout import Layout, plan

SIZE = (800, 600)
SUBJECT = (100, 200, 300, 500)  # 200 × 300


def planned(**asked: object) -> Layout:
    return plan(Output.model_validate(asked), SIZE, SUBJECT)


def sides(layout: Layout) -> tuple[int, int]:
    left, top, right, bottom = layout.place
    return right - left, bottom - top


def test_nothing_asked_is_the_photo_as_it_is() -> None:
    layout = planned()
    assert layout.is_whole
    assert (layout.canvas, layout.factors, layout.shortfall) == (SIZE, (1.0, 1.0), 1.0)


def test_a_crop_is_the_subjects_box() -> None:
    layout = planned(crop=True)
    assert (layout.canvas, layout.box, layout.place) == ((200, 300), SUBJECT, (0, 0, 200, 300))


def test_a_margin_in_pixels_goes_around_the_box() -> None:
    layout = planned(crop=True, margin=7)
    assert (layout.canvas, layout.place) == ((214, 314), (7, 7, 207, 307))


def test_a_margin_in_per_cent_is_of_the_results_shorter_side() -> None:
    layout = planned(crop=True, margin="10%")
    assert layout.canvas == (250, 350)
    assert layout.place[0] == 25 == 0.1 * min(layout.canvas)


def test_a_margin_without_a_crop_goes_around_the_photo() -> None:
    assert planned(margin=10).canvas == (820, 620)


def test_a_size_holds_the_whole_photo() -> None:
    layout = planned(size=[400, 400])
    assert (layout.box, layout.place) == ((0, 0, *SIZE), (0, 50, 400, 350))


def test_a_size_with_a_crop_holds_the_subject() -> None:
    layout = planned(size=150, crop=True)
    assert (layout.canvas, layout.place) == ((150, 150), (25, 0, 125, 150))


def test_a_margin_is_kept_free_on_the_canvas() -> None:
    assert planned(size=200, crop=True, margin=25).place == (50, 25, 150, 175)
    assert planned(size=200, crop=True, margin="12.5%").place == (50, 25, 150, 175)


@pytest.mark.parametrize(("scale", "height"), [(0.5, 100), (0.9, 180), (1.0, 200)])
def test_the_scale_is_the_share_filled_along_the_fuller_side(scale: float, height: int) -> None:
    assert sides(planned(size=200, scale=scale)) == (round(height * 2 / 3), height)


def test_the_scale_looks_at_each_side_of_the_canvas() -> None:
    assert sides(planned(size=[100, 600], scale=0.5)) == (50, 75)


def test_a_scale_without_a_size_is_on_the_photos_own_canvas() -> None:
    layout = planned(scale=0.25)
    assert (layout.canvas, sides(layout)) == (SIZE, (100, 150))


def test_nothing_is_enlarged_unless_asked() -> None:
    layout = planned(size=600, scale=1.0)
    assert sides(layout) == (200, 300)
    assert layout.shortfall == pytest.approx(2.0)
    layout = planned(size=600, scale=1.0, upscale=True)
    assert (sides(layout), layout.shortfall) == ((400, 600), 1.0)


@pytest.mark.parametrize(
    ("align", "corner"),
    [
        ("top-left", (10, 10)),
        ("top", (150, 10)),
        ("top-right", (290, 10)),
        ("left", (10, 100)),
        ("center", (150, 100)),
        ("right", (290, 100)),
        ("bottom-left", (10, 190)),
        ("bottom", (150, 190)),
        ("bottom-right", (290, 190)),
    ],
)
def test_there_are_nine_places(align: Align, corner: tuple[int, int]) -> None:
    layout = planned(size=[500, 500], crop=True, margin=10, align=align)
    assert layout.place == (*corner, corner[0] + 200, corner[1] + 300)


def test_every_place_has_a_share() -> None:
    for align in Align:
        planned(size=900, crop=True, align=align)


@pytest.mark.parametrize("name", list(presets()))
@pytest.mark.parametrize("side", [20, 90, 300, 777, 1300, 1999, 6000])
def test_a_presets_canvas_is_as_large_as_the_subject_allows(name: str, side: int) -> None:
    look = presets()[name].look
    layout = plan(Output(preset=name), (side, side), (0, 0, side, side // 2))
    width, height = layout.canvas
    assert width == height
    assert look.least_side <= width <= look.side
    placed = sides(layout)[0]
    assert placed <= side
    if side >= look.scale * look.least_side:
        assert placed / width == pytest.approx(look.scale, abs=0.006)
        assert layout.shortfall == 1.0
    else:
        assert (placed, width) == (side, look.least_side)
        assert layout.shortfall == pytest.approx(look.scale * width / side, rel=1e-6)


def test_a_size_given_is_kept_beside_a_preset() -> None:
    assert planned(preset="amazon", size=300).canvas == (300, 300)


def test_a_margin_may_not_make_a_canvas_without_end() -> None:
    with pytest.raises(InvalidRequest, match=r"output\.margin: the result would be 20000×20000"):
        plan(Output(margin="45%"), (2000, 2000), (0, 0, 1, 1))
    with pytest.raises(InvalidRequest, match="a side has at most 10,000 pixels"):
        plan(Output(margin=60), (9900, 10), (0, 0, 1, 1))


def test_a_photo_longer_than_a_canvas_may_be_stays_whole() -> None:
    assert plan(Output(), (30_000, 10), (0, 0, 1, 1)).is_whole


@pytest.mark.parametrize("size", [1, 2])
def test_the_smallest_canvas_holds_a_pixel(size: int) -> None:
    assert min(sides(planned(size=size, crop=True))) == 1
