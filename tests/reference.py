"""Meta's own SAM predictors, as references for tests and benches."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

#: Kept alive, because torch drops a library's definitions when the library is collected.
_STUBS: list[Any] = []
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def torchvision() -> ModuleType:
    """Import torchvision, which the references' transforms need.

    Its wheel from PyPI is built for CUDA. With a CPU build of torch its native library does not
    load, and the import fails because two operators are undefined. They are declared here; the
    references never call them.
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
    """The module `segment_anything`, installed by the extra `sam1`."""
    torchvision()
    return importlib.import_module("segment_anything")


def sam1_modeling() -> ModuleType:
    """The module of the classes of SAM 1's models."""
    sam1()
    return importlib.import_module("segment_anything.modeling")
