"""The steps from masks to the photo's alpha."""

from __future__ import annotations

import numpy as np
import pytest

from shared.arrays import FloatArray
from shared.images.photo import Photo
from shared.schema import Edge, Output, Prompt
from worker.matting.alpha import cut_alpha, within
from worker.matting.edges import refine
from worker.matting.solid import box_of, solid_alpha

SOFT = Output(edge=Edge.SOFT)


def square(x1: int, y1: int, x2: int, y2: int) -> FloatArray:
    mask = np.zeros((80, 100), np.float32)
    mask[y1:y2, x1:x2] = 1
    return mask


def photo_of(*masks: FloatArray) -> Photo:
    """A photo, twice the masks' size, in which the subjects are bright."""
    inside = np.maximum.reduce(masks).repeat(2, 0).repeat(2, 1)
    return Photo(np.where(inside[..., None] > 0, 220, 30).astype(np.uint8).repeat(3, axis=2))


LEFT, RIGHT = square(10, 20, 30, 60), square(60, 20, 90, 60)


def test_several_objects_become_their_union() -> None:
    prompts = (Prompt(points=((40, 80),)), Prompt(points=((150, 80),)))
    alpha = cut_alpha([LEFT, RIGHT], prompts, photo_of(LEFT, RIGHT), SOFT)
    assert alpha[80, 40] == alpha[80, 150] == 255
    assert alpha[80, 90] == 0


@pytest.mark.parametrize("clean", [True, False])
def test_a_speck_goes_only_when_cleaning_is_wanted(clean: bool) -> None:
    mask = LEFT.copy()
    mask[70, 95] = 1
    photo = photo_of(mask)
    found = cut_alpha([mask], [Prompt()], photo, Output(edge=Edge.SOFT, clean=clean))
    cleaned = cut_alpha([LEFT], [Prompt()], photo, SOFT)
    raw = refine(mask, photo.rgb, Edge.SOFT)
    assert not np.array_equal(cleaned, raw)
    assert np.array_equal(found, cleaned if clean else raw)


def test_a_part_is_pasted_back_into_its_place() -> None:
    part = (40, 60, 240, 220)
    rgb = np.full((300, 400, 3), 30, np.uint8)
    rgb[60:220, 40:240] = photo_of(LEFT).rgb
    alpha = cut_alpha([LEFT], [Prompt()], Photo(rgb), SOFT, part)
    assert box_of(solid_alpha(alpha)) == pytest.approx((60, 100, 100, 180), abs=2)
    assert not alpha[:60].any()
    assert not alpha[:, 240:].any()


def test_a_photos_own_alpha_is_honoured() -> None:
    found = np.array([[255, 255, 100, 0]], np.uint8)
    own = np.array([[255, 30, 200, 255]], np.uint8)
    assert within(found, own).tolist() == [[255, 30, 100, 0]]


def test_a_cut_is_never_more_opaque_than_its_photo() -> None:
    photo = photo_of(LEFT)
    own = np.full((160, 200), 77, np.uint8)
    alpha = cut_alpha([LEFT], [Prompt()], Photo(photo.rgb, own), SOFT)
    assert alpha.max() == 77


def test_a_photo_without_alpha_takes_none_away() -> None:
    alpha = np.array([[7, 200]], np.uint8)
    assert within(alpha, None) is alpha
