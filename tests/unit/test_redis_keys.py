"""The map of Redis: complete, well formed, and the only place in Python that builds key names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.queue import keys
from shared.queue.family import PREFIX, Family, Kind
from shared.queue.keys import FAMILIES
from tests import redis_map
from tests.redis_map import family_of

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = sorted((ROOT / "shared/queue/lua").rglob("*.lua"))
MODULES = sorted(
    path for room in ("api", "worker", "shared", "nukki") for path in (ROOT / room).rglob("*.py")
)
EXAMPLES = {
    "JOB": "job_0f",
    "INPUT": "inp_0f",
    "DELIVERY": "msg_0f_review",
    "LANE": "bulk",
    "NAME": "host:1",
    "TENANT": "shop",
    "KEY": "order:7",
    "RECEIVER": "shop/example.com:8080",
    "SHARE": "shop/silent",
}


def named(family: Family) -> str:
    """One of its keys."""
    return family.key(*(EXAMPLES[of] for of in family.of.split(":") if of))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: str(family.pattern))
def test_a_key_is_of_its_own_family_only(family: Family) -> None:
    key = named(family)
    assert [other.name for other in FAMILIES if other.matches(key)] == [family.name]
    found = family_of(key)
    assert found is (None if family.kind is Kind.CHANNEL else family)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: str(family.pattern))
def test_each_cell_of_the_map_is_filled(family: Family) -> None:
    assert all((family.holds, family.written_by, family.goes))
    assert "|" not in family.holds + family.written_by + family.goes


def test_every_family_of_the_module_is_in_the_map() -> None:
    assert [item for item in vars(keys).values() if isinstance(item, Family)] == sorted(
        FAMILIES, key=list(vars(keys).values()).index
    )
    assert len({family.pattern for family in FAMILIES}) == len(FAMILIES)


@pytest.mark.parametrize("key", ["nukki:new", "nukki:job:", "nukki:due:1", "nukki:job:x", "due"])
def test_an_unknown_key_is_of_no_family(key: str) -> None:
    assert family_of(key) is None


@pytest.mark.parametrize("parts", [(), ("job_1", "job_2")])
def test_a_key_takes_as_many_parts_as_its_pattern(parts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="nukki:job:JOB"):
        keys.JOB.key(*parts)


def test_the_scripts_build_the_keys_of_the_map_and_no_others() -> None:
    built, calls = set(), 0
    for path in SCRIPTS:
        text = re.sub(r"--.*", "", path.read_text()).replace("local function key(name, id)", "")
        calls += len(re.findall(r"\bkey\(", text))
        built |= set(re.findall(r"\bkey\('(\w+)'([,)])", text))
        assert len(re.findall(r"\bKEYS\b", text)) == (2 if path.name == "base.lua" else 0), path
    literal = sum(
        len(re.findall(r"\bkey\('\w+'[,)]", re.sub(r"--.*", "", path.read_text())))
        for path in SCRIPTS
    )
    assert calls == literal  # each names its family in place
    ours = {
        (family.name, "," if family.of else ")") for family in FAMILIES if family.prefix == PREFIX
    }
    assert built == ours - {
        # which Python alone keeps
        *{("workers", ")"), ("worker", ","), ("walk", ")"), ("walker", ")")},
    }


def test_no_other_module_builds_key_names() -> None:
    room = ROOT / "shared/queue"
    others = [path for path in MODULES if path not in {room / "keys.py", room / "family.py"}]
    wrong = [
        str(path.relative_to(ROOT))
        for path in others
        if re.search(r"\{(\w+\.)?PREFIX\}|[\"']nukki:\w|PREFIX \+", path.read_text())
        and path.name != "webhooks.py"  # a secret's prefix
    ]
    assert wrong == []


def test_the_page_for_operators_is_the_map() -> None:
    assert redis_map.PAGE.read_text() == redis_map.page()
