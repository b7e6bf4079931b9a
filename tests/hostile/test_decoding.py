"""A file that costs more than its pixels do ends its decoder, and only its own job."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from nukki import Client
from shared.errors import DecoderUnavailable, ImageError, ImageInvalid, OutOfMemory
from shared.images.decode import decode
from shared.images.exif import kept
from shared.images.probe import probe
from shared.metrics.worker import STAGE_CPU
from tests.hostile import bombs
from tests.integration.conftest import ended, running, until, worker_process
from tests.unit.test_images_damage import EVERY_KIND, large
from tests.unit.test_images_samples import exif, file, scene, tiff
from worker.decoding import Decoders
from worker.decoding.budget import Budget

LONG = pytest.mark.skipif(
    not os.environ.get("NUKKI_HOSTILE_LONG"), reason="takes a minute: make hostile"
)
SOUND = EVERY_KIND["jpeg"]
#: 9 MB of PNG that inflate to 9 GB, ten times what its pixels may cost.
SURPLUS = bombs.png(1200, bombs.deflated(9_000_000))


@pytest.fixture
def own() -> Iterator[Decoders]:
    """Decoders that the test may kill."""
    made = Decoders(2)
    made.photo(SOUND)
    yield made
    made.close()


def processes() -> tuple[psutil.Process, list[psutil.Process]]:
    """The youngest template of this process, and its decoders."""
    found = [child for child in psutil.Process().children() if "decoding" in str(child.cmdline())]
    template = max(found, key=psutil.Process.create_time)
    return template, template.children()


def meanwhile(act: Callable[[psutil.Process], object]) -> threading.Thread:
    """A thread that acts on the decoder that has begun to work soon after this call."""

    def wait_and_act() -> None:
        for _ in range(1000):
            for decoder in processes()[1]:
                if decoder.cpu_times().user > spent.get(decoder.pid, 0) + 0.1:
                    act(decoder)
                    return
            time.sleep(0.01)

    spent = {decoder.pid: decoder.cpu_times().user for decoder in processes()[1]}
    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


def wait_for_death(family: list[psutil.Process]) -> None:
    """Wait until all these have ended, though nobody may have asked how."""
    for process in family:
        deadline = time.monotonic() + 10
        with contextlib.suppress(psutil.NoSuchProcess):
            while process.status() != psutil.STATUS_ZOMBIE:
                assert time.monotonic() < deadline
                time.sleep(0.01)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_decoder_gives_the_same_pixels(kind: str, decoders: Decoders) -> None:
    there, here = decoders.photo(EVERY_KIND[kind]), decode(EVERY_KIND[kind])
    assert np.array_equal(there.rgb, here.rgb)
    assert there.warnings == here.warnings
    if here.alpha is None:
        assert there.alpha is None
    else:
        assert there.alpha is not None
        assert np.array_equal(there.alpha, here.alpha)
    assert there.rgb.flags.writeable


@pytest.mark.parametrize("kind", ["jpeg", "progressive jpeg", "png", "16-bit png", "webp"])
def test_a_large_sound_photo_stays_within_its_budget(kind: str, decoders: Decoders) -> None:
    assert decoders.photo(large(kind)).rgb.size == 3 * 6400 * 5000


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_damaged_file_gives_the_same_error(kind: str, decoders: Decoders) -> None:
    damaged = EVERY_KIND[kind][: len(EVERY_KIND[kind]) // 2]
    with pytest.raises(ImageError) as here:
        decode(damaged)
    with pytest.raises(ImageError) as there:
        decoders.photo(damaged)
    assert (type(there.value), str(there.value)) == (type(here.value), str(here.value))


def test_exif_and_masks_are_read_there_too(decoders: Decoders) -> None:
    photo = file(scene(), "jpeg", exif=exif(6))
    assert decoders.exif(photo) == kept(photo)
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(decoders.gray(file(mask, "png")), mask)
    with pytest.raises(ImageError):
        decoders.gray(b"no picture")


def test_a_png_with_surplus_data_costs_no_more_than_its_pixels(decoders: Decoders) -> None:
    began = time.monotonic()
    with pytest.raises(ImageInvalid, match="far longer than its pixels"):
        decoders.photo(SURPLUS)
    assert time.monotonic() - began < 20  # 0.7 s of CPU time instead of 9
    assert decoders.photo(SOUND).rgb.size


def test_a_tiny_png_with_surplus_data_is_refused_at_once(decoders: Decoders) -> None:
    with pytest.raises(ImageInvalid, match="far more data"):
        decoders.photo(bombs.png(16, bombs.deflated(5_000_000)))


@pytest.mark.parametrize("kind", ["exif", "gray"])
def test_reading_something_else_of_it_costs_no_more_either(kind: str, decoders: Decoders) -> None:
    began = time.monotonic()
    with contextlib.suppress(ImageInvalid, ValueError):
        getattr(decoders, kind)(SURPLUS)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("side", [1000, pytest.param(10_000, marks=LONG)])
def test_a_progressive_jpeg_of_many_scans_costs_no_more_than_its_pixels(
    side: int, decoders: Decoders
) -> None:
    photo = bombs.progressive_jpeg(side, side, 99)
    before = STAGE_CPU.labels("decode")._value.get()
    with contextlib.suppress(ImageInvalid):  # a slow machine stops it
        decoders.photo(photo)
    spent = STAGE_CPU.labels("decode")._value.get() - before
    assert spent < Budget.of(probe(photo), len(photo)).seconds + 0.5


def test_a_header_that_claims_absurd_samples_is_the_photos_fault(decoders: Decoders) -> None:
    tags = {258: (3, (8,)), 262: (3, (1,)), 277: (3, (65_535,))}
    with pytest.raises(ImageError):
        decoders.photo(tiff((9000, 9000), bytes(100), tags))


#: Runs a block that takes 200 MB in a budget of a tenth, and once with no memory to be had.
_GREEDY = """
    import resource
    from shared.errors import ServiceError
    from worker.decoding.budget import Budget

    for limit in (None, 64 << 20):
        if limit is not None:
            pages = int(open("/proc/self/statm").read().split()[0])
            soft = pages * resource.getpagesize() + (10 << 20)
            resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))
        try:
            with Budget(60.0, 20 << 20).held():
                bytearray(200 << 20)
        except ServiceError as error:
            print(error.code)
"""


def test_too_much_memory_is_the_photos_fault_unless_the_machine_has_too_little() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_GREEDY)], capture_output=True, check=True
    )
    assert shown.stdout.decode().split() == ["image_invalid", "out_of_memory"]


def test_a_bomb_fails_its_own_job_and_no_worker_dies(tmp_path: Path, sample: bytes) -> None:
    with running(tmp_path) as stack, Client(stack.url) as client:
        first = worker_process(stack)
        bad = [client.submit(SURPLUS) for _ in range(3)]
        good = client.submit(sample)
        done = until(lambda: ended(client, [*bad, good]), 60)
        assert worker_process(stack) == first
    assert [job.error.code if job.error else None for job in done] == [*["image_invalid"] * 3, None]
    assert {job.data["attempts"] for job in done} == {1}


def test_a_slow_format_is_given_its_time(decoders: Decoders) -> None:
    assert decoders.photo(bombs.run_length_bmp(700, 700)).rgb.size == 3 * 700 * 700


def test_other_photos_are_decoded_beside_hostile_ones(own: Decoders) -> None:
    def attempt(data: bytes) -> str:
        try:
            own.photo(data)
        except ImageInvalid:
            return "refused"
        return "decoded"

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(attempt, [SURPLUS, SOUND, SOUND, SOUND] * 3))
    assert found == ["refused", "decoded", "decoded", "decoded"] * 3


def test_a_decoder_that_the_system_kills_lacked_memory(own: Decoders) -> None:
    thread = meanwhile(psutil.Process.kill)
    with pytest.raises(OutOfMemory):
        own.photo(SURPLUS)
    thread.join()
    assert own.photo(SOUND).rgb.size


def test_a_decoder_that_crashes_once_is_replaced(own: Decoders) -> None:
    slow = bombs.run_length_bmp(1000, 1000)
    thread = meanwhile(lambda decoder: decoder.send_signal(signal.SIGSEGV))
    assert own.photo(slow).rgb.size == 3_000_000
    thread.join()


def test_an_image_that_crashes_two_decoders_is_invalid(own: Decoders) -> None:
    slow = bombs.run_length_bmp(1000, 1000)

    def crash(decoder: psutil.Process) -> None:
        decoder.send_signal(signal.SIGSEGV)

    first = meanwhile(crash)

    def crash_the_next() -> None:
        first.join()
        meanwhile(crash).join()

    second = threading.Thread(target=crash_the_next)
    second.start()
    with pytest.raises(ImageInvalid, match="crashes the decoder"):
        own.photo(slow)
    second.join()


def test_a_decoder_that_stands_still_is_given_up() -> None:
    hasty = Decoders(1, patience=5)
    try:
        hasty.photo(SOUND)
        thread = meanwhile(psutil.Process.suspend)
        with pytest.raises(DecoderUnavailable, match="standstill"):
            hasty.photo(bombs.run_length_bmp(1500, 1500))
        thread.join()
        assert hasty.photo(SOUND).rgb.size
    finally:
        hasty.close()


@pytest.mark.parametrize("which", ["template", "decoders"])
def test_processes_that_died_while_idle_are_replaced(which: str, own: Decoders) -> None:
    template, forked = processes()
    for process in [template] if which == "template" else forked:
        process.kill()
    wait_for_death(forked)  # they die with their template
    assert own.photo(SOUND).rgb.size


def test_decoders_die_with_their_worker() -> None:
    code = textwrap.dedent(
        """
        import sys, time
        from worker.decoding import Decoders
        decoders = Decoders(1)
        decoders.photo(sys.stdin.buffer.read())
        print("ready", flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(SOUND)
        worker.stdin.close()
        assert worker.stdout.readline() == b"ready\n"
        family = psutil.Process(worker.pid).children(recursive=True)
        assert len(family) == 2
        worker.kill()
    wait_for_death(family)


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp", "tiff"])
def test_a_machine_without_memory_is_not_a_damaged_photo(image_format: str) -> None:
    code = textwrap.dedent(
        """
        import io, resource, sys
        from pathlib import Path
        from shared.errors import ServiceError
        from shared.images.decode import decode

        data = sys.stdin.buffer.read()
        size = decode(data).rgb.size  # imports, tables and threads
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        for megabytes in (2, 10, 20, 40, 60, 80, 120, 160):
            limit = pages * resource.getpagesize() + (megabytes << 20)
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            try:
                assert decode(data).rgb.size == size
                print("decoded")
            except ServiceError as error:
                print(error.code)
            except MemoryError:
                print("MemoryError")
        """
    )
    target = io.BytesIO()
    Image.fromarray(scene()).resize((4000, 3000)).save(target, image_format)
    shown = subprocess.run(
        [sys.executable, "-c", code], input=target.getvalue(), capture_output=True, check=True
    )
    found = shown.stdout.decode().split()
    assert set(found) <= {"decoded", "out_of_memory"}
    assert "out_of_memory" in found
