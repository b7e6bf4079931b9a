"""Marketplaces' requirements for images; only `presets.toml` holds the figures."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib import resources

from pydantic import Field

from shared.model import Model

Range = tuple[float, float]


class Look(Model):
    """Values for the fields of `output` that a caller left out; see `presets.toml`."""

    format: str
    background: str
    scale: float = Field(gt=0, le=1)
    side: int
    least_side: int


class Rules(Model):
    """Rules checked on the finished file; None is not checked. See `presets.toml`."""

    formats: tuple[str, ...]
    shortest_side: Range | None = None
    longest_side: Range | None = None
    fill: Range | None = None
    background: str | None = None
    square: bool = False
    bytes: int | None = None


class Preset(Model):
    """One marketplace's look and rules, and where they come from."""

    title: str
    source: str
    seen: date
    first_hand: bool
    look: Look
    rules: Rules


@cache
def presets() -> Mapping[str, Preset]:
    """All presets by name."""
    text = (resources.files(__name__) / "presets.toml").read_text(encoding="utf-8")
    return {name: Preset.model_validate(data) for name, data in tomllib.loads(text).items()}
