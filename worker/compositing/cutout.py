"""From a mask to the picture asked for: pure functions on arrays."""

from __future__ import annotations

import cv2
import numpy as np

from shared.images.photo import UInt8Array
from shared.spec import Output, OutputType
from worker.compositing.foreground import estimate_foreground

#: Rows composed at once: temporaries stay small however large the photo.
_BAND = 256


def within(alpha: UInt8Array, own: UInt8Array | None) -> UInt8Array:
    """The found alpha, never more opaque than the photo itself was; both (H, W) uint8."""
    return alpha if own is None else np.minimum(alpha, own)


def compose(rgb: UInt8Array, alpha: UInt8Array, output: Output) -> UInt8Array:
    """The picture that `output` asks for, its half-transparent pixels in the subject's own colours.

    Args:
        rgb: (H, W, 3) uint8.
        alpha: (H, W) uint8.
        output: what to make.

    Returns:
        (H, W) uint8 for a mask, (H, W, 4) for a transparent cutout, (H, W, 3) on a background.
    """
    if output.type is OutputType.MASK:
        return alpha
    clean = estimate_foreground(rgb, alpha)
    if output.background == "transparent":
        return _transparent(clean, alpha)
    red, green, blue = bytes.fromhex(output.background[1:])
    return _on_colour(clean, alpha, (red, green, blue))


def _transparent(rgb: UInt8Array, alpha: UInt8Array) -> UInt8Array:
    """RGBA with the colours under alpha 0 zeroed: they leak the background and double the file."""
    # By OpenCV, a tenth of numpy's time, and other threads run on meanwhile.
    visible = cv2.bitwise_and(rgb, rgb, mask=np.ascontiguousarray(alpha))
    return np.asarray(cv2.merge((*cv2.split(visible), alpha)), np.uint8)


def _on_colour(rgb: UInt8Array, alpha: UInt8Array, colour: tuple[int, int, int]) -> UInt8Array:
    """`alpha·rgb + (1 - alpha)·colour`, rounded."""
    composed = np.empty_like(rgb)
    background = np.array(colour, np.uint16)
    for top in range(0, rgb.shape[0], _BAND):
        band = slice(top, top + _BAND)
        weight = alpha[band, :, None].astype(np.uint16)
        blend = rgb[band] * weight + background * (255 - weight) + 127
        composed[band] = blend // 255
    return composed
