"""What an alpha says of its subject."""

from __future__ import annotations

import numpy as np
import pytest

from shared.errors import SubjectNotFound
from worker.review.subject import measure


def test_the_box_reaches_round_the_subject() -> None:
    alpha = np.zeros((40, 50), np.uint8)
    alpha[10:20, 5:45] = 255
    assert measure(alpha, (), ()).box == (5, 10, 45, 20)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (49, 0), (0, 39), (49, 39), (25, 20)])
def test_one_pixel_has_a_box_of_one_pixel(x: int, y: int) -> None:
    alpha = np.zeros((40, 50), np.uint8)
    alpha[y, x] = 255
    subject = measure(alpha, (), ())
    assert subject.box == (x, y, x + 1, y + 1)
    assert subject.area == 0.0005


def test_the_whole_photo_may_be_the_subject() -> None:
    subject = measure(np.full((40, 50), 255, np.uint8), (), ())
    assert (subject.box, subject.area) == ((0, 0, 50, 40), 1.0)


def test_the_area_is_the_share_of_pixels_more_opaque_than_not() -> None:
    alpha = np.zeros((10, 10), np.uint8)
    alpha[:2], alpha[2:5] = 128, 127
    subject = measure(alpha, (), ())
    assert (subject.area, subject.box) == (0.2, (0, 0, 10, 2))


@pytest.mark.parametrize("alpha", [0, 1, 127])
def test_where_nothing_is_opaque_there_is_no_subject(alpha: int) -> None:
    with pytest.raises(SubjectNotFound):
        measure(np.full((10, 10), alpha, np.uint8), (0.9,), ())


def test_scores_are_rounded_for_people() -> None:
    alpha = np.full((1, 1), 255, np.uint8)
    assert measure(alpha, (0.987654, 0.5), ()).scores == (0.9877, 0.5)


@pytest.mark.parametrize(("reasons", "review"), [((), False), (("thin",), True)])
def test_a_reason_asks_for_review(reasons: tuple[str, ...], review: bool) -> None:
    subject = measure(np.full((1, 1), 255, np.uint8), (), reasons)
    assert (subject.needs_review, subject.reasons) == (review, reasons)
