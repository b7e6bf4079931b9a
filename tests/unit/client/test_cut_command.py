"""`nukki cut`, through the real app."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nukki import Client, command, cut_command
from nukki.redis_server import free_port
from shared.job import Subject
from tests.unit.client.place import DONE, FAILED, KEY, Place

Cut = Callable[..., Result]


@pytest.fixture
def cut(place: Place, monkeypatch: pytest.MonkeyPatch, sample: bytes, tmp_path: Path) -> Cut:
    """Runs `nukki cut` in a folder that holds photo.png."""
    place.bell.outcome = DONE
    wired = functools.partial(Client, transport=place.line)
    monkeypatch.setattr(cut_command, "Client", wired)
    monkeypatch.chdir(tmp_path)
    for name in ("NUKKI_URL", "NUKKI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "photo.png").write_bytes(sample)

    def run(*arguments: str, server: str = "http://nukki.test") -> Result:
        return CliRunner().invoke(command.main, ["cut", *arguments, "--server", server])

    return run


def sent_job(place: Place) -> dict[str, Any]:
    """The `job` part of the first request."""
    content = place.line.sent[0].content
    part = content.split(b'name="job"')[1].split(b"\r\n\r\n")[1].split(b"\r\n--")[0]
    found: dict[str, Any] = json.loads(part)
    return found


def test_cut_writes_the_result_beside_the_photo(cut: Cut, tmp_path: Path) -> None:
    result = cut("photo.png")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "photo-cut.png").read_bytes() == b"the result"
    assert result.output == "photo-cut.png  (12 ms, grabcut)\n"


def test_cut_writes_to_the_output_option(cut: Cut, tmp_path: Path) -> None:
    assert cut("photo.png", "-o", "there.png").exit_code == 0
    assert (tmp_path / "there.png").read_bytes() == b"the result"


def test_cut_writes_to_standard_output_and_nothing_else_there(cut: Cut) -> None:
    result = cut("photo.png", "-o", "-")
    assert result.exit_code == 0
    assert result.stdout_bytes == b"the result"


def test_cut_submits_its_options(cut: Cut, place: Place) -> None:
    options = ["--point", "300,200", "--point", "10,20,0", "--box", "100,50,500,350"]
    result = cut("photo.png", *options, "--format", "webp", "--background", "#ffffff")
    assert result.exit_code == 0, result.output
    assert sent_job(place) == {
        "prompt": {
            "points": [[300, 200], [10, 20]],
            "labels": [1, 0],
            "box": [100, 50, 500, 350],
        },
        "output": {"type": "cutout", "format": "webp", "background": "#ffffff"},
    }


def test_cut_asks_for_the_mask_alone(cut: Cut, place: Place) -> None:
    assert cut("photo.png", "--mask").exit_code == 0
    assert sent_job(place)["output"]["type"] == "mask"


def test_cut_reports_that_a_result_needs_review(cut: Cut, place: Place) -> None:
    subject = Subject(
        box=(1, 2, 3, 4), area=0.5, scores=(1.0,), needs_review=True, reasons=("thin", "edge")
    )
    place.bell.outcome = DONE.model_copy(update={"subject": subject})
    assert "needs review: thin, edge" in cut("photo.png").output


def test_cut_exits_1_when_the_job_fails(cut: Cut, place: Place, tmp_path: Path) -> None:
    place.bell.outcome = FAILED
    result = cut("photo.png")
    assert result.exit_code == 1
    assert "nothing there" in result.stderr
    assert not (tmp_path / "photo-cut.png").exists()


def test_cut_exits_1_when_the_job_takes_too_long(cut: Cut, place: Place) -> None:
    place.bell.outcome = None
    result = cut("photo.png", "--timeout", "0.2")
    assert result.exit_code == 1
    assert "still queued" in result.stderr


def test_cut_exits_2_before_submitting_if_the_folder_is_missing(place: Place, cut: Cut) -> None:
    result = cut("photo.png", "-o", "no-such-folder/cut.png")
    assert result.exit_code == 2
    assert "no folder no-such-folder" in result.stderr
    assert list(place.client.jobs()) == []


def test_cut_exits_1_when_the_result_cannot_be_written(cut: Cut, tmp_path: Path) -> None:
    (tmp_path / "cut.png").mkdir()
    result = cut("photo.png", "-o", "cut.png")
    assert result.exit_code == 1
    assert "cannot write" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "PHOTO"),
        (["missing.png"], "missing.png"),
        (["photo.png", "--point", "here"], "'here' is not X,Y or X,Y,0"),
        (["photo.png", "--point", "1"], "'1' is not X,Y"),
        (["photo.png", "--point", "1,2,3"], "'1,2,3' is not X,Y"),
        (["photo.png", "--point", "nan,2"], "is not X,Y"),
        (["photo.png", "--box", "1,2,3"], "'1,2,3' is not X1,Y1,X2,Y2"),
        (["photo.png", "--format", "gif"], "gif"),
        (["photo.png", "--no-such-option"], "--no-such-option"),
    ],
)
def test_cut_exits_2_for_a_wrong_command_line(
    cut: Cut, place: Place, arguments: list[str], complaint: str
) -> None:
    result = cut(*arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert place.line.sent == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--point", "600,0"], "outside the 600×400 image"),
        (["--format", "jpeg"], "JPEG has no transparency"),
        (["--box", "9,9,1,1"], "x1 < x2"),
        (["--background", "green"], "background"),
    ],
)
def test_cut_exits_3_when_the_server_refuses(cut: Cut, options: list[str], complaint: str) -> None:
    result = cut("photo.png", *options)
    assert result.exit_code == 3
    assert complaint in result.stderr


def test_cut_exits_3_for_a_file_that_is_no_photo(cut: Cut, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a photo")
    result = cut("notes.txt")
    assert result.exit_code == 3
    assert "not supported" in result.stderr


def test_cut_exits_4_without_a_server(cut: Cut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut_command, "Client", Client)
    result = cut("photo.png", server=f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 4
    assert "no answer from 127.0.0.1" in result.stderr


@pytest.mark.parametrize("server", ["nukki.test", "ftp://nukki.test"])
def test_cut_exits_2_for_an_address_that_is_not_http(cut: Cut, server: str) -> None:
    result = cut("photo.png", server=server)
    assert result.exit_code == 2
    assert "is not http://" in result.stderr


@pytest.mark.parametrize(
    ("options", "written"),
    [
        (["-o", "cup.jpg", "--background", "#ffffff"], b"\xff\xd8"),
        (["-o", "cup.webp"], b"RIFF"),
        (["-o", "cup.png"], b"\x89PNG"),
        (["-o", "cup.dat", "--format", "webp"], b"RIFF"),
    ],
)
def test_cut_takes_the_format_from_the_outputs_name(
    place: Place, cut: Cut, options: list[str], written: bytes
) -> None:
    cut("photo.png", *options)
    wanted = {b"\xff\xd8": "jpeg", b"RIFF": "webp", b"\x89PNG": "png"}[written]
    assert next(place.client.jobs()).data["output"]["format"] == wanted


def test_cut_submits_a_frame(place: Place, cut: Cut) -> None:
    cut("photo.png", "--crop", "--size", "800x600", "--margin", "5%", "-o", "cup.avif")
    output = next(place.client.jobs()).data["output"]
    assert (output["crop"], output["size"], output["margin"]) == (True, [800, 600], "5%")
    assert output["format"] == "avif"


def test_cut_uses_a_marketplaces_preset(place: Place, cut: Cut) -> None:
    cut("photo.png", "--preset", "amazon", "--margin", "12")
    output = next(place.client.jobs()).data["output"]
    assert (output["preset"], output["format"], output["margin"]) == ("amazon", "jpeg", 12)
    assert output["background"] == "#ffffff"


@pytest.mark.parametrize("size", ["big", "1x2x3", "5x", "-3"])
def test_cut_exits_2_for_an_invalid_size(cut: Cut, size: str) -> None:
    result = cut("photo.png", "--size", size)
    assert result.exit_code == 2
    assert "is not WxH" in result.stderr


def test_cut_exits_2_for_a_name_of_another_format(cut: Cut) -> None:
    result = cut("photo.png", "-o", "cup.png", "--format", "webp")
    assert result.exit_code == 2
    assert "not a name for webp" in result.stderr


@pytest.mark.parametrize("server", ["http://[", "http://:x"])
def test_cut_exits_4_for_an_invalid_url(
    cut: Cut, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setattr(cut_command, "Client", Client)
    result = cut("photo.png", server=server)
    assert result.exit_code == 4
    assert result.stderr.startswith("nukki cut: ")


def test_cut_reads_server_and_key_from_the_environment(
    cut: Cut, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUKKI_URL", "http://nukki.test")
    monkeypatch.setenv("NUKKI_API_KEY", KEY)
    result = CliRunner().invoke(command.main, ["cut", "photo.png"])
    assert result.exit_code == 0, result.output
    assert place.line.sent[0].headers["Authorization"] == f"Bearer {KEY}"
