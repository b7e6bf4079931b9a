"""A models folder, and a model whose file is on a local web server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shared.checkpoints import Model, ModelsFolder, find
from shared.settings import StorageSettings
from tests.checkpoints import (
    BODY,
    DIGEST,
    NAME,
    FileServer,
    serving,
)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.checkpoints.pull._PAUSE", 0.0)
    for name in [name for name in os.environ if name.startswith(("NUKKI_", "S3_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path: Path) -> ModelsFolder:
    return ModelsFolder(tmp_path / "models")


@pytest.fixture
def model(server: FileServer) -> Model:
    """A published model whose file is on the test server."""
    return replace(find(NAME), url=server.url, sha256=DIGEST, size=len(BODY))


@pytest.fixture
def unpinned(model: Model) -> Model:
    return replace(model, sha256=None)


@pytest.fixture
def settings() -> StorageSettings:
    return StorageSettings.load()
