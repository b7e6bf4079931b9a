"""The benchmark's smallest section still runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.bench.engine.picture import draw
from tests.bench.engine.report import TARGETS, table
from tests.bench.engine.run import QUICK, Run


def test_the_device_bound_section_is_measured_and_plotted(tmp_path: Path) -> None:
    run = Run(replace(QUICK, device=24, batch_1=4), {})
    run.device()
    assert set(run.summary) == {target.key for target in TARGETS}
    saturation, gain = run.summary["saturation"], run.summary["vs_batch_1"]
    assert saturation is not None
    assert gain is not None
    assert 0.05 < saturation < 1.2
    assert gain > 1
    assert "saturation" in table(run.summary)
    engine = run.details["device"]["engine"]
    assert {"fetch", "decode", "encode", "compose", "store"} <= engine["stage_ms"].keys()
    assert engine["process_cpu_ms"] > 1
    draw(tmp_path / "engine.png", run.bars, run.stacks, "a test")
    assert (tmp_path / "engine.png").read_bytes().startswith(b"\x89PNG")
