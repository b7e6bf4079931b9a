"""Bringing weights into the models folder: whole, checked and all at once, or not at all."""

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
from shared.errors import CheckpointError, ConfigError, ServiceError
from shared.settings import Settings

if TYPE_CHECKING:
    from hashlib import _Hash

#: Told the bytes there are and the bytes there will be, where known.
Progress = Callable[[int, int | None], None]
Say = Callable[[str], None]

_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Pulled:
    """Weights that are there and right; `fresh` if this pull brought them."""

    path: Path
    sha256: str
    fresh: bool


@dataclass(frozen=True, slots=True)
class _Partial:
    """An unfinished file, and a note of the version it is a part of."""

    path: Path

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def goes_on(self) -> bool:
        """Whether a later attempt can go on with it."""
        return self.size > 0 and self._noted()[1] is not None

    def left(self, source: str) -> tuple[Resume | None, _Hash]:
        """What an earlier attempt at that source left, and the digest of it so far."""
        digest = hashlib.sha256()
        noted, validator = self._noted()
        if validator is None or noted != bare(source) or not self.size:
            return None, digest
        with self.path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
            return Resume(file.tell(), validator), digest

    def _noted(self) -> tuple[str | None, str | None]:
        """The source and the validator in the note; None for what it does not say."""
        try:
            note = json.loads(self._note.read_text())
            source, validator = note["source"], note["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            return None, None
        return source, validator if isinstance(validator, str) else None

    def begin(self, source: str, validator: str | None) -> None:
        """Empty it, then note what it will be a part of."""
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
    settings: Settings,
    *,
    source: str | None = None,
    sha256: str | None = None,
    progress: Progress = _nothing,
    say: Say = _nothing,
    tries: int = 5,
) -> Pulled:
    """Bring a model's weights, unless they are there and right.

    A pull that breaks off keeps its part, and the next one goes on from there if the source still
    has the same version. Two at once: the second waits, and finds the work done.

    Args:
        model: which.
        folder: where to; made if need be.
        settings: for `s3://`.
        source: `https://…`, `s3://bucket/key` or a path; Meta's own address if None.
        sha256: the digest, where none is pinned.
        progress: called after every piece.
        say: takes a line for people when something happens that they should know.
        tries: how often a broken connection is taken up again, as long as each brings something.

    Raises:
        ConfigError: no digest to check against, another than the pinned one, no such source.
        CheckpointError: not to be had, of another digest (and deleted), or no room for it.
        UrlUnavailable, StorageUnavailable: the connection broke; what came is kept.
    """
    expected = _expected(model, folder, sha256)
    source = source or model.url
    target = folder.weights(model)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with folder.locked(model, lambda: say(f"another pull of {model.name} is under way")):
            if folder.has(model):
                if digest_of(target) == expected:
                    folder.remember(model, expected)
                    return Pulled(target, expected, fresh=False)
                say(f"{target} has another digest; it is pulled anew")
            partial = _Partial(target.with_name(f"{target.name}.partial"))
            digest = _patiently(
                lambda: _fetch(model, partial, source, settings, progress), partial, say, tries
            )
            if digest != expected:
                partial.discard()
                raise CheckpointError(
                    f"what {bare(source)} gave has the SHA-256 {digest}, not {expected}; "
                    "it was deleted"
                )
            partial.path.replace(target)
            partial.discard()
            _sync(folder.path)
            folder.remember(model, expected)
            return Pulled(target, expected, fresh=True)
    except OSError as error:
        raise CheckpointError(f"cannot write in {folder.path}: {error.strerror}") from error


def _expected(model: Model, folder: ModelsFolder, sha256: str | None) -> str:
    given = parsed_digest(sha256) if sha256 is not None else None
    if model.sha256 and given and given != model.sha256:
        raise ConfigError(
            f"the SHA-256 of {model.name} is {model.sha256}, not {given}; weights of your own are "
            "served from where they are: --checkpoint FILE"
        )
    expected = given or folder.expected(model)
    if expected is None:
        raise ConfigError(
            f"no two public sources agree on the SHA-256 of {model.name}: give it with --sha256"
        )
    return expected


def _patiently(fetch: Callable[[], str], partial: _Partial, say: Say, tries: int) -> str:
    """Fetch; take a broken connection up again while that gets on."""
    while True:
        before = partial.size
        try:
            return fetch()
        except ServiceError as error:
            tries -= 1
            if not error.retryable:
                raise
            kept = f"{error}; {partial.size / 1e6:.1f} MB are kept" if partial.goes_on else error
            if tries <= 0 or partial.size <= before:
                if not partial.goes_on:
                    raise
                raise type(error)(f"{kept}, the same command goes on from there") from error
            say(f"{kept}; trying again")
            time.sleep(_PAUSE)


def _fetch(
    model: Model, partial: _Partial, source: str, settings: Settings, progress: Progress
) -> str:
    """Bring the rest of the file into the partial one; returns the SHA-256 of the whole."""
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
            f"{folder} has {free / 1e6:.1f} MB free, and {needed / 1e6:.1f} MB are still to come"
        )


def _sync(folder: Path) -> None:
    """Make the folder's new names outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
