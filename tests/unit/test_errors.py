"""The error trees as drawn are the error trees as they are, and every error is answered."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TypeVar

import httpx
import pytest

import nukki
from api.problems import HTTP_STATUS, STATUS_OF_CODE
from nukki import errors as client_errors
from nukki.answers import problem_of
from shared import errors
from shared.errors import InvalidRequest, ServiceError
from shared.field_problem import FieldProblem

#: Raised where no caller waits for an answer.
NOT_ANSWERED = {errors.LeaseLost, errors.ConfigError, errors.CheckpointError}

Raised = TypeVar("Raised", bound=Exception)

_LINE = re.compile(r"^(?P<rails>[│ ]*[├└]── |)(?P<name>[A-Z]\w+)(?P<rest>.*)$")


@dataclass(frozen=True)
class Drawn:
    """One line of a drawn tree."""

    name: str
    parent: str | None
    rest: str


def drawn(docstring: str, root: str) -> list[Drawn]:
    """The tree in a module's docstring, read by its indents."""
    lines = docstring.splitlines()
    first = next(n for n, line in enumerate(lines) if line.strip() == root)
    margin = len(lines[first]) - len(root)
    nodes: list[Drawn] = []
    above: list[str] = []
    for line in lines[first:]:
        found = _LINE.match(line[margin:])
        if found is None:
            break
        depth = len(found["rails"]) // 4
        above = [*above[:depth], found["name"]]
        nodes.append(Drawn(found["name"], above[-2] if depth else None, found["rest"]))
    return nodes


def below(root: type[Raised]) -> set[type[Raised]]:
    """The class and all its subclasses of the same package."""
    found = {root}
    for child in root.__subclasses__():
        if child.__module__.split(".")[0] == root.__module__.split(".")[0]:
            found |= below(child)
    return found


SERVER_TREE = drawn(errors.__doc__ or "", "ServiceError")
CLIENT_TREE = drawn(client_errors.__doc__ or "", "NukkiError")
SERVER_ERRORS = sorted(below(ServiceError), key=lambda error: error.__name__)
CLIENT_ERRORS = sorted(below(client_errors.NukkiError), key=lambda error: error.__name__)


def test_the_servers_tree_is_drawn_whole() -> None:
    assert {node.name for node in SERVER_TREE} == {error.__name__ for error in SERVER_ERRORS}


def test_the_clients_tree_is_drawn_whole() -> None:
    assert {node.name for node in CLIENT_TREE} == {error.__name__ for error in CLIENT_ERRORS}


@pytest.mark.parametrize("node", SERVER_TREE, ids=lambda node: node.name)
def test_a_drawn_error_hangs_where_its_class_does(node: Drawn) -> None:
    error: type[ServiceError] = getattr(errors, node.name)
    assert (error.__base__ or object).__name__ == (node.parent or "Exception")


@pytest.mark.parametrize("node", SERVER_TREE, ids=lambda node: node.name)
def test_a_drawn_error_has_its_classs_code(node: Drawn) -> None:
    error: type[ServiceError] = getattr(errors, node.name)
    code = re.search(r"\[(\w+)\]", node.rest)
    assert (error.__dict__.get("code") if node.parent else None) == (code[1] if code else None)


@pytest.mark.parametrize("node", SERVER_TREE, ids=lambda node: node.name)
def test_a_drawn_error_is_as_retryable_as_its_class(node: Drawn) -> None:
    error: type[ServiceError] = getattr(errors, node.name)
    said = "retryable" in node.rest
    inherited = node.parent is not None and getattr(errors, node.parent).retryable
    assert error.retryable == (said or inherited)


@pytest.mark.parametrize("node", CLIENT_TREE, ids=lambda node: node.name)
def test_a_drawn_client_error_hangs_where_its_class_does(node: Drawn) -> None:
    error: type[Exception] = getattr(client_errors, node.name)
    assert (error.__base__ or object).__name__ == (node.parent or "Exception")


def test_the_clients_tree_draws_the_statuses_it_maps() -> None:
    said = {
        int(status): node.name
        for node in CLIENT_TREE
        for status in re.findall(r"\b[45]\d\d\b", node.rest)
    }
    mapped = {status: error.__name__ for status, error in client_errors.BY_STATUS.items()}
    assert said == mapped


def test_no_two_errors_share_a_code() -> None:
    codes = [error.code for error in SERVER_ERRORS if "code" in error.__dict__]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("error", SERVER_ERRORS, ids=lambda error: error.__name__)
def test_every_error_has_a_default_message_of_its_own(error: type[ServiceError]) -> None:
    message = error().message
    assert message == error.__dict__["default_message"]
    assert message.endswith((".", ")."))
    assert "\n" not in message


def test_default_messages_survive_without_docstrings() -> None:
    """`python -OO` removes docstrings; every message stays the same."""
    names = [error.__name__ for error in SERVER_ERRORS]
    probe = (
        "import json; from shared import errors; "
        f"print(json.dumps([errors.__doc__] + [str(getattr(errors, n)()) for n in {names}]))"
    )
    shown = subprocess.run(
        [sys.executable, "-OO", "-c", probe], capture_output=True, text=True, check=True
    )
    docstring, *messages = json.loads(shown.stdout)
    assert docstring is None  # the child really has none
    assert messages == [error().message for error in SERVER_ERRORS]


#: Prints the help of every `nukki` command but `cut`, and of the processes, as JSON.
HELP_PROBE = """
import contextlib, io, json
import api.__main__, worker.__main__, worker.launcher.__main__
from nukki.command import main

def commands(group, path):
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{path} {name}")

shown = {path: command.help for path, command in commands(main, "nukki") if path != "nukki cut"}
for module in (api.__main__, worker.__main__, worker.launcher.__main__):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        module.main(["--help"])
    shown[module.__name__] = out.getvalue()
print(json.dumps([api.__main__.__doc__, shown]))
"""


def test_help_texts_survive_without_docstrings() -> None:
    """`python -OO` removes docstrings; the help of commands and processes stays the same."""
    (docstring, whole), (gone, bare) = (
        json.loads(
            subprocess.run(
                [sys.executable, *flags, "-c", HELP_PROBE],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for flags in ([], ["-OO"])
    )
    assert docstring is not None
    assert gone is None  # the second child really has none
    assert {"nukki up", "nukki models pull", "worker.launcher.__main__"} <= whole.keys()
    assert bare == whole


@pytest.mark.parametrize("error", SERVER_ERRORS, ids=lambda error: error.__name__)
def test_an_error_says_what_it_is_given(error: type[ServiceError]) -> None:
    assert error("in other words").message == "in other words"


@pytest.mark.parametrize(
    "error",
    [error for error in SERVER_ERRORS if "code" in error.__dict__],
    ids=lambda error: error.__name__,
)
def test_every_error_with_a_code_is_answered(error: type[ServiceError]) -> None:
    assert (error in HTTP_STATUS) != (error in NOT_ANSWERED or error is ServiceError)


@pytest.mark.parametrize("error", HTTP_STATUS, ids=lambda error: error.__name__)
def test_only_what_may_succeed_unchanged_is_answered_503(error: type[ServiceError]) -> None:
    blames_caller = 400 <= HTTP_STATUS[error] < 500 and HTTP_STATUS[error] != 429
    assert blames_caller == issubclass(error, errors.CallerError | errors.SubjectNotFound)
    assert HTTP_STATUS[error] not in {429, 503} or error.retryable


def test_every_code_has_one_status() -> None:
    assert len(STATUS_OF_CODE) == len(HTTP_STATUS)


@pytest.mark.parametrize("status", sorted(set(HTTP_STATUS.values()) | {429}))
def test_the_client_has_an_error_of_its_own_for_every_status(status: int) -> None:
    problem = problem_of(httpx.Response(status, json={"detail": "oh", "code": "some_code"}))
    assert (type(problem) is client_errors.ServerError) == (status in {500, 502})
    assert (problem.status, problem.code, str(problem)) == (status, "some_code", "oh")


def test_every_client_error_can_be_imported_from_the_package() -> None:
    assert {error.__name__ for error in CLIENT_ERRORS} <= set(nukki.__all__)
    for error in CLIENT_ERRORS:
        assert getattr(nukki, error.__name__) is error


def test_a_field_problem_names_its_field_in_the_message_too() -> None:
    error = InvalidRequest.field("prompt.box", "is inverted")
    assert error.message == "prompt.box: is inverted"
    assert error.fields == (FieldProblem("prompt.box", "is inverted"),)
