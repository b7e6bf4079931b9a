"""Models of the user's own: `NUKKI_MODEL=package.module:factory`. See docs/own-model.md."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shared.errors import ConfigError
from worker.segmenters.protocol import Segmenter

log = logging.getLogger("nukki.worker")

#: A job names its model in at most this many characters.
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What a factory is called with: the settings that concern a model. Each may be ignored.

    Attributes:
        checkpoint: the weights file, NUKKI_CHECKPOINT.
        device: `cuda` if the launcher gave this worker a GPU, else NUKKI_DEVICE.
        precision: the number format, NUKKI_PRECISION.
        max_batch: photos per batch, NUKKI_MAX_BATCH.
    """

    checkpoint: Path | None = None
    device: Literal["cpu", "cuda"] | None = None
    precision: Literal["fp32", "bf16", "fp16"] | None = None
    max_batch: int | None = None


def load_custom(reference: str, options: ModelOptions) -> Segmenter:
    """Import `package.module:factory` and call the factory with the options.

    Raises:
        ConfigError: there is no such module or factory, either of them raised, or what the factory
            returned is no Segmenter. The message is one line; the traceback is logged at DEBUG.
    """
    factory = _factory(reference)
    try:
        made = factory(options)
    except Exception as error:  # whatever the user's code may raise
        raise _failed(f"{reference} failed", error) from error
    problems = _problems(made)
    if problems:
        raise ConfigError(
            f"{reference} returned no Segmenter but a {type(made).__name__}: {'; '.join(problems)}"
        )
    segmenter: Segmenter = made
    return segmenter


def _factory(reference: str) -> Callable[[ModelOptions], Any]:
    module_name, _, name = reference.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise ConfigError(f"{reference} is not of the form package.module:factory")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{reference}: there is no module {error.name}; install its package, or set "
                "PYTHONPATH to its folder"
            ) from error
        raise _failed(f"{module_name} cannot be imported", error) from error
    except Exception as error:  # whatever the user's code may raise
        raise _failed(f"{module_name} cannot be imported", error) from error
    factory: Any = getattr(module, name, None)
    if factory is None:
        raise ConfigError(f"{reference}: {module_name} has no {name}")
    if not callable(factory):
        raise ConfigError(f"{reference} is not callable: its type is {type(factory).__name__}")
    return factory  # type: ignore[no-any-return]  # what it returns is checked by the caller


def _failed(what: str, error: Exception) -> ConfigError:
    """The error of the user's code in one line."""
    log.debug("%s", what, exc_info=error)
    if isinstance(error, ConfigError):
        return error
    said = " ".join(str(error).split())
    return ConfigError(f"{what}: {type(error).__name__}{f': {said}' if said else ''}")


def _problems(made: object) -> list[str]:
    """What keeps an object from being a Segmenter."""
    found = []
    name = getattr(made, "name", None)
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        found.append(f"name must be a text of 1 to {_LONGEST_NAME} characters")
    if not isinstance(getattr(made, "device", None), str):
        found.append("device must be a text")
    size = getattr(made, "max_batch", None)
    if not isinstance(size, int) or size < 1:
        found.append("max_batch must be an integer of at least 1")
    found += [
        f"it has no method {method}"
        for method in ("prepare", "encode", "decode")
        if not callable(getattr(made, method, None))
    ]
    return found
