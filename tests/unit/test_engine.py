"""The engine, with small segmenters that the tests control."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from shared.arrays import FloatArray, UInt8Array
from shared.errors import DeviceLost, LeaseLost, SegmenterFailed, ServiceError, SubjectNotFound
from shared.metrics.worker import EMBEDDING_HITS, EMBEDDING_MISSES
from shared.schema import Prompt
from worker.engine import Ask, CallResult, Engine
from worker.segmenters import Prediction, Question

AUTO = Prompt()


def photo(number: int) -> UInt8Array:
    """A photo with a colour of its own."""
    return np.full((2, 2, 3), number, np.uint8)


class Mark(int):
    """An embedding: the photo's number."""

    nbytes = 100


class Recorder:
    """A segmenter whose score is the photo's number; records batches, and waits for `gate`."""

    name = "recorder"
    device = "cpu"

    def __init__(self, max_batch: int = 4) -> None:
        self.max_batch = max_batch
        self.prepared: list[tuple[str, bool]] = []
        self.batches: list[list[int]] = []
        self.questions: list[Question] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def prepare(self, image: UInt8Array, *, auto: bool = False) -> int:
        self.prepared.append((threading.current_thread().name, auto))
        return int(image[0, 0, 0])

    def encode(self, photos: Sequence[int]) -> list[Any]:
        self.batches.append(list(photos))
        self.entered.set()
        self.gate.wait(5)
        return [Mark(number) for number in self.batches[-1]]

    def decode(self, questions: Sequence[Question]) -> list[Prediction]:
        self.questions += questions
        return [prediction(question.embedding) for question in questions]


def prediction(number: int) -> Prediction:
    return Prediction(mask=np.zeros((1, 1), np.float32), scores=(float(number),))


class Desk:
    """Callers of the engine, each on its own thread."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.lost = threading.Event()
        self.departed: set[int] = set()
        self.engine = Engine(recorder, cache_bytes=250, on_device_lost=self.lost.set)
        self.pool = ThreadPoolExecutor(16)

    def cut(self, number: int, *asks: Ask, urgent: bool = True) -> CallResult:
        """Cut photo `number`, as its caller."""
        call = self.engine.prepare(
            photo(number),
            asks or [Ask(AUTO)],
            digest=str(number),
            urgent=urgent,
            departed=lambda: number in self.departed,
        )
        return self.engine.segment(call)

    def call(self, number: int, *, urgent: bool = True) -> Future[CallResult]:
        """Start a call; returns once it is queued."""
        queued = len(self.engine._queue)
        future = self.pool.submit(self.cut, number, urgent=urgent)
        deadline = time.monotonic() + 5
        while len(self.engine._queue) == queued and not self.recorder.gate.is_set():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        return future

    def occupy(self) -> Future[CallResult]:
        """Keep the device busy with photo 0 until the gate is opened."""
        self.recorder.entered.clear()
        self.recorder.gate.clear()
        future = self.pool.submit(self.cut, 0)
        assert self.recorder.entered.wait(5)
        return future


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def desk(recorder: Recorder) -> Iterator[Desk]:
    made = Desk(recorder)
    yield made
    recorder.gate.set()
    made.pool.shutdown()


def score(future: Future[CallResult]) -> float:
    return future.result(5).predictions[0].scores[0]


def test_a_photo_is_answered(desk: Desk) -> None:
    assert score(desk.call(7)) == 7


def test_the_engine_has_its_segmenters_name(desk: Desk) -> None:
    assert desk.engine.model == "recorder"


def test_prompt_and_prior_reach_the_segmenter(desk: Desk, recorder: Recorder) -> None:
    prompt, prior = Prompt(points=((1, 1),)), np.ones((2, 2), np.float32)
    desk.cut(1, Ask(prompt, prior))
    [question] = recorder.questions
    assert (question.embedding, question.prompt) == (1, prompt)
    assert question.prior is prior


def test_interactive_calls_go_before_bulk(desk: Desk, recorder: Recorder) -> None:
    recorder.max_batch = 1
    calls = [desk.occupy()]
    calls += [desk.call(number, urgent=False) for number in (1, 2)]
    calls += [desk.call(number, urgent=True) for number in (3, 4)]
    recorder.gate.set()
    assert [score(call) for call in calls] == [0, 1, 2, 3, 4]
    assert recorder.batches == [[0], [3], [4], [1], [2]]


def test_calls_of_the_same_urgency_are_answered_in_order(desk: Desk, recorder: Recorder) -> None:
    recorder.max_batch = 1
    calls = [desk.occupy(), *(desk.call(number) for number in range(1, 6))]
    recorder.gate.set()
    assert [score(call) for call in calls] == [0, 1, 2, 3, 4, 5]
    assert recorder.batches == [[number] for number in range(6)]


def test_queued_calls_are_batched_up_to_the_limit(desk: Desk, recorder: Recorder) -> None:
    calls = [desk.occupy(), *(desk.call(number) for number in range(1, 8))]
    recorder.gate.set()
    assert [score(call) for call in calls] == list(range(8))
    assert recorder.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]


def test_bulk_calls_fill_the_batch_of_interactive_ones(desk: Desk, recorder: Recorder) -> None:
    calls = [desk.occupy(), desk.call(1, urgent=False), desk.call(2, urgent=True)]
    recorder.gate.set()
    assert [score(call) for call in calls] == [0, 1, 2]
    assert recorder.batches == [[0], [2, 1]]


def test_a_single_call_does_not_wait_for_others(desk: Desk, recorder: Recorder) -> None:
    desk.call(0).result(5)
    began = time.perf_counter()
    desk.call(1).result(5)
    assert time.perf_counter() - began < 0.4
    assert recorder.batches == [[0], [1]]


def test_many_callers_at_once_each_get_their_own_answer(desk: Desk) -> None:
    with ThreadPoolExecutor(32) as callers:
        answers = callers.map(
            lambda number: desk.cut(number, urgent=number % 2 == 0),
            range(250),
        )
        assert [answer.predictions[0].scores[0] for answer in answers] == list(range(250))


def test_the_device_time_is_reported(desk: Desk, recorder: Recorder) -> None:
    call = desk.occupy()
    time.sleep(0.05)
    recorder.gate.set()
    answer = call.result(5)
    assert 50 <= answer.encode_ms < 5000


def raising(error: Exception) -> Callable[[Any], list[Any]]:
    def fail(_: Any) -> list[Any]:
        raise error

    return fail


@pytest.mark.parametrize("step", ["encode", "decode"])
@pytest.mark.parametrize(
    ("error", "heard"),
    [
        (ValueError("bad shape"), SegmenterFailed("ValueError: bad shape")),
        (MemoryError("no room"), SegmenterFailed("MemoryError: no room")),
        (SubjectNotFound("nothing there"), SubjectNotFound("nothing there")),
        (SegmenterFailed("a fault"), SegmenterFailed("a fault")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_batch_error_fails_every_call_in_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception, heard: ServiceError
) -> None:
    first = desk.occupy()
    calls = [desk.call(number) for number in (1, 2, 3)]
    whole = getattr(desk.recorder, step)

    def but_of_one(items: Sequence[Any]) -> list[Any]:
        return list(whole(items)) if len(items) == 1 else raising(error)(items)

    monkeypatch.setattr(desk.recorder, step, but_of_one)
    desk.recorder.gate.set()
    assert score(first) == 0
    for call in calls:
        with pytest.raises(type(heard), match=str(heard)):
            call.result(5)


@pytest.mark.parametrize("step", ["encode", "decode"])
def test_the_device_continues_after_an_error(
    desk: Desk, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(recorder, step, raising(RuntimeError("once")))
        with pytest.raises(SegmenterFailed):
            desk.call(1).result(5)
    assert score(desk.call(2)) == 2


def test_the_cause_of_an_unexpected_error_is_kept(
    desk: Desk, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cause = RuntimeError("deep down")
    monkeypatch.setattr(recorder, "decode", raising(cause))
    with pytest.raises(SegmenterFailed) as failure:
        desk.call(1).result(5)
    assert failure.value.__cause__ is cause


@pytest.mark.parametrize("step", ["encode", "decode"])
@pytest.mark.parametrize("answers", [0, 2, 4], ids=["none", "too few", "too many"])
def test_a_wrong_number_of_answers_is_the_segmenters_failure(
    desk: Desk, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, step: str, answers: int
) -> None:
    desk.occupy()
    calls = [desk.call(number) for number in (1, 2, 3)]
    monkeypatch.setattr(recorder, step, lambda _: [prediction(9)] * answers)
    recorder.gate.set()
    for call in calls:
        with pytest.raises(SegmenterFailed, match="This is a bug"):
            call.result(5)


def test_no_answer_at_all_is_the_segmenters_failure(
    desk: Desk, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "decode", lambda _: None)
    with pytest.raises(SegmenterFailed):
        desk.call(1).result(5)


def test_a_mask_is_passed_on_untouched(
    desk: Desk, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask: FloatArray = np.random.default_rng(0).random((5, 4), np.float32)
    monkeypatch.setattr(recorder, "decode", lambda _: [Prediction(mask, (0.5, 0.4), ("thin",))])
    answer = desk.call(1).result(5)
    assert answer.predictions[0].mask is mask
    assert answer.predictions[0].reasons == ("thin",)


def test_a_second_click_costs_no_encode(desk: Desk, recorder: Recorder) -> None:
    counters = (EMBEDDING_HITS, EMBEDDING_MISSES)
    before = [counter._value.get() for counter in counters]
    first, second = desk.cut(1), desk.cut(1, Ask(Prompt(points=((1, 1),))))
    assert recorder.batches == [[1]]
    assert first.encode_ms > 0
    assert second.encode_ms == 0
    assert second.predictions[0].scores == (1.0,)
    assert [counter._value.get() for counter in counters] == [count + 1 for count in before]


def test_a_photo_twice_in_a_batch_is_encoded_once(desk: Desk, recorder: Recorder) -> None:
    calls = [desk.occupy(), desk.call(1), desk.call(2), desk.call(1)]
    recorder.gate.set()
    assert [score(call) for call in calls] == [0, 1, 2, 1]
    assert recorder.batches == [[0], [1, 2]]


def test_the_cache_forgets_the_least_recently_used(desk: Desk, recorder: Recorder) -> None:
    for number in (1, 2, 1, 3, 1, 2):  # room for two
        desk.cut(number)
    assert recorder.batches == [[1], [2], [3], [2]]
    assert desk.engine.cache.nbytes == 200


def test_several_asks_of_one_photo_are_answered_in_order(desk: Desk, recorder: Recorder) -> None:
    prompts = [Prompt(points=((x, 1),)) for x in range(3)]
    answer = desk.cut(5, *map(Ask, prompts))
    assert len(answer.predictions) == 3
    assert [question.prompt for question in recorder.questions] == prompts


def test_calls_with_different_numbers_of_asks_share_a_batch(desk: Desk, recorder: Recorder) -> None:
    busy = desk.occupy()
    three = desk.pool.submit(desk.cut, 1, *[Ask(AUTO)] * 3)
    one = desk.call(2)
    recorder.gate.set()
    busy.result(5)
    assert [item.scores for item in three.result(5).predictions] == [(1.0,)] * 3
    assert [item.scores for item in one.result(5).predictions] == [(2.0,)]


def test_an_embedding_that_fails_is_not_kept(
    desk: Desk, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.cut(1)
    with monkeypatch.context() as broken:
        broken.setattr(recorder, "decode", raising(ValueError("corrupt")))
        with pytest.raises(SegmenterFailed):
            desk.cut(1)
    desk.cut(1)
    assert recorder.batches == [[1], [1]]


def test_a_click_on_a_kept_photo_does_not_wait_for_photos_to_encode(
    desk: Desk, recorder: Recorder
) -> None:
    desk.cut(1)
    recorder.max_batch = 1
    busy = desk.occupy()
    others = [desk.call(number) for number in (2, 3)]
    click = desk.call(1)
    recorder.gate.set()
    for call in (busy, click, *others):
        call.result(5)
    assert [question.embedding for question in recorder.questions] == [1, 0, 1, 2, 3]


def test_an_urgent_photo_goes_before_bulk_prompts(desk: Desk, recorder: Recorder) -> None:
    """With a slow decode, as GrabCut's, bulk jobs must not delay a click."""
    recorder.max_batch = 1
    desk.cut(1)
    busy = desk.occupy()
    bulk = desk.call(1, urgent=False)
    urgent = desk.call(2, urgent=True)
    recorder.gate.set()
    for call in (busy, bulk, urgent):
        call.result(5)
    assert [question.embedding for question in recorder.questions] == [1, 0, 2, 1]


def test_photos_are_prepared_by_their_callers(desk: Desk, recorder: Recorder) -> None:
    desk.call(1).result(5)
    desk.cut(2, Ask(Prompt(points=((1, 1),))))
    assert [auto for _, auto in recorder.prepared] == [True, False]
    assert all(thread != "device" for thread, _ in recorder.prepared)


def test_a_cached_photo_is_not_prepared_again(desk: Desk, recorder: Recorder) -> None:
    desk.cut(1)
    desk.cut(1)
    assert len(recorder.prepared) == 1


def test_a_photo_evicted_while_its_caller_waited_is_encoded_again(
    desk: Desk, recorder: Recorder
) -> None:
    desk.cut(1)
    busy = desk.occupy()
    click = desk.call(1)
    desk.engine.cache.drop("1")
    recorder.gate.set()
    busy.result(5)
    assert score(click) == 1
    assert recorder.batches == [[1], [0], [1]]


def test_a_call_whose_lease_is_lost_is_dropped_unprocessed(desk: Desk, recorder: Recorder) -> None:
    busy = desk.occupy()
    calls = [desk.call(number) for number in (1, 2, 3)]
    desk.departed |= {1, 3}
    recorder.gate.set()
    busy.result(5)
    for gone in (calls[0], calls[2]):
        with pytest.raises(LeaseLost):
            gone.result(5)
    assert score(calls[1]) == 2
    assert recorder.batches == [[0], [2]]


def test_an_error_spares_a_call_that_must_be_encoded_again(
    desk: Desk, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.cut(1)
    desk.cut(2)
    busy = desk.occupy()
    kept, forgotten = desk.call(1), desk.call(2)
    desk.engine.cache.drop("2")
    monkeypatch.setattr(recorder, "decode", fails_of(1, recorder.decode))
    recorder.gate.set()
    for call in (busy, kept):  # of one batch
        with pytest.raises(SegmenterFailed):
            call.result(5)
    assert score(forgotten) == 2


def fails_of(number: int, decode: Callable[[Sequence[Question]], list[Any]]) -> Callable[..., Any]:
    def run(questions: Sequence[Question]) -> list[Any]:
        if any(question.embedding == number for question in questions):
            raise RuntimeError("of this one")
        return decode(questions)

    return run


def test_a_lost_device_is_reported_after_its_callers_get_the_error(
    desk: Desk, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "encode", raising(DeviceLost("CUDA error")))
    with pytest.raises(DeviceLost):
        desk.cut(1)
    assert desk.lost.wait(5)
