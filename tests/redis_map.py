"""The map of Redis as tests and operators read it."""

from __future__ import annotations

from pathlib import Path

from shared.queue.family import Family, Kind
from shared.queue.keys import FAMILIES

PAGE = Path(__file__).parent.parent / "docs" / "redis.md"


def family_of(key: str) -> Family | None:
    """The family that a key found in Redis belongs to; None outside the map."""
    found = (family for family in FAMILIES if family.kind is not Kind.CHANNEL)
    return next((family for family in found if family.matches(key)), None)


def page() -> str:
    """The map as `docs/redis.md` has it."""
    lines = [
        "# What is in Redis",
        "",
        "Generated from `shared/queue/keys.py` by `make docs`.",
        "Words in capitals stand for a value; scores and times are of Redis's own clock.",
        "",
        "| key | type | holds | written by | removed by, or when |",
        "| --- | --- | --- | --- | --- |",
    ]
    for family in FAMILIES:
        cells = (family.holds, family.written_by, family.goes)
        lines.append(f"| `{family.pattern}` | {family.kind} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
