"""SAM 1 gives the same as Meta's own predictor, with random weights."""

from __future__ import annotations

import copy
import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from shared.arrays import UInt8Array
from shared.errors import ConfigError
from shared.schema import Prompt
from tests import reference
from tests.conftest import missing
from tests.sam import (
    CASES,
    TOLERANCE,
    Case,
    assert_equals_reference,
    largest_difference,
    photo,
    randomised,
)
from worker.segmenters.precision import Placement
from worker.segmenters.preprocess import longest_side, pad
from worker.segmenters.protocol import Question

if importlib.util.find_spec("segment_anything") is None:
    missing("segment-anything (the extra sam1)")
reference.sam1()  # before ours imports it
Sam1Segmenter = importlib.import_module("worker.segmenters.sam1").Sam1Segmenter

pytestmark = pytest.mark.timeout(300)  # real architectures, possibly on a slow CPU

FP32 = Placement.choose("cpu", "fp32")
#: Side of the small model's square input; only the speed differs from 1024.
SMALL = 128
SIDE = SMALL // 4
ODD_SIZES = [(48, 96), (1000, 3), (3, 1000), (4000, 3000), (17, 9), (64, 64)]


@dataclass(frozen=True)
class Pair:
    """A segmenter and the reference on the same weights."""

    segmenter: Any
    predictor: Any

    def compare(self, image: UInt8Array, cases: Sequence[Case]) -> None:
        self.predictor.set_image(image.copy())
        (embedding,) = self.segmenter.encode([self.segmenter.prepare(image)])
        for case in cases:
            for multimask in (True, False):
                assert_equals_reference(
                    self.segmenter,
                    self.predictor,
                    embedding,
                    image,
                    case,
                    multimask=multimask,
                    clamped=False,
                )


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _small_model() -> Any:
    """A shallow ViT of the package's classes, with windows, global attention and positions."""
    modeling = reference.sam1_modeling()
    torch.manual_seed(1)
    tokens = SMALL // 16
    model = modeling.Sam(
        image_encoder=modeling.ImageEncoderViT(
            depth=3,
            embed_dim=96,
            img_size=SMALL,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            num_heads=4,
            use_rel_pos=True,
            global_attn_indexes=(1,),
            window_size=5,
            out_chans=64,
        ),
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=64,
            image_embedding_size=(tokens, tokens),
            input_image_size=(SMALL, SMALL),
            mask_in_chans=16,
        ),
        mask_decoder=modeling.MaskDecoder(
            transformer=modeling.TwoWayTransformer(
                depth=2, embedding_dim=64, mlp_dim=128, num_heads=4
            ),
            transformer_dim=64,
        ),
    )
    return randomised(model.eval())


@pytest.fixture(scope="module")
def small() -> Pair:
    segmenter = Sam1Segmenter("small", _small_model(), FP32, max_batch=4)
    return Pair(segmenter, reference.sam1().SamPredictor(_small_model()))


class TestEquality:
    @pytest.mark.parametrize("size", ODD_SIZES, ids=lambda size: "{}x{}".format(*size))
    def test_odd_sizes(self, small: Pair, size: tuple[int, int]) -> None:
        if size in {(1000, 3), (3, 1000)}:
            size = (size[0] // 10 + 4, size[1] // 10 + 4)  # the reference rounds a side to 0 there
        small.compare(photo(3, *size), CASES if max(size) < 200 else CASES[3:4])

    @pytest.mark.parametrize("size", ODD_SIZES, ids=lambda size: "{}x{}".format(*size))
    def test_the_resize_is_equal_to_the_byte(self, size: tuple[int, int]) -> None:
        image = photo(4, *size)
        transforms = importlib.import_module("segment_anything.utils.transforms")
        expected = transforms.ResizeLongestSide(1024).apply_image(image.copy())
        plain = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
        found = pad(image, 1024, *plain).permute(1, 2, 0).numpy()
        height, width = expected.shape[:2]
        assert (found[:height, :width].astype(np.uint8) == expected).all()
        assert not found[height:].any()
        assert not found[:, width:].any()

    def test_at_its_own_size(self) -> None:
        """Uses two of vit_b's twelve layers, because all twelve take a minute."""
        builder = importlib.import_module("segment_anything.build_sam")
        torch.manual_seed(2)
        model = randomised(builder._build_sam(768, 2, 12, [1]))
        predictor = reference.sam1().SamPredictor(copy.deepcopy(model))
        pair = Pair(Sam1Segmenter("sam_vit_b", model, FP32), predictor)
        pair.compare(photo(1, 200, 300), (CASES[1], CASES[6]))


class TestCheckpoints:
    def test_vit_b(self, tmp_path: Path) -> None:
        model = reference.sam1().sam_model_registry["vit_b"]()
        torch.save(model.state_dict(), tmp_path / "vit_b.pth")
        loaded = Sam1Segmenter.load("sam_vit_b", tmp_path / "vit_b.pth", FP32)._model
        for key, value in model.state_dict().items():
            assert loaded.state_dict()[key].equal(value)

    def test_another_models(self, tmp_path: Path) -> None:
        torch.save(_small_model().state_dict(), tmp_path / "small.pth")
        with pytest.raises(ConfigError, match="does not fit sam_vit_b: missing"):
            Sam1Segmenter.load("sam_vit_b", tmp_path / "small.pth", FP32)


class TestOwn:
    def test_a_very_long_photo(self, small: Pair) -> None:
        """The reference fails, because it asks Pillow for a side of 0."""
        image = photo(1, 4000, 1)
        assert longest_side(4000, 1, 1024) == (1024, 1)
        (embedding,) = small.segmenter.encode([small.segmenter.prepare(image)])
        (found,) = small.segmenter.decode([Question(embedding, Prompt(points=((5.0, 0.5),)))])
        assert found.mask.shape == (1, SMALL)

    def test_the_mask_has_no_padding(self, small: Pair) -> None:
        image = photo(1, 40, 30)
        (embedding,) = small.segmenter.encode([small.segmenter.prepare(image)])
        (found,) = small.segmenter.decode([CASES[0].question(embedding, image, SIDE)])
        assert found.logits is not None
        assert found.logits.shape == (SIDE, SIDE)
        assert found.mask.shape == (SMALL * 30 // 40, SMALL)
        assert len(found.scores) == len(found.stability) == 3
        assert all(0 <= score <= 1 for score in found.scores)

    def test_a_prior_mask_lies_where_the_photo_does(self, small: Pair) -> None:
        image = photo(1, 20, 40)
        (embedding,) = small.segmenter.encode([small.segmenter.prepare(image)])
        question = Question(embedding, Prompt(), prior=np.ones((40, 20), np.float32))
        logits = small.segmenter._tokens(question).logits
        assert logits is not None
        assert (logits[:, : SIDE // 2] > 9).all()
        assert (logits[:, SIDE // 2 :] < -9).all()

    def test_a_batch_equals_one_at_a_time(self, small: Pair) -> None:
        images = [photo(seed, 30 + 11 * seed, 90 - 7 * seed) for seed in range(len(CASES))]
        embeddings = small.segmenter.encode([small.segmenter.prepare(image) for image in images])
        questions = [
            case.question(embedding, image, SIDE)
            for shift in (0, 3)
            for case, embedding, image in zip(
                CASES[shift:] + CASES[:shift], embeddings, images, strict=True
            )
        ]
        found = small.segmenter.decode(questions)
        for index, (question, prediction) in enumerate(zip(questions, found, strict=True)):
            image = images[index % len(images)]
            (embedding,) = small.segmenter.encode([small.segmenter.prepare(image)])
            alone = Question(embedding, question.prompt, prior_logits=question.prior_logits)
            (single,) = small.segmenter.decode([alone])
            assert largest_difference([prediction.logits], [single.logits]) <= TOLERANCE
            assert prediction.scores == pytest.approx(single.scores, abs=TOLERANCE)

    @pytest.mark.parametrize("precision", ["fp16", "bf16"])
    def test_masks_equal_where_logits_are_clear(self, small: Pair, precision: str) -> None:
        place = Placement.choose("cpu", precision)
        reduced = Sam1Segmenter("small", _small_model(), place)
        image = photo(1, 40, 30)
        for case in CASES:
            one, other = (
                segmenter.candidates(
                    [case.question(segmenter.encode([segmenter.prepare(image)])[0], image, SIDE)],
                    multimask=True,
                )[0].logits
                for segmenter in (small.segmenter, reduced)
            )
            off = np.abs(one - other).max()
            clear = np.abs(one) > 4 * off
            assert clear.mean() > 0.5
            assert ((one > 0) == (other > 0))[clear].all()
