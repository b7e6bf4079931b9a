"""The commands and code in the README work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from nukki.stack import Stack
from tests.readme import README, blocks, rendered

ROOT = README.parent


def _on(stack: Stack, text: str) -> str:
    return text.replace("http://127.0.0.1:8000", stack.url)


def _environment(stack: Stack) -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": programs, "NUKKI_URL": stack.url}


def test_the_configuration_table_matches_the_settings() -> None:
    assert rendered(README.read_text()) == README.read_text()


def test_the_tour_in_the_shell_works(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "nukki").symlink_to(ROOT / "nukki")
    tour = _on(stack, "\n".join(blocks("bash")))
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", tour],
        cwd=tmp_path,
        env=_environment(stack) | {"PYTHONSAFEPATH": "1"},
        check=True,
        timeout=100,
    )
    for name in ("cutout.png", "first-generation.png", "cup.png"):
        with Image.open(tmp_path / name) as picture:
            assert (picture.size, picture.mode) == ((600, 400), "RGBA")
    with Image.open(tmp_path / "mask.png") as mask:
        assert (mask.size, mask.mode) == ((600, 400), "L")


def test_the_tour_in_python_works(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "nukki").symlink_to(ROOT / "nukki")
    program = _on(stack, "\n".join(blocks("python")))
    subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, check=True, timeout=60)
    with Image.open(tmp_path / "cup.png") as picture:
        assert (picture.size, picture.mode) == ((600, 400), "RGBA")


def test_the_two_commands_match_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in ("demo", "test"):
        assert f"make {command}" in README.read_text()
        assert f"\n{command}:" in makefile
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text()
