"""The photos that are sent, and what a run without faults makes of each."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tests.chaos.plan import DEADLY, HANGING


@dataclass(frozen=True, slots=True)
class Photo:
    """A small photo; `fails` is the code that its job is to end with, where it cannot succeed."""

    name: str
    data: bytes
    fails: str | None = None


def draw(name: str, width: int, height: int, rng: random.Random, fails: str | None = None) -> Photo:
    """A photo of coarse noise, so that each differs in every file made of it."""
    noise = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (8, 8, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR).save(data, "JPEG")
    return Photo(name, data.getvalue(), fails)


def good(rng: random.Random, count: int = 8) -> list[Photo]:
    """Photos that succeed."""
    return [draw(f"photo {n}", 64 + 8 * n, 48 + 8 * n, rng) for n in range(count)]


def deadly(rng: random.Random) -> Photo:
    """A photo that kills the process each time."""
    return draw("deadly", DEADLY, 40, rng, "poisoned")


def hanging(rng: random.Random) -> Photo:
    """A photo that the device never comes back from."""
    return draw("hanging", HANGING, 40, rng, "poisoned")
