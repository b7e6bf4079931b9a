"""Loading a checkpoint file into a model, with a clear error if it does not fit."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from shared.errors import ConfigError

#: How many mismatched keys an error message lists.
_NAMED = 3


def load_weights(model: nn.Module, path: Path, name: str) -> None:
    """Copy the weights of a checkpoint file into `model`, called `name`.

    Args:
        model: on the CPU, without weights.
        path: a `torch.save` of the state dict, bare or under "model" as in Meta's SAM 2 files.
        name: the model's name in error messages.

    Raises:
        ConfigError: the file is missing, is not a checkpoint, or belongs to another model.
    """
    state = _read(path)
    own = model.state_dict()
    problems = [
        *_problem("missing", [key for key in own if key not in state]),
        *_problem("unexpected", [key for key in state if key not in own]),
        *_problem(
            "of another shape",
            [key for key, value in own.items() if key in state and state[key].shape != value.shape],
        ),
    ]
    if problems:
        raise ConfigError(f"{path} does not fit {name}: {'; '.join(problems)}")
    model.load_state_dict(state)


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    """Read the file's tensors without executing its pickled code (`weights_only`)."""
    if not path.is_file():
        raise ConfigError(f"there is no checkpoint at {path}")
    try:
        # Memory-mapped, so that gigabytes are read once; only the zip format allows it.
        found = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(f"{path} is not a checkpoint: {reason}") from error
    state = found.get("model", found) if isinstance(found, dict) else None
    if not isinstance(state, dict) or not state:
        raise ConfigError(f"{path} is not a checkpoint: it holds no weights")
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ConfigError(f"{path} is not a checkpoint: it holds more than weights")
    return state


def _problem(kind: str, keys: Sequence[str]) -> list[str]:
    if not keys:
        return []
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return [f"{kind} {', '.join(keys[:_NAMED])}{more}"]
