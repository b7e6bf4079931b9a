"""Meta's own predictors, to compare with."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

#: Kept alive: torch forgets a library's definitions with it.
_STUBS: list[Any] = []
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def torchvision() -> ModuleType:
    """torchvision, which the references' transforms are made of.

    Its wheel from PyPI is for CUDA and does not import beside a torch for CPUs: it describes two
    operators that its library, which does not load, should have defined. They are defined here, and
    nothing that the references use calls them.
    """
    if "torchvision" not in sys.modules:
        spec = importlib.util.find_spec("torchvision")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("torchvision", name="torchvision")
        try:
            for library in Path(spec.origin).parent.glob("_C*.so"):
                torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
        except OSError:
            stub: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
            for operator in ("nms", "qnms"):
                stub.define(f"{operator}{_SCHEMA}")
            _STUBS.append(stub)
    return importlib.import_module("torchvision")


def sam2_predictor(model: Any) -> Any:
    """`SAM2ImagePredictor` on a model."""
    torchvision()
    return importlib.import_module("sam2.sam2_image_predictor").SAM2ImagePredictor(model)


def sam1() -> ModuleType:
    """`segment_anything`, which is installed by the extra `sam1`."""
    torchvision()
    return importlib.import_module("segment_anything")


def sam1_modeling() -> ModuleType:
    """The classes that SAM 1's models are built of."""
    sam1()
    return importlib.import_module("segment_anything.modeling")
