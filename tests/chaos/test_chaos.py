"""Short chaos run: each kind of fault once, with no job lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nukki.redis_server import find_server
from shared.errors import ConfigError
from tests.chaos.faults import KINDS
from tests.chaos.plan import Plan
from tests.chaos.run import run
from tests.conftest import missing

SHORT = Plan(seed=7, jobs=300, minutes=None, stop=5.0, gap=0.5, attempts=4, outstanding=200)


@pytest.mark.serial
@pytest.mark.timeout(300)  # takes three minutes, mostly waiting
def test_no_job_is_lost_under_any_fault(tmp_path: Path) -> None:
    try:
        server = find_server()
    except ConfigError:
        missing("redis-server")
    tally = asyncio.run(run(SHORT, tmp_path, server))
    print(tally.table())
    assert not tally.wrongs
    assert set(tally.faults) == {kind.kind for kind in KINDS}
    assert tally.accepted >= SHORT.jobs  # `make chaos` measures speed, on an idle machine
    assert not tally.unclaimed
    assert tally.poisoned == 2  # the deadly photo and the hanging one
    assert tally.succeeded + tally.canceled + tally.deleted == tally.accepted - 2
    assert tally.canceled
    assert tally.deleted
