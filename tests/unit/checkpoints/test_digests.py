"""SHA-256 checks of weights: pinned, given and recorded digests."""

from __future__ import annotations

import hashlib
import os
import time

import pytest

from shared.checkpoints import Model, ModelsFolder
from shared.checkpoints.folder import DigestCheck, parsed_digest
from shared.checkpoints.pull import pull
from shared.errors import CheckpointError, ConfigError
from shared.settings import StorageSettings
from tests.checkpoints import (
    BODY,
    DIGEST,
    NAME,
    OTHER,
    FileServer,
)


class TestDigest:
    def test_without_a_pinned_digest_the_option_is_required(
        self, unpinned: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        with pytest.raises(ConfigError, match="pass it with --sha256"):
            pull(unpinned, folder, settings)
        assert not server.asked

    def test_a_given_digest_is_checked_and_recorded(
        self, unpinned: Model, folder: ModelsFolder, settings: StorageSettings
    ) -> None:
        with pytest.raises(CheckpointError, match="it was deleted"):
            pull(unpinned, folder, settings, sha256="0" * 64)
        assert folder.expected(unpinned) is None
        assert pull(unpinned, folder, settings, sha256=DIGEST.upper()).fresh
        assert folder.expected(unpinned) == DIGEST
        assert not pull(unpinned, folder, settings).fresh
        assert (folder.path / f"{NAME}.sha256").read_text() == f"{DIGEST}  {unpinned.file}\n"

    def test_a_digest_that_differs_from_the_pinned_one_is_refused(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        with pytest.raises(ConfigError, match="--checkpoint FILE"):
            pull(model, folder, settings, sha256="0" * 64)
        assert not server.asked

    @pytest.mark.parametrize("text", ["", "abc", "g" * 64, "0" * 65])
    def test_a_malformed_digest_is_refused(self, text: str) -> None:
        with pytest.raises(ConfigError, match="64 hexadecimal digits"):
            parsed_digest(text)

    def test_weights_modified_after_the_pull_are_no_longer_verified(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings
    ) -> None:
        pull(model, folder, settings)
        folder.weights(model).write_bytes(OTHER)
        later = time.time() + 5
        os.utime(folder.weights(model), (later, later))
        assert not folder.is_verified(model)
        assert folder.verify(model) == (DigestCheck.WRONG, hashlib.sha256(OTHER).hexdigest())

    def test_verify_detects_a_change_with_an_unchanged_mtime(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings
    ) -> None:
        pull(model, folder, settings)
        written = folder.weights(model).stat().st_mtime
        folder.weights(model).write_bytes(OTHER)
        os.utime(folder.weights(model), (written, written))
        assert folder.is_verified(model)
        assert folder.verify(model)[0] is DigestCheck.WRONG
        assert not folder.is_verified(model)
        folder.weights(model).write_bytes(BODY)
        assert folder.verify(model) == (DigestCheck.OK, DIGEST)
        assert folder.is_verified(model)

    def test_verify_works_in_a_read_only_folder(
        self,
        model: Model,
        folder: ModelsFolder,
        settings: StorageSettings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        pull(model, folder, settings)

        def refused(*_: object) -> None:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(ModelsFolder, "remember", refused)
        monkeypatch.setattr(os, "utime", refused)
        assert folder.verify(model)[0] is DigestCheck.OK
        folder.weights(model).write_bytes(OTHER)
        assert folder.verify(model)[0] is DigestCheck.WRONG

    def test_verify_reports_missing_weights_and_unknown_digests(
        self, unpinned: Model, folder: ModelsFolder
    ) -> None:
        assert folder.verify(unpinned) == (DigestCheck.MISSING, "")
        folder.path.mkdir()
        folder.weights(unpinned).write_bytes(BODY)
        assert folder.verify(unpinned) == (DigestCheck.UNKNOWN, DIGEST)
        (folder.path / f"{NAME}.sha256").write_text("no digest at all")
        assert folder.verify(unpinned) == (DigestCheck.UNKNOWN, DIGEST)
