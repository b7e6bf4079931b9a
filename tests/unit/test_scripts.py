"""The Lua scripts: each has the parts that it uses, and names storage as Python does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.queue import scripts
from shared.queue.connection import Connection
from shared.storage import keys

LUA = Path(scripts.__file__).parent / "lua"
PARTS = {path.stem: path.read_text() for path in (LUA / "parts").glob("*.lua")}
SCRIPTS = {path.stem: path.read_text() for path in LUA.glob("*.lua")}
FUNCTIONS = {
    name: part
    for part, text in PARTS.items()
    for name in re.findall(r"^local function (\w+)", text, re.MULTILINE)
}


def code(text: str) -> str:
    return re.sub(r"--.*", "", text)


def called(text: str) -> set[str]:
    """The parts whose functions a text calls."""
    return {
        part
        for name, part in FUNCTIONS.items()
        if re.search(rf"(?<!function )\b{name}\(", code(text))
    }


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_declares_the_parts_that_it_calls(name: str) -> None:
    declared = set(scripts._used_by(SCRIPTS[name]))
    assert called(SCRIPTS[name]) - {"base"} <= declared
    named = {part for line in scripts._USES.findall(SCRIPTS[name]) for part in line.split(", ")}
    assert all(part in called(SCRIPTS[name]) or "NAMES" in SCRIPTS[name] for part in named)


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_part_comes_after_the_parts_that_it_calls(name: str) -> None:
    assert called(PARTS[name]) - {"base", name} <= set(scripts._used_by(PARTS[name]))


def test_each_part_stands_in_a_script_once() -> None:
    for name in SCRIPTS:
        text = scripts.source(name)
        for function in FUNCTIONS:
            assert text.count(f"local function {function}(") <= 1


def named(connection: Connection, expression: str) -> object:
    """What the parts for storage names give."""
    text = "".join((scripts._NAMES, PARTS["base"], PARTS["names"], f"return {expression}"))
    return connection.redis.eval(text, 1, "nukki:", "{}")


def test_lua_and_python_name_storage_alike(connection: Connection) -> None:
    assert named(connection, "input_name('shop', 'inp_1')") == keys.input_key("shop", "inp_1")
    job = "{tenant = 'a-b.c', claims = '2'}"
    assert named(connection, f"attempt_folder({job}, 'job_1') .. 'alpha'") == keys.attempt_key(
        "a-b.c", "job_1", 2, keys.ALPHA
    )
    assert named(connection, f"archive_name({job}, 'job_1')") == keys.archive_key("a-b.c", "job_1")


@pytest.mark.parametrize("claims", ["2", ""])
@pytest.mark.parametrize("backdrop", ["inp_2", ""])
def test_what_is_kept_of_an_archived_job_is_read_back(
    connection: Connection, claims: str, backdrop: str
) -> None:
    fields = {"tenant": "a-b", "input": "inp_1", "claims": claims, "backdrop": backdrop}
    given = ", ".join(f"{name} = '{value}'" for name, value in fields.items() if value)
    name = named(connection, f"remains_name({{{given}}}, 'job_1')")
    assert name == "/".join(["a-b/jobs/job_1", claims, "inp_1", *filter(None, [backdrop])])
    assert named(connection, f"job_of_remains('{name}')") == "job_1"
    parts = keys.read(keys.REMAINS, str(name)) or keys.read(keys.REMAINS, f"{name}/")
    assert parts == fields | {"job": "job_1"}


def test_a_name_of_another_kind_is_not_read(connection: Connection) -> None:
    photo = keys.input_key("shop", "inp_1")
    assert named(connection, f"job_of_remains('{photo}')") is None
    assert named(connection, "job_of_remains('job_1')") is None
    assert keys.read(keys.ARCHIVE, "shop/jobs/job_1/jobXjson") is None
    assert named(connection, "read(NAMES.ARCHIVE, 'shop/jobs/job_1/jobXjson')") is None
    assert named(connection, "read(NAMES.INPUT, 'a-b/inputs/inp_1')") == "a-b"
