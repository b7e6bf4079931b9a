"""NUKKI_MODEL=package.module:factory: the documented example, and every way it can fail."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shared.errors import ConfigError
from shared.schema import Prompt
from shared.settings import SegmenterSettings
from tests.readme import blocks
from worker import segmenters
from worker.engine import Ask, Engine
from worker.segmenters import ModelOptions, Segmenter

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "own-model.md"

Write = Callable[[str], None]
GOOD = """
class Model:
    name, device, max_batch = "mine", "cpu", 2
    def prepare(self, image, *, auto=False): return image
    def encode(self, photos): return list(photos)
    def decode(self, questions): return []
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the text to a module `own_model` that can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "own_model", raising=False)

    def do(text: str) -> None:
        (tmp_path / "own_model.py").write_text(text)

    return do


def load(reference: str = "own_model:load", **settings: object) -> Segmenter:
    return segmenters.load(SegmenterSettings.load(model=reference, **settings))


def test_the_documented_example_cuts_a_photo(write: Write) -> None:
    [example] = blocks("python", DOCUMENT)
    write(example)
    engine = Engine(load())
    assert engine.model == "similar"
    photo = np.full((120, 160, 3), 255, np.uint8)
    photo[30:90, 20:60] = (200, 30, 30)
    photo[30:90, 100:140] = (30, 30, 200)
    asks = [Ask(Prompt(points=((40, 60),))), Ask(Prompt(points=((120, 60),))), Ask(Prompt())]
    call = engine.prepare(photo, asks, digest="one", urgent=True)
    left, right, middle = (found.mask for found in engine.segment(call).predictions)
    for mask, columns in ((left, slice(20, 60)), (right, slice(100, 140))):
        truth = np.zeros((120, 160), bool)
        truth[30:90, columns] = True
        assert ((mask > 0.5) & truth).sum() / ((mask > 0.5) | truth).sum() > 0.9
    assert middle[0].all()
    assert not middle[60, 40]


def test_the_documented_example_is_short() -> None:
    [example] = blocks("python", DOCUMENT)
    assert len([line for line in example.splitlines() if line]) <= 32


def test_the_factory_gets_the_settings_of_the_model(write: Write) -> None:
    write(f"{GOOD}\ndef load(options):\n    Model.options = options\n    return Model()\n")
    made = load(checkpoint="my.pt", device="cpu", precision="bf16", max_batch=3)
    assert made.options == ModelOptions(Path("my.pt"), "cpu", "bf16", 3)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ("own_model:", "own_model: is not of the form package.module:factory"),
        (":load", ":load is not of the form package.module:factory"),
        (".own_model:load", ".own_model:load is not of the form package.module:factory"),
        ("own_model:load()", "own_model:load() is not of the form package.module:factory"),
        ("absent_model:load", "absent_model:load: there is no module absent_model; install its"),
        ("own_model.sub:load", "own_model.sub:load: there is no module own_model.sub; install its"),
        ("own_model:absent", "own_model:absent: own_model has no absent"),
        ("own_model:number", "own_model:number is not callable: its type is int"),
        ("own_model:fail", "own_model:fail failed: RuntimeError: two lines"),
        ("own_model:silent", "own_model:silent failed: ValueError"),
        ("own_model:takes_none", "own_model:takes_none failed: TypeError: "),
        ("own_model:refuse", "the weights are of another model"),
        (
            "own_model:nothing",
            "own_model:nothing returned no Segmenter but a NoneType: name must be",
        ),
        (
            "own_model:no_batch",
            "own_model:no_batch returned no Segmenter but a Model: max_batch must",
        ),
    ],
)
def test_a_bad_model_is_reported_in_one_line(write: Write, reference: str, complaint: str) -> None:
    write(
        f"""{GOOD}
from shared.errors import ConfigError
number = 7
def fail(options): raise RuntimeError("two\\nlines")
def silent(options): raise ValueError
def takes_none(): return Model()
def refuse(options): raise ConfigError("the weights are of another model")
def nothing(options): pass
def no_batch(options):
    made = Model()
    made.max_batch = 0
    return made
"""
    )
    with pytest.raises(ConfigError) as refusal:
        load(reference)
    assert str(refusal.value).startswith(complaint)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import absent_package", "own_model cannot be imported: ModuleNotFoundError: .*absent_"),
        ("1 / 0", "own_model cannot be imported: ZeroDivisionError: division by zero"),
        ("def load(", "own_model cannot be imported: SyntaxError: "),
    ],
)
def test_an_import_error_gives_the_cause(write: Write, text: str, complaint: str) -> None:
    write(text)
    with pytest.raises(ConfigError, match=complaint):
        load()
