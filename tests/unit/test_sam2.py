"""SAM 2.1 gives the same as Meta's own predictor, with random weights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sam2.build_sam import build_sam2

from shared.arrays import UInt8Array
from shared.checkpoints import CATALOGUE, Choice
from shared.errors import ConfigError, DeviceLost, SegmenterFailed
from shared.schema import Prompt
from shared.settings import SegmenterSettings
from tests import reference
from tests.sam import (
    CASES,
    TOLERANCE,
    Case,
    assert_equals_reference,
    largest_difference,
    photo,
    randomised,
)
from worker import segmenters
from worker.engine import Ask, Engine
from worker.segmenters.attention import BlockedAttention
from worker.segmenters.auto import AutoSegmenter
from worker.segmenters.masks import Candidates
from worker.segmenters.precision import Placement
from worker.segmenters.preprocess import squash
from worker.segmenters.protocol import Question
from worker.segmenters.sam2 import CONFIGS, Sam2Segmenter
from worker.segmenters.sam_loader import open_sam

# The reference scripts its transforms, which torch has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.timeout(300),  # real architectures, possibly on a slow CPU
]

NAME = "sam2.1_hiera_tiny"
FP32 = Placement.choose("cpu", "fp32")
#: Side of the small model's square input; only the speed differs from 1024.
SMALL = 128
SIDE = SMALL // 4
ODD_SIZES = [(48, 96), (4000, 1), (1, 4000), (4000, 3000), (17, 9)]
CLICK = CASES[0]


@dataclass(frozen=True)
class Pair:
    """A segmenter and the reference on the same weights."""

    segmenter: Sam2Segmenter
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
                    clamped=True,
                )


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # more would fight the other tests for the cores
    yield
    torch.set_num_threads(before)


def _small_model(seed: int = 1) -> Any:
    torch.manual_seed(seed)
    return randomised(
        build_sam2(
            CONFIGS[NAME], device="cpu", hydra_overrides_extra=[f"++model.image_size={SMALL}"]
        )
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint file in Meta's format, with seeded random weights."""
    torch.manual_seed(0)
    model = randomised(build_sam2(CONFIGS[NAME], device="cpu"))
    path = tmp_path_factory.mktemp("sam2") / "tiny.pt"
    torch.save({"model": model.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def real(checkpoint: Path) -> Pair:
    """hiera_tiny at full size; each side loads the checkpoint with its own code."""
    theirs = build_sam2(CONFIGS[NAME], str(checkpoint), device="cpu")
    ours = Sam2Segmenter.load(NAME, checkpoint, FP32)
    return Pair(ours, reference.sam2_predictor(theirs))


@pytest.fixture(autouse=True)
def _batched(small: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in batches as on CUDA; on a CPU prompts are decoded one by one."""
    monkeypatch.setattr(small.segmenter, "max_prompts", 16)


@pytest.fixture(scope="module")
def small() -> Pair:
    """hiera_tiny on small squares."""
    predictor = reference.sam2_predictor(_small_model())
    predictor._bb_feat_sizes = [(SMALL // stride,) * 2 for stride in (4, 8, 16)]
    return Pair(Sam2Segmenter(NAME, _small_model(), FP32, max_batch=4), predictor)


class TestEquality:
    def test_real_model_every_prompt(self, real: Pair) -> None:
        real.compare(photo(1, 200, 300), CASES)

    def test_real_model_large_photo(self, real: Pair) -> None:
        real.compare(photo(2, 4000, 3000), CASES[3:4])

    @pytest.mark.parametrize("size", ODD_SIZES, ids=lambda size: "{}x{}".format(*size))
    def test_odd_sizes(self, small: Pair, size: tuple[int, int]) -> None:
        small.compare(photo(3, *size), CASES if max(size) < 100 else CASES[3:4])

    @pytest.mark.parametrize("size", ODD_SIZES, ids=lambda size: "{}x{}".format(*size))
    def test_preprocessing(self, real: Pair, size: tuple[int, int]) -> None:
        image = photo(4, *size)
        expected = real.predictor._transforms(image.copy())
        found = squash(image, 1024)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() <= 1e-6

    def test_an_ambiguous_prompt_gets_three_masks(self, small: Pair) -> None:
        image = photo(5, 40, 30)
        (embedding,) = small.segmenter.encode([small.segmenter.prepare(image)])
        questions = [case.question(embedding, image, SIDE) for case in CASES]
        counts = [len(item.scores) for item in small.segmenter.decode(questions)]
        assert counts == [3, 1, 1, 1, 1, 1, 1]


class TestPrediction:
    def test_what_is_reported(self, small: Pair) -> None:
        image = photo(6, 40, 30)
        (embedding,) = small.segmenter.encode([small.segmenter.prepare(image)])
        question = CLICK.question(embedding, image, SIDE)
        (found,) = small.segmenter.decode([question])
        (candidates,) = small.segmenter.candidates([question])
        assert found.logits is not None
        best = [np.allclose(item, found.logits) for item in candidates.logits].index(True)
        assert found.logits.shape == found.mask.shape == (SIDE, SIDE)
        assert found.logits.dtype == found.mask.dtype == np.float32
        assert ((found.mask > 0.5) == (found.logits > 0)).all()
        assert found.scores[0] == pytest.approx(float(candidates.ious[best]))
        assert len(found.stability) == len(found.scores) == 3
        product = [one * two for one, two in zip(found.scores, found.stability, strict=True)]
        assert product == sorted(product, reverse=True)

    def test_its_logits_go_back_in(self, small: Pair) -> None:
        image = photo(6, 40, 30)
        (embedding,) = small.segmenter.encode([small.segmenter.prepare(image)])
        (first,) = small.segmenter.decode([CLICK.question(embedding, image, SIDE)])
        question = replace(CASES[1].question(embedding, image, SIDE), prior_logits=first.logits)
        (second,) = small.segmenter.candidates([question])
        small.predictor.set_image(image.copy())
        prompt = CASES[1].prompt(image)
        assert first.logits is not None
        _, _, low = small.predictor.predict(
            np.array(prompt.points),
            np.array(prompt.signs),
            mask_input=first.logits[None],
            multimask_output=False,
        )
        assert largest_difference([np.clip(second.logits, -32, 32)], [low]) <= TOLERANCE

    def test_a_mask_without_logits_is_a_prior_too(self, small: Pair) -> None:
        image = photo(6, 40, 30)
        (embedding,) = small.segmenter.encode([small.segmenter.prepare(image)])
        prior = np.zeros((30, 40), np.float32)
        prior[:, 20:] = 1
        question = Question(embedding, Prompt(), prior=prior)
        tokens = small.segmenter._tokens(question)
        assert tokens.logits is not None
        assert tokens.logits.shape == (SIDE, SIDE)
        assert (tokens.logits[:, :15] < -9).all()
        assert (tokens.logits[:, 17:] > 9).all()
        assert not tokens.ambiguous
        assert np.isfinite(small.segmenter.decode([question])[0].mask).all()

    @pytest.mark.parametrize(
        "logits", [np.zeros((8, 8), np.float32), np.full((SIDE, SIDE), np.nan)]
    )
    def test_damaged_logits_are_refused(self, small: Pair, logits: Any) -> None:
        image = photo(6, 40, 30)
        (embedding,) = small.segmenter.encode([small.segmenter.prepare(image)])
        with pytest.raises(SegmenterFailed, match=f"{SIDE} × {SIDE}"):
            small.segmenter.decode([Question(embedding, Prompt(), prior_logits=logits)])

    def test_no_number_fails(self, small: Pair) -> None:
        image = photo(6, 40, 30)
        (embedding,) = small.segmenter.encode([small.segmenter.prepare(image)])
        broken = replace(embedding, coarse=torch.full_like(embedding.coarse, float("nan")))
        with pytest.raises(SegmenterFailed, match="not numbers"):
            small.segmenter.decode([CLICK.question(broken, image, SIDE)])


class TestBatches:
    def test_a_batch_equals_one_at_a_time(self, small: Pair) -> None:
        images = [photo(seed, 30 + 11 * seed, 90 - 7 * seed) for seed in range(len(CASES))]
        together = small.segmenter.encode([small.segmenter.prepare(image) for image in images])
        alone = [small.segmenter.encode([small.segmenter.prepare(image)])[0] for image in images]
        for one, other in zip(together, alone, strict=True):
            assert (one.coarse - other.coarse).abs().max() <= TOLERANCE
        questions = [
            case.question(embedding, image, SIDE)
            for case, embedding, image in zip(CASES, together, images, strict=True)
        ]
        questions += [
            CASES[index].question(together[6 - index], images[6 - index], SIDE)
            for index in range(len(CASES))
        ]
        found = small.segmenter.decode(questions)
        for question, prediction in zip(questions, found, strict=True):
            (single,) = small.segmenter.decode([question])
            assert largest_difference([prediction.logits], [single.logits]) <= TOLERANCE
            assert prediction.scores == pytest.approx(single.scores, abs=TOLERANCE)

    def test_like_prompts_share_a_forward(
        self, small: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []
        decode = small.segmenter._decode

        def counted(items: Sequence[Any], *, multimask: bool) -> list[Candidates]:
            sizes.append(len(items))
            return decode(items, multimask=multimask)

        monkeypatch.setattr(small.segmenter, "_decode", counted)
        images = [photo(seed, 30, 40) for seed in range(4)]
        embeddings = small.segmenter.encode([small.segmenter.prepare(image) for image in images])
        cases = (CASES[0], CASES[2], CASES[0], CASES[2])
        small.segmenter.decode(
            [
                case.question(embedding, image, SIDE)
                for case, embedding, image in zip(cases, embeddings, images, strict=True)
            ]
        )
        assert sizes == [2, 2]

    def test_many_prompts_on_one_photo(self, small: Pair) -> None:
        image = photo(7, 40, 30)
        (embedding,) = small.segmenter.encode([small.segmenter.prepare(image)])
        grid = [(float(x), float(y)) for x in range(2, 40, 8) for y in range(2, 30, 7)]
        questions = [Question(embedding, Prompt(points=(point,))) for point in grid]
        found = small.segmenter.decode(questions)
        for index in (0, 9, len(grid) - 1):
            (single,) = small.segmenter.decode([questions[index]])
            assert largest_difference([found[index].logits], [single.logits]) <= TOLERANCE

    def test_an_embedding_keeps_only_itself(self, small: Pair) -> None:
        one, _two = small.segmenter.encode(
            [small.segmenter.prepare(photo(number, 20, 20)) for number in (1, 2)]
        )
        stored = sum(tensor.untyped_storage().nbytes() for tensor in (one.coarse, *one.fine))
        assert stored == one.nbytes

    def test_nothing_asked(self, small: Pair) -> None:
        assert small.segmenter.encode([]) == []
        assert small.segmenter.decode([]) == []

    def test_callers_of_the_engine_get_their_own(self, small: Pair) -> None:
        engine = Engine(small.segmenter)
        images = [photo(seed, 40 + seed, 60 - seed) for seed in range(8)]
        cases = [CASES[seed % 4] for seed in range(8)]
        with ThreadPoolExecutor(8) as callers:
            answers = list(
                callers.map(
                    lambda item: engine.segment(
                        engine.prepare(
                            item[1][0],
                            [Ask(item[1][1].prompt(item[1][0]))],
                            digest=str(item[0]),
                            urgent=True,
                        )
                    ),
                    enumerate(zip(images, cases, strict=True)),
                )
            )
        for image, case, answer in zip(images, cases, answers, strict=True):
            (embedding,) = small.segmenter.encode([small.segmenter.prepare(image)])
            (alone,) = small.segmenter.decode([Question(embedding, case.prompt(image))])
            assert largest_difference([answer.predictions[0].logits], [alone.logits]) <= TOLERANCE

    def test_threads_may_share_it(self, small: Pair) -> None:
        images = [photo(seed, 40 + seed, 60 - seed) for seed in range(4)]

        def cut(image: UInt8Array) -> Any:
            (embedding,) = small.segmenter.encode([small.segmenter.prepare(image)])
            return small.segmenter.decode([CLICK.question(embedding, image, SIDE)])[0].logits

        alone = [cut(image) for image in images]
        with ThreadPoolExecutor(4) as threads:
            assert largest_difference(list(threads.map(cut, images)), alone) <= TOLERANCE


class TestPrecision:
    @pytest.mark.parametrize("precision", ["fp16", "bf16"])
    def test_masks_equal_where_logits_are_clear(self, small: Pair, precision: str) -> None:
        place = Placement.choose("cpu", precision)
        reduced = Sam2Segmenter(NAME, _small_model(), place, max_batch=4)
        images = [photo(seed, 40, 30) for seed in range(2)]
        exact, rough = (
            segmenter.candidates(
                [
                    case.question(embedding, image, SIDE)
                    for image, embedding in zip(
                        images,
                        segmenter.encode([segmenter.prepare(image) for image in images]),
                        strict=True,
                    )
                    for case in CASES
                ],
                # With one mask the decoder chooses between its tokens by a threshold, and rounding
                # may cross it, which gives another mask, not a less exact one.
                multimask=True,
            )
            for segmenter in (small.segmenter, reduced)
        )
        for one, other in zip(exact, rough, strict=True):
            off = np.abs(one.logits - other.logits).max()
            assert 0 < off < 0.1 * np.abs(one.logits).max()
            clear = np.abs(one.logits) > 4 * off
            assert clear.mean() > 0.5
            assert ((one.logits > 0) == (other.logits > 0))[clear].all()

    @pytest.mark.parametrize("queries", [64, 196, 600])
    def test_blocked_attention_is_attention(self, queries: int) -> None:
        torch.manual_seed(0)
        query, key, value = (torch.randn(2, 3, length, 16) for length in (queries, 300, 300))
        expected = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        with BlockedAttention():
            found = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        assert (found - expected).abs().max() <= 1e-6

    def test_weights_are_held_once(self) -> None:
        segmenter = Sam2Segmenter(NAME, _small_model(), Placement.choose("cpu", "fp16"))
        weights = list(segmenter._model.parameters())
        half = sum(weight.nbytes for weight in weights if weight.dtype == torch.float16)
        assert half > 0.95 * sum(weight.nbytes for weight in weights)

    def test_the_best_is_chosen(self) -> None:
        chosen = Placement.choose()
        if torch.cuda.is_available():
            assert (chosen.device.type, chosen.precision) == ("cuda", "fp16")
        else:
            assert chosen.device.type == "cpu"
            assert chosen.precision in {"fp32", "bf16"}

    def test_what_is_not_there(self) -> None:
        with pytest.raises(ConfigError, match="no such precision: int8"):
            Placement.choose("cpu", "int8")
        with pytest.raises(ConfigError, match="no such device: gpu"):
            Placement.choose("gpu")

    def test_warm_up(self, small: Pair) -> None:
        small.segmenter.warm_up((1, 2))


class TestFaults:
    def test_out_of_memory_halves_the_batch(
        self, small: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model, tried = small.segmenter._model, []
        forward = model.forward_image

        def crowded(batch: torch.Tensor) -> Any:
            tried.append(len(batch))
            if len(batch) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return forward(batch)

        images = [photo(seed, 20, 20) for seed in range(3)]
        expected = small.segmenter.encode([small.segmenter.prepare(image) for image in images])
        monkeypatch.setattr(model, "forward_image", crowded)
        found = small.segmenter.encode([small.segmenter.prepare(image) for image in images])
        assert tried == [3, 2, 1, 1, 1]
        for one, other in zip(found, expected, strict=True):
            assert (one.coarse - other.coarse).abs().max() <= TOLERANCE

    def test_out_of_memory_for_one_goes_elsewhere(
        self, small: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_batch: torch.Tensor) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory.")

        monkeypatch.setattr(small.segmenter._model, "forward_image", full)
        with pytest.raises(SegmenterFailed, match="out of device memory") as caught:
            small.segmenter.encode([small.segmenter.prepare(photo(1, 20, 20))])
        assert caught.value.retryable

    def test_the_decoders_memory_too(self, small: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        images = [photo(seed, 20, 20) for seed in range(4)]
        questions = [
            CLICK.question(embedding, image, SIDE)
            for embedding, image in zip(
                small.segmenter.encode([small.segmenter.prepare(image) for image in images]),
                images,
                strict=True,
            )
        ]
        expected = small.segmenter.decode(questions)
        decode = small.segmenter._decode

        def crowded(items: Sequence[Any], *, multimask: bool) -> list[Candidates]:
            if len(items) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return decode(items, multimask=multimask)

        monkeypatch.setattr(small.segmenter, "_decode", crowded)
        found = small.segmenter.decode(questions)
        pairs = [item.logits for item in found], [item.logits for item in expected]
        assert largest_difference(*pairs) <= TOLERANCE

    def test_another_fault_loses_the_device(
        self, small: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def faulty(_batch: torch.Tensor) -> Any:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile ...")

        monkeypatch.setattr(small.segmenter._model, "forward_image", faulty)
        with pytest.raises(DeviceLost, match=r"illegal memory access was encountered$"):
            small.segmenter.encode([small.segmenter.prepare(photo(1, 20, 20))])

    def test_a_bug_is_no_fault_of_the_device(
        self, small: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def buggy(_batch: torch.Tensor) -> Any:
            raise RuntimeError("The size of tensor a (3) must match")

        monkeypatch.setattr(small.segmenter._model, "forward_image", buggy)
        with pytest.raises(RuntimeError, match="size of tensor"):
            small.segmenter.encode([small.segmenter.prepare(photo(1, 20, 20))])


class TestCheckpoints:
    def test_keys_that_do_not_fit_are_named(self, checkpoint: Path, tmp_path: Path) -> None:
        state = torch.load(checkpoint, weights_only=True)["model"]
        keys = list(state)
        for key in keys[:5]:
            state[f"other.{key}"] = state.pop(key)
        state[keys[9]] = torch.zeros(3, 3, 3)
        path = tmp_path / "other.pt"
        torch.save({"model": state}, path)
        with pytest.raises(ConfigError) as caught:
            Sam2Segmenter.load(NAME, path, FP32)
        assert (
            f"does not fit {NAME}: missing {', '.join(keys[:3])} and 2 more; "
            f"unexpected {', '.join(f'other.{key}' for key in keys[:3])} and 2 more; "
            f"of another shape {keys[9]}"
        ) in str(caught.value)

    def test_another_models_checkpoint(self, checkpoint: Path) -> None:
        with pytest.raises(ConfigError, match=r"does not fit sam2.1_hiera_small: missing"):
            Sam2Segmenter.load("sam2.1_hiera_small", checkpoint, FP32)

    @pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut short"])
    def test_no_checkpoint(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "broken.pt"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="is not a checkpoint"):
            Sam2Segmenter.load(NAME, path, FP32)

    def test_cut_short(self, checkpoint: Path, tmp_path: Path) -> None:
        path = tmp_path / "short.pt"
        path.write_bytes(checkpoint.read_bytes()[:1_000_000])
        with pytest.raises(ConfigError, match="is not a checkpoint"):
            Sam2Segmenter.load(NAME, path, FP32)

    @pytest.mark.parametrize("content", [{"model": {}}, [1, 2], {"model": {"a": 1}}])
    def test_something_else_in_it(self, tmp_path: Path, content: object) -> None:
        path = tmp_path / "other.pt"
        torch.save(content, path)
        with pytest.raises(ConfigError, match="is not a checkpoint"):
            Sam2Segmenter.load(NAME, path, FP32)

    def test_code_in_it_does_not_run(self, tmp_path: Path) -> None:
        path, trace = tmp_path / "code.pt", tmp_path / "trace"
        torch.save({"model": _Trap(str(trace))}, path)
        with pytest.raises(ConfigError, match="is not a checkpoint"):
            Sam2Segmenter.load(NAME, path, FP32)
        assert not trace.exists()

    def test_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no checkpoint at"):
            Sam2Segmenter.load(NAME, tmp_path / "none.pt", FP32)


class _Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (self._path, "w")


def test_no_torchvision_is_loaded() -> None:
    probe = "import sys, worker.segmenters.sam2; print('torchvision' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "False"


class TestLoading:
    def test_by_settings_with_auto_around_it(self, checkpoint: Path) -> None:
        chosen = SegmenterSettings.load(model=NAME, checkpoint=checkpoint, precision="fp32")
        loaded = segmenters.load(chosen)
        assert isinstance(loaded, AutoSegmenter)
        assert (loaded.name, loaded.device) == (NAME, "cpu")

    def test_bare(self, checkpoint: Path) -> None:
        bare = open_sam(Choice(NAME, checkpoint), Placement.choose("cpu", "bf16"))
        assert isinstance(bare, Sam2Segmenter)
        assert bare.placement == Placement.choose("cpu", "bf16")

    def test_without_weights(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=f"nukki models pull {NAME}"):
            segmenters.load(SegmenterSettings.load(model=NAME, models_dir=tmp_path))

    def test_every_name_has_a_configuration(self) -> None:
        assert set(CONFIGS) == {name for name in CATALOGUE if name.startswith("sam2")}
