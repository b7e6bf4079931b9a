"""The Lua scripts: each one with the parts that it uses.

A script's or part's lines `-- uses: NAME, …` name files of `lua/parts`. Every script has `base`.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources

from shared.storage import keys

_USES = re.compile(r"^-- uses: (.+)$", re.MULTILINE)
#: Lua reads these strings as JSON writes them.
_NAMES = "local NAMES = {{{}}}\n".format(
    ", ".join(
        f"{name} = {json.dumps(getattr(keys, name))}"
        for name in ("INPUT", "UPLOAD", "ATTEMPT", "ARCHIVE", "REMAINS")
    )
)


@cache
def source(name: str) -> str:
    """The whole text of the script `name`, as Redis gets it."""
    script = _read(f"{name}.lua")
    parts = dict.fromkeys(["base", *_used_by(script)])
    return _NAMES + "".join(_read(f"parts/{part}.lua") for part in parts) + script


def _used_by(text: str) -> list[str]:
    """The parts that a text uses, each after those that it uses itself."""
    named = [part for line in _USES.findall(text) for part in line.split(", ")]
    return [each for part in named for each in (*_used_by(_read(f"parts/{part}.lua")), part)]


def _read(path: str) -> str:
    return (resources.files("shared.queue") / "lua" / path).read_text(encoding="utf-8")
