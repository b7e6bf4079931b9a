"""The models folder: weights and their digests, with one pull per model at a time.

sam_vit_h_4b8939.pth            the weights, put there only when complete and verified
sam_vit_h.sha256                the digest they had when verified, in the format of `sha256sum`
sam_vit_h_4b8939.pth.partial    an interrupted pull; `.partial.json` says of which file
.sam_vit_h_4b8939.pth.lock      an empty file that the running pull locks
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from shared.checkpoints.catalogue import CATALOGUE, Model
from shared.errors import CheckpointError, ConfigError

_DIGEST = re.compile(r"[0-9a-f]{64}")


class DigestCheck(StrEnum):
    """The result of comparing a file's digest with the expected one."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # no digest is known for this model
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class ModelsFolder:
    """The weights in one folder, which may not exist yet."""

    path: Path

    def weights(self, model: Model) -> Path:
        """Where that model's weights are, or would be."""
        return self.path / model.file

    def has(self, model: Model) -> bool:
        return self.weights(model).is_file()

    def present(self) -> list[Model]:
        """The models whose weights are here, best first."""
        return [model for model in CATALOGUE.values() if self.has(model)]

    def expected(self, model: Model) -> str | None:
        """The digest the weights must have: the pinned one, else the remembered one."""
        return model.sha256 or self._remembered(model)

    def is_verified(self, model: Model) -> bool:
        """Whether the weights were verified and have not been written since.

        This is cheap: it trusts the file's modification time. `verify` recomputes the digest.
        """
        digest = self._remembered(model)
        if digest is None or digest != self.expected(model) or not self.has(model):
            return False
        return self._note(model).stat().st_mtime_ns >= self.weights(model).stat().st_mtime_ns

    def verify(self, model: Model) -> tuple[DigestCheck, str]:
        """Read the weights and compare their digest; the result is noted for `is_verified`.

        Nothing is noted if the folder is read-only.

        Returns:
            The result, and the weights' SHA-256 (empty if they are missing).

        Raises:
            CheckpointError: the file could not be read.
        """
        if not self.has(model):
            return DigestCheck.MISSING, ""
        try:
            digest = digest_of(self.weights(model))
        except OSError as error:
            raise CheckpointError(f"cannot read {self.weights(model)}: {error.strerror}") from error
        expected = self.expected(model)
        if expected is None:
            return DigestCheck.UNKNOWN, digest
        with suppress(OSError):
            if digest == expected:
                self.remember(model, digest)
            elif self._note(model).exists():
                os.utime(self._note(model), (0, 0))  # older than the weights: not verified
        return DigestCheck.OK if digest == expected else DigestCheck.WRONG, digest

    def remember(self, model: Model, digest: str) -> None:
        """Note that the weights were just found to have this digest."""
        note = self._note(model)
        new = note.with_name(f".{note.name}.new")
        new.write_text(f"{digest}  {model.file}\n")
        new.replace(note)

    @contextmanager
    def locked(self, model: Model, waiting: Callable[[], None]) -> Iterator[None]:
        """Allow one pull of a model at a time; calls `waiting` once if it has to wait."""
        # A separate file, never removed: replacing the weights would lose a lock on them.
        with (self.path / f".{model.file}.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _note(self, model: Model) -> Path:
        return self.path / f"{model.name}.sha256"

    def _remembered(self, model: Model) -> str | None:
        try:
            digest = self._note(model).read_text(errors="replace")[:64]
        except OSError:
            return None
        return digest if _DIGEST.fullmatch(digest) else None


def digest_of(path: Path) -> str:
    """A file's SHA-256 in lower-case hex; the file is read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parsed_digest(text: str) -> str:
    """A SHA-256 as people write it, converted to lower-case hex.

    Raises:
        ConfigError: it is not 64 hexadecimal digits.
    """
    digest = text.strip().lower().removeprefix("sha256:")
    if not _DIGEST.fullmatch(digest):
        raise ConfigError(f"{text!r} is not a SHA-256: it takes 64 hexadecimal digits")
    return digest
