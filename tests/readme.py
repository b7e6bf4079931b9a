"""The README's generated part, and its blocks of code for the tests."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from pydantic import BaseModel

from shared.settings import Settings, variable

README = Path(__file__).parent.parent / "README.md"
_SETTINGS = re.compile(r"(<!-- settings -->\n).*?(<!-- /settings -->)", re.DOTALL)


def table() -> str:
    """The settings as the README's Markdown table."""
    rows = ["| variable | default | what it does |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, tuple):
            default = ",".join(f"{item:g}" for item in default)
        if isinstance(default, BaseModel):
            default = default.model_dump_json()
        shown = "" if default in (None, "") else f"`{default}`"
        rows.append(f"| `{variable(name, field)}` | {shown} | {field.description} |")
    return "\n".join(rows)


def rendered(text: str) -> str:
    """The README with its configuration table generated."""
    return _SETTINGS.sub(lambda found: f"{found[1]}{table()}\n{found[2]}", text)


def blocks(language: str) -> list[str]:
    """The code blocks in that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    README.write_text(rendered(README.read_text()))
