"""The launcher, with small scripts in real processes instead of workers."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import processes
from worker.launcher import __main__ as start
from worker.launcher import supervisor as launcher
from worker.launcher.devices import Place
from worker.launcher.supervisor import Launcher

#: Defines `note`, which appends a word and the process id to the log file.
PREAMBLE = """
import os, signal, sys, time
from pathlib import Path
log = Path(sys.argv[1])
def note(word):
    with log.open("a") as file:
        file.write(f"{word} {os.getpid()}\\n")
"""
SERVE = """
def leave(*_):
    time.sleep(0.2)
    note("left")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
note("began")
while True:
    time.sleep(0.01)
"""
DIE = 'note("began"); sys.exit(3)'


class Children:
    """The launched processes and the words they wrote to the log."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.started: list[subprocess.Popen[bytes]] = []
        self.asked: list[list[str]] = []

    def noted(self, word: str) -> list[int]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [int(pid) for said, pid in map(str.split, lines) if said == word]

    def await_noted(self, word: str, count: int) -> None:
        deadline = time.monotonic() + 20
        while len(self.noted(word)) < count:
            assert time.monotonic() < deadline, f"{word}: {self.noted(word)}"
            time.sleep(0.01)


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Children]:
    monkeypatch.setattr(launcher, "_FIRST_DELAY", 0.01)
    made = Children(tmp_path / "log")
    yield made
    for child in made.started:
        child.kill()
        child.wait()


Script = Callable[[str], None]


@pytest.fixture
def script(children: Children, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Start this program in place of every worker."""
    spawn = processes.spawn

    def run(text: str) -> None:
        def instead(argv: list[str], **options: Any) -> subprocess.Popen[bytes]:
            children.asked.append(argv)
            given = [str(children.log), argv[-1], *map(str, options["pass_fds"])]
            own = [sys.executable, "-S", "-c", PREAMBLE + text, *given]
            child = spawn(own, **options)
            children.started.append(child)
            return child

        monkeypatch.setattr(processes, "spawn", instead)

    return run


def supervise(supervisor: Launcher, meanwhile: Callable[[], None]) -> int:
    """Run the launcher in this thread and `meanwhile` in another, then stop the launcher."""
    failures: list[BaseException] = []

    def aside() -> None:
        try:
            meanwhile()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)
        finally:
            supervisor.stop()

    thread = threading.Thread(target=aside)
    thread.start()
    status = supervisor.run()
    thread.join()
    for failure in failures:
        raise failure
    return status


def places(*names: str) -> list[Place]:
    return [Place(name) for name in names]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_each_name_gets_a_worker_of_its_own(children: Children, script: Script) -> None:
    script(SERVE)
    names = ["worker@here-0", "worker@here-1"]
    assert supervise(Launcher(places(*names), 5), lambda: children.await_noted("began", 2)) == 0
    assert [argv[1:4] for argv in children.asked] == [["-P", "-m", "worker"]] * 2
    assert [argv[-2:] for argv in children.asked] == [["--name", name] for name in names]


def test_a_worker_that_dies_is_started_again(children: Children, script: Script) -> None:
    script(SERVE)

    def murder() -> None:
        for count in (1, 2, 3):
            children.await_noted("began", count)
            os.kill(children.noted("began")[-1], signal.SIGKILL)
        children.await_noted("began", 4)

    assert supervise(Launcher(places("worker"), 5), murder) == 0
    assert len(set(children.noted("began"))) == 4


def test_a_dead_worker_does_not_affect_the_others(children: Children, script: Script) -> None:
    script(SERVE)

    def murder() -> None:
        children.await_noted("began", 2)
        os.kill(children.noted("began")[0], signal.SIGKILL)
        children.await_noted("began", 3)
        assert alive(children.noted("began")[1])

    assert supervise(Launcher(places("one", "two"), 5), murder) == 0
    assert children.noted("began")[1] in children.noted("left")


def test_a_worker_that_keeps_dying_is_abandoned_with_an_error(
    children: Children, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script(DIE)
    with caplog.at_level(logging.INFO, "nukki.launcher"):
        assert Launcher(places("worker"), 5).run() == 1
    assert len(children.noted("began")) == 5
    levels = [record.levelname for record in caplog.records]
    assert levels == ["ERROR"] * 4 + ["CRITICAL"]
    assert "5 times" in caplog.records[-1].message


def test_each_start_waits_longer_than_the_one_before(
    script: Script, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(DIE)
    slots: list[float] = []
    buried = launcher._Slot.buried

    def note(slot: launcher._Slot, now: float) -> float | None:
        delay = buried(slot, now)
        slots.append(delay or 0)
        return delay

    monkeypatch.setattr(launcher._Slot, "buried", note)
    Launcher(places("worker"), 5).run()
    assert slots == [0.01, 0.02, 0.04, 0.08, 0]


def test_a_worker_that_was_ready_is_always_restarted(children: Children, script: Script) -> None:
    script(
        'import signal; os.write(int(sys.argv[3]), b"."); note("began"); os.kill(os.getpid(), 9)'
    )
    supervisor = Launcher(places("worker"), 5)
    assert supervise(supervisor, lambda: children.await_noted("began", 8)) == 0


def test_old_deaths_do_not_count(
    children: Children, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_WINDOW", 0.1)
    script(DIE)
    assert supervise(Launcher(places("worker"), 5), lambda: children.await_noted("began", 7)) == 0


def test_abandoning_one_worker_keeps_the_others_running(
    children: Children, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script(f"if sys.argv[2] == 'bad':\n    note('died'); sys.exit(3)\n{SERVE}")

    def until_given_up() -> None:
        children.await_noted("died", 5)
        while "giving up" not in caplog.text:
            time.sleep(0.01)
        assert not children.noted("left")

    supervisor = Launcher(places("good", "bad"), 5)
    assert supervise(supervisor, until_given_up) == 0
    assert children.noted("left") == children.noted("began")
    assert len(children.noted("began")) == 1
    assert len(children.noted("died")) == 5
    given_up = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert [vars(record)["worker"] for record in given_up] == ["bad"]


@pytest.mark.parametrize(("second", "status"), [(3, 1), (78, 78)])
def test_the_launcher_exits_when_no_worker_is_left(
    children: Children, script: Script, second: int, status: int
) -> None:
    script(f"note('died'); sys.exit(78 if sys.argv[2] == 'one' else {second})")
    assert Launcher(places("one", "two"), 5).run() == status
    assert len(children.noted("died")) == 1 + (5 if second == 3 else 1)


def test_each_worker_gets_the_environment_of_its_place(
    children: Children, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    script(f"note(sys.argv[2] + '=' + os.environ['CUDA_VISIBLE_DEVICES'])\n{SERVE}")
    two = [Place("one", {"CUDA_VISIBLE_DEVICES": "GPU-a"}), Place("two")]
    assert supervise(Launcher(two, 5), lambda: children.await_noted("began", 2)) == 0
    assert len(children.noted("one=GPU-a")) == len(children.noted("two=7")) == 1


def test_a_worker_with_a_bad_configuration_is_not_restarted(
    children: Children, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script('note("began"); sys.exit(78)')
    assert Launcher(places("worker"), 5).run() == 78
    assert len(children.noted("began")) == 1
    assert "configuration" in caplog.text


def test_stopping_passes_sigterm_on_and_waits(children: Children, script: Script) -> None:
    script(SERVE)
    assert (
        supervise(Launcher(places("one", "two"), 5), lambda: children.await_noted("began", 2)) == 0
    )
    assert sorted(children.noted("left")) == sorted(children.noted("began"))


def test_all_children_end_with_the_launcher(children: Children, script: Script) -> None:
    script(SERVE)
    supervise(Launcher(places("one", "two"), 5), lambda: children.await_noted("began", 2))
    assert [alive(child.pid) for child in children.started] == [False, False]


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace_period(
    children: Children, script: Script
) -> None:
    script('signal.signal(signal.SIGTERM, signal.SIG_IGN); note("began"); time.sleep(60)')
    began = time.monotonic()
    # The launcher adds five seconds to a worker's grace period; -4.7 leaves 0.3.
    supervise(Launcher(places("worker"), -4.7), lambda: children.await_noted("began", 1))
    assert time.monotonic() - began < 5
    assert not alive(children.started[0].pid)


def test_the_grace_period_is_shared_by_all_children(children: Children, script: Script) -> None:
    script('signal.signal(signal.SIGTERM, signal.SIG_IGN); note("began"); time.sleep(60)')
    supervisor = Launcher(places("one", "two", "three"), -4)
    took: list[float] = []

    def meanwhile() -> None:
        children.await_noted("began", 3)
        took.append(time.monotonic())

    supervise(supervisor, meanwhile)
    assert time.monotonic() - took[0] < 2
    assert [alive(child.pid) for child in children.started] == [False] * 3


def test_stopping_before_the_start_starts_nothing(children: Children, script: Script) -> None:
    script(SERVE)
    supervisor = Launcher(places("worker"), 5)
    supervisor.stop()
    assert supervisor.run() == 0
    assert children.started == []


def test_a_child_does_not_outlive_a_launcher_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = (
        "import sys\n"
        "from shared import processes\n"
        "child = processes.spawn([sys.executable, '-S', '-c', sys.argv[1], sys.argv[2]])\n"
        "child.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, PREAMBLE + SERVE, str(log)])
    children = Children(log)
    children.await_noted("began", 1)
    parent.kill()
    parent.wait()
    children.await_noted("left", 1)


def test_an_invalid_setting_is_reported_with_exit_code_78(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUKKI_SHUTDOWN_GRACE", "soon")
    with pytest.raises(SystemExit) as left:
        start.main([])
    assert left.value.code == 78
    assert "NUKKI_SHUTDOWN_GRACE" in capsys.readouterr().err


def test_the_launchers_options_reach_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUKKI_MODEL", "grabcut")
    monkeypatch.setenv("NUKKI_CHECKPOINT", "other.pt")
    seen: list[tuple[str, str]] = []

    def run(_: launcher.Launcher) -> int:
        seen.append((os.environ["NUKKI_MODEL"], os.environ["NUKKI_CHECKPOINT"]))
        return 0

    monkeypatch.setattr(launcher.Launcher, "run", run)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert start.main(["--model", "sam2.1_hiera_tiny", "--checkpoint", "my.pt"]) == 0
    assert seen == [("sam2.1_hiera_tiny", "my.pt")]
