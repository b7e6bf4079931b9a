"""From a canvas's colours and alpha to the picture asked for: pure functions on arrays."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import UInt8Array
from shared.schema import Output, OutputFormat, OutputType

#: Rows composed at once: temporaries stay small however large the photo.
_BAND = 256


def within(alpha: UInt8Array, own: UInt8Array | None) -> UInt8Array:
    """The found alpha, never more opaque than the photo itself was; both (H, W) uint8."""
    return alpha if own is None else np.minimum(alpha, own)


def compose(
    rgb: UInt8Array,
    alpha: UInt8Array,
    output: Output,
    *,
    backdrop: UInt8Array | None = None,
    shadow: UInt8Array | None = None,
) -> UInt8Array:
    """The picture that `output` asks for, of what its canvas shows.

    Args:
        rgb: (H, W, 3) uint8, the subject's colours.
        alpha: (H, W) uint8.
        output: what to make.
        backdrop: (H, W, 3) uint8, what `output.background` names, where that is an image.
        shadow: (H, W) uint8, how dark the ground is under the subject's shadow.

    Returns:
        (H, W) uint8 for a mask, (H, W, 4) for a transparent cutout, (H, W, 3) on a background.
    """
    if output.type is OutputType.MASK:
        return alpha
    if output.format is OutputFormat.ZIP:
        return np.asarray(cv2.merge((*cv2.split(rgb), alpha)), np.uint8)
    if backdrop is not None:
        return _over(rgb, alpha, _shaded(backdrop, shadow))
    if output.background == "transparent":
        return _transparent(rgb, alpha) if shadow is None else _shadowed(rgb, alpha, shadow)
    colour = np.array(list(bytes.fromhex(str(output.background)[1:])), np.uint8)
    return _over(rgb, alpha, _shaded(colour, shadow))


def _transparent(rgb: UInt8Array, alpha: UInt8Array) -> UInt8Array:
    """RGBA with the colours under alpha 0 zeroed: they leak the background and double the file."""
    # By OpenCV, a tenth of numpy's time, and other threads run on meanwhile.
    visible = cv2.bitwise_and(rgb, rgb, mask=np.ascontiguousarray(alpha))
    return np.asarray(cv2.merge((*cv2.split(visible), alpha)), np.uint8)


def _shadowed(rgb: UInt8Array, alpha: UInt8Array, shadow: UInt8Array) -> UInt8Array:
    """RGBA of the subject over black that is as opaque as its shadow is dark."""
    under = cv2.multiply(shadow, cv2.bitwise_not(alpha), scale=1 / 255)
    opacity = cv2.add(alpha, under)
    channels = [
        cv2.divide(cv2.multiply(channel, alpha, dtype=cv2.CV_16U), opacity, dtype=cv2.CV_8U)
        for channel in cv2.split(rgb)
    ]
    return np.asarray(cv2.merge((*channels, opacity)), np.uint8)


def _shaded(ground: UInt8Array, shadow: UInt8Array | None) -> UInt8Array:
    """The ground, (3,) or (H, W, 3), less the light that its shadow takes, where there is one."""
    if shadow is None:
        return ground
    if ground.ndim == 1:
        ground = np.broadcast_to(ground, (*shadow.shape, 3))
    light = cv2.bitwise_not(shadow)
    channels = [cv2.multiply(channel, light, scale=1 / 255) for channel in cv2.split(ground)]
    return np.asarray(cv2.merge(channels), np.uint8)


def _over(rgb: UInt8Array, alpha: UInt8Array, ground: UInt8Array) -> UInt8Array:
    """`alpha·rgb + (1 - alpha)·ground`, rounded; the ground is (H, W, 3), or (3,) of one colour."""
    composed = np.empty_like(rgb)
    for top in range(0, rgb.shape[0], _BAND):
        band = slice(top, top + _BAND)
        weight = alpha[band, :, None].astype(np.uint16)
        below = ground if ground.ndim == 1 else ground[band]
        blend = rgb[band] * weight + below * (255 - weight) + 127
        composed[band] = blend // 255
    return composed
