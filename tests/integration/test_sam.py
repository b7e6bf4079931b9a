"""SAM 2.1 through the whole stack with random weights, so the masks are noise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sam2.build_sam import build_sam2

from nukki import Client
from nukki.command import main
from nukki.redis_server import free_port
from nukki.stack import ServiceDied, Stack
from tests.integration.conftest import files_in, pixels, running
from tests.readme import README
from tests.sam import randomised
from worker.segmenters.sam2 import CONFIGS

pytestmark = pytest.mark.timeout(600)  # FP16 on a CPU is slow; a loaded one is slower
NAME = "sam2.1_hiera_tiny"
METRICS = free_port()
SAMPLES = README.parent / "nukki" / "samples"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save({"model": randomised(build_sam2(CONFIGS[NAME], device="cpu")).state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def sam_stack(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(
        tmp_path_factory.mktemp("sam"),
        MODEL=NAME,
        CHECKPOINT=str(checkpoint),
        PRECISION="fp32",
        METRICS_PORT=str(METRICS),
    ) as stack:
        yield stack


def embeddings_looked_up() -> tuple[float, float]:
    """Hits and misses of the worker's embedding cache so far."""
    shown = httpx.get(f"http://127.0.0.1:{METRICS}/metrics", timeout=10).text
    values = dict(line.split() for line in shown.splitlines() if line.startswith("nukki_"))
    return (
        float(values["nukki_embedding_hits_total"]),
        float(values["nukki_embedding_misses_total"]),
    )


def test_every_kind_of_prompt_works_and_a_second_click_needs_only_a_decode(
    sam_stack: Stack, sample: bytes
) -> None:
    with Client(sam_stack.url) as client:
        assert client.models() == [NAME]
        first = client.wait(client.submit(sample, points=[(300, 120)]))
        assert first.data["model"] == NAME
        assert len(first.data["subject"]["scores"]) == 3
        assert len(first.data["subject"]["stability"]) == 3
        later = [
            client.submit(job=first.id, points=[(300, 120), (40, 40)], labels=[1, 0]),
            client.submit(job=first.id, box=(70, 10, 488, 395)),
            client.submit(job=first.id, mask=first.id, points=[(300, 140)]),
            client.submit(
                job=first.id, objects=[{"points": [(9, 9)]}, {"box": (70, 10, 488, 395)}]
            ),
            client.submit(job=first.id),
        ]
        _hits, misses = embeddings_looked_up()
        for job in later:
            assert pixels(client.download(client.wait(job))).shape == (400, 600, 4)
        assert embeddings_looked_up()[1] == misses  # no later prompt encoded the photo again


def test_hits_and_misses_are_counted(sam_stack: Stack, sample: bytes) -> None:
    fresh = sample + b"\x01"
    with Client(sam_stack.url) as client:
        before = embeddings_looked_up()
        first = client.wait(client.submit(fresh, points=[(300, 120)]))
        client.wait(client.submit(job=first.id, points=[(200, 120)]))
    assert embeddings_looked_up() == (before[0] + 1, before[1] + 1)


def test_a_jobs_logits_are_kept_beside_its_alpha(sam_stack: Stack, sample: bytes) -> None:
    with Client(sam_stack.url) as client:
        job = client.wait(client.submit(sample, points=[(300, 120)]))
        kept = [name for name in files_in(sam_stack) if job.id in name]
        assert [name.rpartition("/")[2] for name in kept] == ["alpha", "logits", "result"]
        with np.load(sam_stack.data / "storage" / kept[1]) as file:
            assert file["logits"].shape == (256, 256)
            assert str(file["model"]) == NAME
        client.delete(job)
        assert not [name for name in files_in(sam_stack) if job.id in name]


def test_precisions_are_compared_on_a_photo(checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "precision.json"
    arguments = ["precision", str(SAMPLES / "coffee.png"), "--model", NAME]
    arguments += ["--checkpoint", str(checkpoint), "--point", "300,120", "--json", str(target)]
    arguments += ["--runs", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    rows = {row["precision"]: row for row in json.loads(target.read_text())["rows"]}
    assert set(rows) == {"fp32", "bf16", "fp16"}
    assert rows["fp32"]["mask_iou"] == 1
    assert rows["fp32"]["max_logit_difference"] == 0
    assert 0 < rows["fp16"]["max_logit_difference"] < rows["bf16"]["max_logit_difference"]
    assert rows["fp16"]["weights_mb"] < 0.6 * rows["fp32"]["weights_mb"]
    assert all(row["encode_ms"] > row["decode_ms"] > 0 for row in rows.values())


def test_a_checkpoint_of_another_model_is_refused_at_start(
    checkpoint: Path, tmp_path: Path
) -> None:
    with (
        pytest.raises(ServiceDied, match=r"sam2\.1_hiera_base_plus"),
        running(tmp_path, MODEL="sam2.1_hiera_base_plus", CHECKPOINT=str(checkpoint)),
    ):
        pass
