"""What an earlier job leaves behind: its alpha, and its logits as a file."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from shared.errors import NotFound, StorageUnavailable
from shared.images.photo import Photo
from worker.decoding import Decoders
from worker.job.earlier import Earlier
from worker.job.logits import read_logits, write_logits


class TestLogits:
    LOGITS = np.linspace(-20, 20, 256 * 256, dtype=np.float32).reshape(256, 256)

    def test_they_come_back_as_they_were(self) -> None:
        found = read_logits(write_logits(self.LOGITS, "m"), "m")
        assert found is not None
        assert found.dtype == np.float32
        assert np.abs(found - self.LOGITS).max() < 0.01

    def test_another_models_are_not_used(self) -> None:
        assert read_logits(write_logits(self.LOGITS, "m"), "other") is None

    @pytest.mark.parametrize("keep", [0, 10, 3000])
    def test_damaged_ones_are_refused(self, keep: int) -> None:
        with pytest.raises(StorageUnavailable):
            read_logits(write_logits(self.LOGITS, "m")[:keep], "m")


class TestEarlier:
    ALPHA = cv2.imencode(".png", np.array([[0, 255]], np.uint8))[1].tobytes()

    def test_an_alpha_becomes_a_mask(self, decoders: Decoders) -> None:
        mask = Earlier.read((self.ALPHA, None), "m", decoders).mask
        assert mask is not None
        assert mask.tolist() == [[0.0, 1.0]]

    def test_nothing_earlier_is_nothing(self, decoders: Decoders) -> None:
        assert Earlier.read((None, None), "m", decoders).mask is None

    def test_a_damaged_alpha_is_refused(self, decoders: Decoders) -> None:
        with pytest.raises(StorageUnavailable):
            Earlier.read((b"no picture", None), "m", decoders)

    def test_a_render_takes_the_alpha_of_its_own_photo(self, decoders: Decoders) -> None:
        earlier = Earlier.read((self.ALPHA, None), "m", decoders)
        photo = Photo(np.zeros((1, 2, 3), np.uint8))
        assert earlier.alpha_of(photo).tolist() == [[0, 255]]

    @pytest.mark.parametrize("alpha", [None, ALPHA])
    def test_a_render_of_another_size_is_refused(
        self, alpha: bytes | None, decoders: Decoders
    ) -> None:
        photo = Photo(np.zeros((2, 2, 3), np.uint8))
        with pytest.raises(NotFound):
            Earlier.read((alpha, None), "m", decoders).alpha_of(photo)
