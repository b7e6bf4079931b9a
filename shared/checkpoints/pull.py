"""Downloads weights into the models folder; a file appears there only complete and verified."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shared.checkpoints.catalogue import Model
from shared.checkpoints.folder import ModelsFolder, digest_of, parsed_digest
from shared.checkpoints.sources import Resume, bare, open_source
from shared.durable import sync_folder
from shared.errors import CheckpointError, ConfigError, ServiceError
from shared.settings import StorageSettings

if TYPE_CHECKING:
    from hashlib import _Hash

#: Called with the bytes received so far, and the total if it is known.
Progress = Callable[[int, int | None], None]
Say = Callable[[str], None]

_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Pulled:
    """Verified weights; `fresh` if this pull downloaded them."""

    path: Path
    sha256: str
    fresh: bool


@dataclass(frozen=True, slots=True)
class _Partial:
    """An unfinished file, and a note of which version of which source it is part of."""

    path: Path

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def resumable(self) -> bool:
        """Whether a later attempt can continue it."""
        return self.size > 0 and self._noted()[1] is not None

    def left(self, source: str) -> tuple[Resume | None, _Hash]:
        """What an earlier attempt at that source left, and the digest of those bytes."""
        digest = hashlib.sha256()
        noted, validator = self._noted()
        if validator is None or noted != bare(source) or not self.size:
            return None, digest
        with self.path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
            return Resume(file.tell(), validator), digest

    def _noted(self) -> tuple[str | None, str | None]:
        """The source and the validator in the note; None for one that is missing."""
        try:
            note = json.loads(self._note.read_text())
            source, validator = note["source"], note["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            return None, None
        return source, validator if isinstance(validator, str) else None

    def begin(self, source: str, validator: str | None) -> None:
        """Empty the file, then note which version of which source it will be part of."""
        self.path.write_bytes(b"")
        self._note.write_text(json.dumps({"source": bare(source), "validator": validator}))

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _nothing(*_: object) -> None:
    pass


def pull(
    model: Model,
    folder: ModelsFolder,
    settings: StorageSettings,
    *,
    source: str | None = None,
    sha256: str | None = None,
    progress: Progress = _nothing,
    say: Say = _nothing,
    tries: int = 5,
) -> Pulled:
    """Download a model's weights, unless they are already there and verified.

    An interrupted pull keeps what it has received, and the next one continues from there if the
    source still has the same version. Of two pulls at once, the second waits for the first.

    Args:
        model: the model.
        folder: the models folder; it is created if it does not exist.
        settings: the endpoint and credentials for `s3://`.
        source: `https://…`, `s3://bucket/key` or a path; Meta's URL if None.
        sha256: the expected digest, if none is pinned.
        progress: called after every piece.
        say: called with a line for people when something happens that they should know.
        tries: attempts after a broken connection; one that brings nothing ends the pull.

    Raises:
        ConfigError: no digest is known, it differs from the pinned one, or the source is unusable.
        CheckpointError: the file is not there, has another digest (it is deleted), or does not fit
            on the disk.
        UrlUnavailable, StorageUnavailable: the connection broke; what was received is kept.
    """
    expected = _expected(model, folder, sha256)
    source = source or model.url
    target = folder.weights(model)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with folder.locked(
            model, lambda: say(f"another process is already pulling {model.name}; waiting for it")
        ):
            if folder.has(model):
                if digest_of(target) == expected:
                    folder.remember(model, expected)
                    return Pulled(target, expected, fresh=False)
                say(f"{target} has the wrong digest; downloading it again")
            partial = _Partial(target.with_name(f"{target.name}.partial"))
            digest = _patiently(
                lambda: _fetch(model, partial, source, settings, progress), partial, say, tries
            )
            if digest != expected:
                partial.discard()
                raise CheckpointError(
                    f"the file from {bare(source)} has the SHA-256 {digest}, not {expected}; "
                    "it was deleted"
                )
            partial.path.replace(target)
            partial.discard()
            sync_folder(folder.path)
            folder.remember(model, expected)
            return Pulled(target, expected, fresh=True)
    except OSError as error:
        raise CheckpointError(f"cannot write in {folder.path}: {error.strerror}") from error


def _expected(model: Model, folder: ModelsFolder, sha256: str | None) -> str:
    given = parsed_digest(sha256) if sha256 is not None else None
    if model.sha256 and given and given != model.sha256:
        raise ConfigError(
            f"the SHA-256 of {model.name} is {model.sha256}, not {given}; to serve "
            "weights of your own, use --checkpoint FILE"
        )
    expected = given or folder.expected(model)
    if expected is None:
        raise ConfigError(
            f"the SHA-256 of {model.name} is not known, as no two public sources agree on it; "
            "pass it with --sha256"
        )
    return expected


def _patiently(fetch: Callable[[], str], partial: _Partial, say: Say, tries: int) -> str:
    """Download; after a broken connection try again as long as that brings more."""
    while True:
        before = partial.size
        try:
            return fetch()
        except ServiceError as error:
            tries -= 1
            if not error.retryable:
                raise
            kept = f"{error}; {partial.size / 1e6:.1f} MB are kept" if partial.resumable else error
            if tries <= 0 or partial.size <= before:
                if not partial.resumable:
                    raise
                raise type(error)(f"{kept}, the same command continues from there") from error
            say(f"{kept}; trying again")
            time.sleep(_PAUSE)


def _fetch(
    model: Model, partial: _Partial, source: str, settings: StorageSettings, progress: Progress
) -> str:
    """Download the rest into the partial file; returns the SHA-256 of the whole."""
    resume, digest = partial.left(source)
    with open_source(source, settings, resume) as stream:
        if stream.start == 0:
            digest = hashlib.sha256()
            partial.begin(source, stream.validator)
        _require_space(partial.path.parent, (stream.total or model.size) - stream.start)
        done = stream.start
        progress(done, stream.total)
        with partial.path.open("ab") as file:
            for piece in stream.chunks:
                file.write(piece)
                digest.update(piece)
                done += len(piece)
                progress(done, stream.total)
            file.flush()
            os.fsync(file.fileno())
    return digest.hexdigest()


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CheckpointError(
            f"{folder} has {free / 1e6:.1f} MB free, but {needed / 1e6:.1f} MB are needed"
        )
