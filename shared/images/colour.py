"""Converts the pixels of any file to 8-bit sRGB."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from shared.arrays import UInt8Array

#: Pixels converted at a time, so that temporary arrays stay small compared to the image.
STRIP_PIXELS = 1 << 20

_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_SPACES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION


def rows(height: int, width: int) -> Iterator[slice]:
    """The row ranges of an image's strips, of about `STRIP_PIXELS` each."""
    step = max(1, STRIP_PIXELS // max(1, width))
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def to_eight_bits(samples: NDArray[Any], full: int = 65535) -> UInt8Array:
    """Scale samples from 0..`full` to 0..255, rounded; 8-bit samples are returned unchanged."""
    if samples.dtype == np.uint8:
        return np.ascontiguousarray(samples)
    out = np.empty(samples.shape, np.uint8)
    for part in rows(samples.shape[0], int(np.prod(samples.shape[1:]))):
        wide = samples[part].astype(np.uint32)
        out[part] = np.minimum((wide * 255 + full // 2) // full, 255)
    return out


def to_srgb(samples: UInt8Array, profile: bytes | None, warnings: list[str]) -> UInt8Array:
    """Convert (H, W) gray, (H, W, 3) RGB or (H, W, 4) CMYK (255 is full ink) to (H, W, 3) sRGB.

    RGB may be converted in place. A profile that cannot be used adds a warning and is ignored, as
    browsers do.
    """
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    transform = None
    if profile:
        try:
            transform = _transform(profile, _MODES[channels])
        except _Mismatch as error:
            warnings.append(f"The colour profile was ignored: {error}.")
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            warnings.append("The colour profile was ignored: it is damaged.")
    if transform is None and channels == 1:
        return np.asarray(cv2.cvtColor(samples, cv2.COLOR_GRAY2RGB), np.uint8)
    if transform is None and channels == 3:
        return samples
    return _convert(samples, _MODES[channels], transform)


def lab_to_srgb(image: Image.Image) -> Image.Image:
    """Convert a CIELab image to sRGB.

    Raises:
        ValueError: if the transform gives no image.
    """
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB", _INTENT
    )
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:
        raise ValueError("the transform gave no image")
    return converted


class _Mismatch(Exception):
    """The profile is for another kind of pixels."""


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from `mode` to sRGB; None if the profile equals sRGB within one level.

    Raises:
        _Mismatch: if the profile is for another kind of pixels.
    """
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = opened.profile.xcolor_space.strip()
    if mode == "L" and space == "RGB":
        # A gray file often carries the profile of the RGB photo it was made from. Gray levels
        # then use the same curve in all three channels.
        mode = "RGB"
    if _SPACES.get(space) != mode:
        raise _Mismatch(f"it is for {space or 'unknown'} pixels")
    transform = ImageCms.buildTransform(
        opened, ImageCms.createProfile("sRGB"), mode, "RGB", _INTENT, _FLAGS
    )
    return None if mode == "RGB" and _is_identity(transform) else transform


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether the transform moves no colour of a coarse lattice by more than one level."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(1, -1, 3)
    moved = _apply(lattice, "RGB", transform)
    return bool(np.abs(moved.astype(np.int16) - lattice).max() <= 1)


def _convert(
    samples: UInt8Array, mode: str, transform: ImageCms.ImageCmsTransform | None
) -> UInt8Array:
    height, width = samples.shape[:2]
    in_place = mode == "RGB" and samples.flags.writeable
    out = samples if in_place else np.empty((height, width, 3), np.uint8)
    for part in rows(height, width):
        out[part] = _apply(samples[part], mode, transform)
    return out


def _apply(
    strip: UInt8Array, mode: str, transform: ImageCms.ImageCmsTransform | None
) -> UInt8Array:
    """Convert one strip to sRGB; without a transform, by Pillow's own conversion."""
    height, width = strip.shape[:2]
    image = Image.frombuffer(mode, (width, height), np.ascontiguousarray(strip), "raw", mode, 0, 1)
    if transform is None:
        return np.asarray(image.convert("RGB"))
    if transform.input_mode == "RGB" and mode == "L":
        image = image.convert("RGB")
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:
        raise ValueError("the transform gave no image")
    return np.asarray(converted)
