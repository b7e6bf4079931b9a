"""The models folder: weights, what is known of their digests, and one puller at a time.

sam_vit_h_4b8939.pth            the weights; only ever put there whole and checked
sam_vit_h.sha256                the digest they were found to have, as `sha256sum` writes it
sam_vit_h_4b8939.pth.partial    a pull that broke off, with `.partial.json` on where it was
.sam_vit_h_4b8939.pth.lock      held by whoever pulls; empty
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


class Verdict(StrEnum):
    """What recomputing a digest found."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # there is nothing to compare it with
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class ModelsFolder:
    """The weights in one folder, which need not exist yet."""

    path: Path

    def weights(self, model: Model) -> Path:
        """Where that model's weights are, or would be."""
        return self.path / model.file

    def has(self, model: Model) -> bool:
        return self.weights(model).is_file()

    def present(self) -> list[Model]:
        """The models whose weights are here, the best first."""
        return [model for model in CATALOGUE.values() if self.has(model)]

    def expected(self, model: Model) -> str | None:
        """The digest those weights must have: the pinned one, else the one remembered."""
        return model.sha256 or self._remembered(model)

    def is_verified(self, model: Model) -> bool:
        """Whether the weights were once checked and have not been written since.

        Cheap, so it trusts the file's time; `verify` recomputes.
        """
        digest = self._remembered(model)
        if digest is None or digest != self.expected(model) or not self.has(model):
            return False
        return self._note(model).stat().st_mtime_ns >= self.weights(model).stat().st_mtime_ns

    def verify(self, model: Model) -> tuple[Verdict, str]:
        """Read the weights and compare; returns the verdict and their SHA-256 (empty if missing).

        The verdict is noted for `is_verified`, unless the folder is read-only.

        Raises:
            CheckpointError: the file could not be read.
        """
        if not self.has(model):
            return Verdict.MISSING, ""
        try:
            digest = digest_of(self.weights(model))
        except OSError as error:
            raise CheckpointError(f"cannot read {self.weights(model)}: {error.strerror}") from error
        expected = self.expected(model)
        if expected is None:
            return Verdict.UNKNOWN, digest
        with suppress(OSError):
            if digest == expected:
                self.remember(model, digest)
            elif self._note(model).exists():
                os.utime(self._note(model), (0, 0))  # older than the weights: not verified
        return Verdict.OK if digest == expected else Verdict.WRONG, digest

    def remember(self, model: Model, digest: str) -> None:
        """Note the digest that the weights were just found to have."""
        note = self._note(model)
        new = note.with_name(f".{note.name}.new")
        new.write_text(f"{digest}  {model.file}\n")
        new.replace(note)

    @contextmanager
    def locked(self, model: Model, waiting: Callable[[], None]) -> Iterator[None]:
        """The only puller of that model; calls `waiting` once if it has to wait its turn."""
        # A file of its own that is never removed: the weights' inode changes under a lock on them.
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
    """A file's SHA-256 in lower-case hex, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parsed_digest(text: str) -> str:
    """A SHA-256 as people write it, in lower-case hex.

    Raises:
        ConfigError: it is not 64 hexadecimal digits.
    """
    digest = text.strip().lower().removeprefix("sha256:")
    if not _DIGEST.fullmatch(digest):
        raise ConfigError(f"{text!r} is no SHA-256: 64 hexadecimal digits")
    return digest
