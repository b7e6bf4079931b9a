"""The photos, true alphas and cases that are measured with but never committed.

They lie in the folder that `NUKKI_TEST_MATERIAL` names, `../shared` beside the checkout where it is
unset. Tests and benches that need them skip, saying so, where they are absent.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "NUKKI_TEST_MATERIAL"


def folder(*parts: str) -> Path:
    """A path in the material; it need not exist."""
    named = os.environ.get(VARIABLE)
    return Path(named or ROOT.parent / "shared", *parts).resolve()


def require(*parts: str) -> Path:
    """As `folder`; the calling test or module is skipped where it does not exist."""
    path = folder(*parts)
    if not path.exists():
        pytest.skip(f"no {'/'.join(parts)} in {folder()} ({VARIABLE})", allow_module_level=True)
    return path
