"""A model's logits as a stored file: NumPy's `.npz` with the logits and the model's name."""

from __future__ import annotations

import io
import zipfile

import numpy as np

from shared.arrays import FloatArray
from shared.errors import StorageUnavailable


def write_logits(logits: FloatArray, model: str) -> bytes:
    """The file of a model's (h, w) logits, in half precision, which is finer than they are."""
    file = io.BytesIO()
    np.savez_compressed(file, logits=logits.astype(np.float16), model=np.array(model))
    return file.getvalue()


def read_logits(data: bytes, model: str) -> FloatArray | None:
    """The logits in a file, (h, w) float32; None when another model wrote them.

    Raises:
        StorageUnavailable: the file is damaged, and was not when it was stored.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            if str(file["model"]) != model:
                return None
            return np.asarray(file["logits"], np.float32)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise StorageUnavailable("the stored logits are damaged") from error
