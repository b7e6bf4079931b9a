"""What a cut says of its subject: the scores and reasons of its predictions."""

from __future__ import annotations

import numpy as np

from worker.job.cut import Cut
from worker.segmenters import Prediction


def prediction(score: float, *reasons: str) -> Prediction:
    return Prediction(np.zeros((2, 2), np.float32), (score, 0.1), reasons, stability=(score, 0.2))


def test_one_prediction_keeps_all_its_scores() -> None:
    cut = Cut.of(np.zeros((2, 2), np.uint8), [prediction(0.9, "tiny")])
    assert (cut.scores, cut.stability, cut.reasons) == ((0.9, 0.1), (0.9, 0.2), ("tiny",))


def test_of_several_objects_each_ones_score_is_told() -> None:
    found = [prediction(0.9, "tiny"), prediction(0.8, "tiny", "fragmented")]
    cut = Cut.of(np.zeros((2, 2), np.uint8), found)
    assert (cut.scores, cut.stability) == ((0.9, 0.8), (0.9, 0.8))
    assert cut.reasons == ("tiny", "fragmented")
    assert cut.logits is None
