"""A second look: which part, what is asked of it, and where its answer goes."""

from __future__ import annotations

import numpy as np
import pytest

from shared.arrays import FloatArray
from shared.schema import Prompt
from worker.job.closeup import Closeup
from worker.matting.alpha import crop, paste

SIZE = (1600, 1200)
JOB = "job_" + "0" * 24


def mask_of(x1: int, y1: int, x2: int, y2: int, shape: tuple[int, int] = (192, 256)) -> FloatArray:
    """A first answer at a segmenter's own size; the box is in the photo's pixels."""
    mask = np.zeros(shape, np.float32)
    down, across = shape[0] / SIZE[1], shape[1] / SIZE[0]
    mask[round(y1 * down) : round(y2 * down), round(x1 * across) : round(x2 * across)] = 1
    return mask


SMALL = mask_of(800, 400, 1000, 600)


def looked(prompt: Prompt, mask: FloatArray = SMALL, below: float = 0.2) -> Closeup:
    closeup = Closeup.of(mask, prompt, SIZE, below)
    assert closeup is not None
    return closeup


class TestWhether:
    @pytest.mark.parametrize("below", [0.0, 0.02])
    def test_not_where_the_subject_is_large_enough(self, below: float) -> None:
        assert Closeup.of(SMALL, Prompt(), SIZE, below) is None

    def test_not_where_there_is_no_subject(self) -> None:
        assert Closeup.of(np.zeros((192, 256), np.float32), Prompt(), SIZE, 1.0) is None

    def test_not_where_it_would_show_the_whole_photo(self) -> None:
        assert Closeup.of(mask_of(200, 200, 1400, 1000), Prompt(), SIZE, 1.0) is None

    def test_not_where_there_are_too_few_pixels(self) -> None:
        tiny = np.zeros((10, 10), np.float32)
        tiny[4:6, 4:6] = 1
        assert Closeup.of(tiny, Prompt(), (60, 60), 1.0) is None


class TestWhere:
    def test_around_the_subject(self) -> None:
        assert looked(Prompt()).box == (730, 330, 1070, 670)

    def test_never_beyond_the_photo(self) -> None:
        assert looked(Prompt(), mask_of(0, 1000, 200, 1200)).box == (0, 930, 270, 1200)

    def test_with_every_click_on_the_subject(self) -> None:
        x1, y1, x2, y2 = looked(Prompt(points=((600, 420), (900, 500)))).box
        assert x1 < 600
        assert x2 > 1000
        assert (y1, y2) == (330, 670)

    def test_it_shows_the_photos_own_pixels(self) -> None:
        rgb = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), np.uint8)
        part = crop(rgb, looked(Prompt()).box)
        assert part.flags.c_contiguous
        assert (part == rgb[330:670, 730:1070]).all()

    def test_its_embedding_is_not_the_photos(self) -> None:
        one, other = looked(Prompt()), looked(Prompt(), mask_of(80, 80, 320, 320))
        assert len({"digest", one.key("digest"), other.key("digest"), one.key("another")}) == 4


class TestWhatIsAsked:
    def test_clicks_move_along(self) -> None:
        prompt = looked(Prompt(points=((900, 500), (740, 340)), labels=(1, 0))).prompt
        assert prompt == Prompt(points=((170, 170), (10, 10)), labels=(1, 0))

    def test_clicks_outside_it_go(self) -> None:
        prompt = looked(Prompt(points=((900, 500), (20, 30)), labels=(1, 0))).prompt
        assert prompt == Prompt(points=((170, 170),), labels=(1,))

    def test_a_box_moves_along(self) -> None:
        prompt = looked(Prompt(box=(790, 390, 1010, 610))).prompt
        assert prompt.box == (70, 70, 290, 290)  # all of it is in sight

    @pytest.mark.parametrize(
        "prompt", [Prompt(), Prompt(mask=JOB), Prompt(points=((2, 3),), labels=(0,))]
    )
    def test_where_nobody_clicked_the_subjects_box_is_asked(self, prompt: Prompt) -> None:
        asked = looked(prompt).prompt
        assert (asked.box, asked.is_auto) == ((70, 70, 270, 270), False)

    def test_the_prior_is_the_masks_part(self) -> None:
        closeup = looked(Prompt())
        assert closeup.prior.mean() == pytest.approx(200 * 200 / (340 * 340), abs=0.06)
        rows, columns = np.nonzero(closeup.prior > 0.5)
        middle = (np.array(closeup.prior.shape) - 1) / 2
        assert np.abs([rows.mean(), columns.mean()] - middle).max() <= 1


class TestTheAnswer:
    @pytest.mark.parametrize(("left", "agrees"), [(0.2, True), (0.26, True), (0.5, False)])
    def test_it_must_mean_the_same(self, left: float, agrees: bool) -> None:
        mask = np.zeros((512, 512), np.float32)
        begin = int(left * 512)
        mask[105:406, begin : begin + 301] = 1
        assert looked(Prompt()).confirms(mask) is agrees

    def test_an_empty_one_means_nothing(self) -> None:
        assert not looked(Prompt()).confirms(np.zeros((256, 256), np.float32))

    def test_it_goes_back_to_its_place(self) -> None:
        closeup = looked(Prompt())
        alpha = np.full((340, 340), 200, np.uint8)
        whole = paste(alpha, closeup.box, SIZE)
        assert whole.shape == (1200, 1600)
        assert (whole[330:670, 730:1070] == 200).all()
        assert whole.sum() == 200 * 340 * 340
