"""Reads a finished file again and measures it against its preset's rules."""

from __future__ import annotations

import io
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image, ImageCms

from shared.arrays import UInt8Array
from shared.job import Check, Compliance
from shared.presets import Range, Rules, presets
from worker.framing.haze import CLEARANCE, near
from worker.matting.solid import box_of, solid_alpha


def report(file: bytes, alpha: UInt8Array, preset: str, *, limited: bool) -> Compliance:
    """The checks of a preset.

    Args:
        file: the finished picture.
        alpha: (h, w) uint8, where the subject lies on it.
        preset: its name.
        limited: whether the subject is smaller than was asked for, because nothing is enlarged.
    """
    rules = presets()[preset].rules
    with Image.open(io.BytesIO(file)) as image:
        image.load()
        checks = tuple(_checks(image, len(file), alpha, rules))
    passed = all(check.passed for check in checks)
    return Compliance(
        preset=preset, passed=passed, upscale_required=limited and not passed, checks=checks
    )


def _checks(image: Image.Image, size: int, alpha: UInt8Array, rules: Rules) -> Iterator[Check]:
    width, height = image.size
    found = (image.format or "unknown").lower()
    yield _check("format", " or ".join(rules.formats), found, found in rules.formats)
    if rules.bytes is not None:
        yield _check("bytes", f"≤ {rules.bytes}", str(size), size <= rules.bytes)
    if rules.longest_side is not None:
        yield _within("longest_side", rules.longest_side, max(width, height))
    if rules.shortest_side is not None:
        yield _within("shortest_side", rules.shortest_side, min(width, height))
    if rules.square:
        yield _check("square", "1:1", f"{width}×{height}", width == height)
    if rules.fill is not None:
        yield _within("fill", rules.fill, round(fill(alpha), 4))
    if rules.background is not None:
        opaque = not image.has_transparency_data
        yield _check("opaque", "no alpha", "no alpha" if opaque else "alpha", opaque)
        rgb = np.asarray(image.convert("RGB"), np.uint8)
        wrong = off_colour(rgb, alpha, rules.background)
        wanted = f"{rules.background} beyond {CLEARANCE} px of the subject"
        yield _check("background", wanted, f"{wrong} pixels differ", opaque and wrong == 0)
    profile = _profile(image)
    yield _check("colour_space", "sRGB", profile, profile.startswith("sRGB"))


def fill(alpha: UInt8Array) -> float:
    """The longest side of the subject's box as a share of the frame's side along it.

    The box is of what is more opaque than not, as `Subject.box` is.
    """
    x1, y1, x2, y2 = box_of(solid_alpha(alpha)) or (0, 0, 0, 0)
    width, height = x2 - x1, y2 - y1
    side = 0 if height > width else 1
    return float(max(width, height) / alpha.shape[side])


def off_colour(rgb: UInt8Array, alpha: UInt8Array, colour: str) -> int:
    """How many pixels of the background of an (h, w, 3) picture are not exactly this colour."""
    exact = tuple(bytes.fromhex(colour[1:]))
    right = cv2.inRange(rgb, exact, exact)
    return int(right.size - cv2.countNonZero(cv2.bitwise_or(right, near(alpha, CLEARANCE))))


def _profile(image: Image.Image) -> str:
    """What the file says its colours are; without a profile they are taken for sRGB."""
    data = image.info.get("icc_profile")
    if not data:
        return "sRGB" if image.mode != "CMYK" else "CMYK"
    opened = ImageCms.ImageCmsProfile(io.BytesIO(data))
    return ImageCms.getProfileDescription(opened).strip() or "unnamed profile"


def _within(name: str, wanted: Range, measured: float) -> Check:
    low, high = wanted
    return _check(name, f"{low:g} to {high:g}", f"{measured:g}", low <= measured <= high)


def _check(name: str, wanted: str, measured: str, passed: bool) -> Check:
    return Check(name=name, wanted=wanted, measured=measured, passed=passed)
