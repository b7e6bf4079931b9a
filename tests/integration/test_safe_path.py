"""Packages in the current folder never run in place of Nukki's own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from nukki import Client
from shared import processes
from tests.integration.conftest import running

PACKAGES = ("api", "worker", "shared", "nukki")


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with packages named like Nukki's; importing one writes to `mark`."""
    folder = tmp_path / "hostile"
    mark = folder / "mark"
    for name in PACKAGES:
        (folder / name).mkdir(parents=True)
        for file in ("__init__.py", "__main__.py"):
            (folder / name / file).write_text(f"open({str(mark)!r}, 'a').write({name!r})\n")
    monkeypatch.chdir(folder)
    return folder


def test_without_safe_path_the_folder_hijacks_a_process(hostile: Path) -> None:
    argv = [part for part in processes.python("api", "--help") if part != "-P"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    subprocess.run(argv, check=False, env=env, capture_output=True)
    assert (hostile / "mark").read_text().startswith("api")


@pytest.mark.parametrize("module", ["api", "worker", "worker.launcher"])
def test_a_child_process_runs_the_installed_package(hostile: Path, module: str) -> None:
    shown = subprocess.run(
        processes.python(module, "--help"), check=True, capture_output=True, text=True
    )
    assert f"usage: python -m {module}" in shown.stdout
    assert not (hostile / "mark").exists()


def test_the_whole_stack_runs_the_installed_packages(
    hostile: Path, tmp_path: Path, sample: bytes
) -> None:
    with running(tmp_path / "data") as stack, Client(stack.url) as client:
        assert client.wait(client.submit(sample), timeout=60).status == "succeeded"
    assert not (hostile / "mark").exists()
