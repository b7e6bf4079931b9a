"""What an earlier job on the same photo left to start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from shared.arrays import FloatArray, UInt8Array
from shared.errors import ImageError, NotFound, StorageUnavailable
from shared.images.photo import Photo
from worker.decoding import Decoders
from worker.job.logits import read_logits


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier job's answer on the same photo.

    Attributes:
        alpha: (H, W) uint8, at the photo's size; None when no job was named.
        logits: (h, w) float32 from the same model; None from another model, or when there are none.
    """

    alpha: UInt8Array | None = None
    logits: FloatArray | None = None

    @property
    def mask(self) -> FloatArray | None:
        """The alpha as (H, W) float32 in 0..1."""
        return None if self.alpha is None else self.alpha.astype(np.float32) / np.float32(255)

    def alpha_of(self, photo: Photo) -> UInt8Array:
        """The alpha, for a render of this photo.

        Raises:
            NotFound: there is none, or its size is not the photo's.
        """
        if self.alpha is None or self.alpha.shape != photo.rgb.shape[:2]:
            raise NotFound("the parent's alpha does not fit its photo")
        return self.alpha

    @classmethod
    def read(cls, files: tuple[bytes | None, bytes | None], model: str, decoders: Decoders) -> Self:
        """Read the stored alpha and logits.

        Raises:
            StorageUnavailable: one of them is damaged, and was not when it was stored.
            OutOfMemory, DecoderUnavailable: as `Decoders`.
        """
        alpha, logits = files
        if alpha is None:
            return cls()
        try:
            gray = decoders.gray(alpha)
        except ImageError as error:
            raise StorageUnavailable("the stored alpha is damaged") from error
        known = None if logits is None else read_logits(logits, model)
        return cls(gray, known)
