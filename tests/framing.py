"""A published picture, and its pixels read back from its PNG."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import UInt8Array
from shared.images.photo import Photo
from shared.schema import Output
from worker.framing.publication import Publication, Trimmings, draw
from worker.matting.solid import Box


def publish(
    rgb: UInt8Array, alpha: UInt8Array, output: Output, subject: Box, trimmings: Trimmings
) -> Publication:
    """The file that a job with this cut ends with."""
    return draw(rgb, alpha, output, subject, trimmings).written(output)


def published_pixels(
    rgb: UInt8Array, alpha: UInt8Array, output: Output, subject: Box, backdrop: Photo | None = None
) -> UInt8Array:
    """(h, w), (h, w, 3) or (h, w, 4) uint8, as `compose` gave them to the encoder."""
    made = publish(rgb, alpha, output, subject, Trimmings(backdrop))
    pixels = cv2.imdecode(np.frombuffer(made.file, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    if pixels.ndim == 3:
        order = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
        pixels = cv2.cvtColor(pixels, order)
    return np.asarray(pixels, np.uint8)
