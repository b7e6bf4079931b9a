"""A short run of the fuzzer, and tests that it reports each kind of fault."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from shared.images.decode import decode
from tests.fuzz.__main__ import FORMATS, PROBE_MEMORY, main
from tests.fuzz.mutations import LONGEST, Mutator
from tests.fuzz.sandbox import Sandbox
from tests.fuzz.seeds import Seed, seeds
from tests.fuzz.session import Plan, damaged, run
from tests.fuzz.targets import pillow_size, probe_file

#: Seeds whose transparent level Pillow loses: it compares 16-bit or 1-bit samples with the level of
#: an 8-bit image.
PILLOW_IS_WRONG = {"16-bit gray with a transparent level", "1-bit gray with a transparent level"}


def names(seed: Seed) -> str:
    return f"{seed.format}, {seed.kind}"


@pytest.mark.parametrize("seed", seeds(), ids=names)
def test_every_seed_has_the_size_pillow_gives(seed: Seed) -> None:
    assert probe_file(seed.data) == pillow_size(seed.data)


@pytest.mark.parametrize("seed", seeds(), ids=names)
def test_every_seed_has_alpha_where_pillow_has(seed: Seed) -> None:
    with Image.open(io.BytesIO(seed.data)) as image:
        transparent = bool((np.asarray(image.convert("RGBA"))[..., 3] < 255).any())
    ours = decode(seed.data).alpha is not None
    if seed.kind in PILLOW_IS_WRONG:
        assert ours
    else:
        assert ours == transparent


def test_two_thousand_damaged_files_show_no_fault(tmp_path: Path) -> None:
    plan = Plan(
        target="tests.fuzz.targets:probe_file",
        seeds=seeds(),
        files=2000,
        seed=7,
        memory=PROBE_MEMORY << 20,
        seconds=10.0,
        artifacts=tmp_path,
    )
    report = run(plan)
    assert not report.findings
    assert set(report.counts) == set(FORMATS)
    for counts in report.counts.values():
        assert counts["read"] > 20
        assert counts["refused"] > 20


def test_damaged_files_decode_or_are_refused(tmp_path: Path) -> None:
    assert (
        main(["--files", "150", "--decode", "--artifacts", str(tmp_path), "--seconds", "20"]) == 0
    )


def test_the_same_seed_gives_the_same_files() -> None:
    first, again, other = (
        [data for _, (_, data) in zip(range(40), damaged(seeds(), seed), strict=False)]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("image_format", FORMATS)
def test_mutations_change_files_and_keep_them_small(image_format: str) -> None:
    mutator = Mutator([seed for seed in seeds() if seed.format == image_format])
    made = [mutator.make(Random(number)) for number in range(100)]
    assert all(len(data) <= LONGEST for _, data in made)
    assert sum(data != seed.data for seed, data in made) > 90


FAULTS = {
    "allocates": "memory",
    "hangs": "hang",
    "raises": "foreign exception",
    "aborts": "crash",
    "reads_elsewhere": "crash",
    "leaves": "crash",
    "contradicts": "wrong",
}
TRIGGER = (1 << 40).to_bytes(8, "little") + b"trigger"


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_reported_and_the_next_file_still_runs(name: str) -> None:
    with Sandbox(f"tests.fuzz.broken_targets:{name}", memory=32 << 20, seconds=2.0) as sandbox:
        outcomes = [sandbox.run(data) for data in (b"harmless", TRIGGER, b"harmless")]
    assert [outcome.kind for outcome in outcomes] == ["refused", FAULTS[name], "refused"]
    assert outcomes[1].detail


def test_a_fault_is_saved_with_its_file_and_seed(tmp_path: Path) -> None:
    plan = Plan(
        target="tests.fuzz.broken_targets:raises",
        seeds=[Seed("bmp", "broken", TRIGGER * 20)],
        files=5,
        seed=3,
        memory=32 << 20,
        seconds=5.0,
        artifacts=tmp_path,
        oracle=None,
    )
    report = run(plan)
    assert report.findings
    finding = report.findings[0]
    assert b"trigger" in finding.path.read_bytes()
    assert "struct.error" in finding.detail
    told = finding.path.with_suffix(".bmp.json").read_text()
    assert '"seed": 3' in told
    assert '"foreign exception"' in told


def test_a_size_unlike_the_oracles_is_a_fault(tmp_path: Path) -> None:
    plan = Plan(
        target="tests.fuzz.broken_targets:measures",
        oracle="tests.fuzz.broken_targets:agrees",
        seeds=[Seed("bmp", "broken", TRIGGER * 20)],
        files=1,
        seed=3,
        memory=32 << 20,
        seconds=5.0,
        artifacts=tmp_path,
    )
    assert [finding.kind for finding in run(plan).findings] == ["wrong"]


def test_faults_make_the_command_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.fuzz.__main__.PROBE_TARGET", "tests.fuzz.broken_targets:always")
    assert main(["--files", "2", "--formats", "bmp", "--artifacts", str(tmp_path)]) == 1
    assert "struct.error" in capsys.readouterr().out
