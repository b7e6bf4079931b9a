"""The `nukki models` command."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nukki.command import main
from shared.checkpoints import CATALOGUE, Model, ModelsFolder, find
from tests.checkpoints import (
    BODY,
    DIGEST,
    NAME,
    OTHER,
    FileServer,
)


@pytest.fixture
def nukki(
    folder: ModelsFolder, model: Model, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Run `nukki models`, with the tiny model's file on the test server."""
    monkeypatch.setenv("NUKKI_MODELS_DIR", str(folder.path))
    monkeypatch.setitem(CATALOGUE, NAME, model)
    return lambda *arguments: CliRunner().invoke(main, ["models", *arguments])


def _row(listed: Result) -> list[str]:
    """The columns that `list` shows for the tiny model."""
    (line,) = [line for line in listed.output.splitlines() if line.startswith(f"{NAME} ")]
    return re.split(r" {2,}", line)[1:]


class TestCommand:
    def test_pull_list_verify_and_path(
        self, nukki: Callable[..., Result], folder: ModelsFolder
    ) -> None:
        path = folder.weights(find(NAME))
        assert _row(nukki("list")) == ["-", "-", "1 MB", "pinned"]
        assert "would serve grabcut" in nukki("list").output
        missing = nukki("path", NAME)
        assert missing.exit_code == 1
        assert f"nukki models pull {NAME}" in missing.stderr

        pulled = nukki("pull", NAME)
        assert pulled.exit_code == 0, pulled.output
        assert f"{path}  (pulled and verified, SHA-256 {DIGEST})" in pulled.stdout
        assert find(NAME).file in pulled.stderr
        assert "already there, verified" in nukki("pull", NAME).stdout

        assert nukki("path", NAME).stdout == f"{path}\n"
        assert _row(nukki("list")) == ["present", "yes", "1 MB", "pinned"]
        assert f"would serve {NAME}" in nukki("list").output
        assert nukki("verify").output == f"{NAME}  ok\n"
        assert nukki("verify", NAME).exit_code == 0

        path.write_bytes(OTHER)
        wrong = nukki("verify")
        assert wrong.exit_code == 1
        assert f"{NAME}  wrong: " in wrong.output
        assert _row(nukki("list")) == ["present", "no", "1 MB", "pinned"]

    def test_verify_without_weights(self, nukki: Callable[..., Result]) -> None:
        assert nukki("verify").exit_code == 0
        named = nukki("verify", NAME)
        assert named.exit_code == 1
        assert f"nukki models pull {NAME}" in named.output

    def test_a_model_without_a_digest_needs_the_option(
        self, nukki: Callable[..., Result], unpinned: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(CATALOGUE, NAME, unpinned)
        assert _row(nukki("list")) == ["-", "-", "1 MB", "none"]
        refused = nukki("pull", NAME)
        assert refused.exit_code == 1
        assert "pass it with --sha256" in refused.stderr
        assert nukki("pull", NAME, "--sha256", DIGEST).exit_code == 0
        assert _row(nukki("list")) == ["present", "yes", "1 MB", "remembered"]

    def test_pull_takes_another_source_and_folder(
        self, nukki: Callable[..., Result], folder: ModelsFolder, tmp_path: Path
    ) -> None:
        (tmp_path / "mine.pt").write_bytes(BODY)
        elsewhere = tmp_path / "elsewhere"
        done = nukki("pull", NAME, "--from", str(tmp_path / "mine.pt"), "--dir", str(elsewhere))
        assert done.exit_code == 0
        assert (elsewhere / find(NAME).file).read_bytes() == BODY
        assert not folder.path.exists()
        assert nukki("path", NAME, "--dir", str(elsewhere)).exit_code == 0

    @pytest.mark.parametrize("command", ["pull", "verify", "path"])
    def test_the_error_names_an_unknown_model(
        self, nukki: Callable[..., Result], command: str
    ) -> None:
        refused = nukki(command, "sam9")
        assert refused.exit_code == 1
        assert "Error: no such model: sam9" in refused.stderr

    def test_a_wrong_digest_is_reported_without_a_traceback(
        self, nukki: Callable[..., Result], server: FileServer
    ) -> None:
        server.body = OTHER
        refused = nukki("pull", NAME)
        assert refused.exit_code == 1
        assert "it was deleted" in refused.stderr
        assert "Traceback" not in refused.output

    @pytest.mark.usefixtures("nukki")
    def test_up_says_how_to_get_missing_weights(self) -> None:
        refused = CliRunner().invoke(main, ["up", "--model", NAME])
        assert refused.exit_code == os.EX_CONFIG
        assert f"get them with: nukki models pull {NAME}" in refused.stderr
