"""The number format and the device that a model computes in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import nn

from shared.errors import ConfigError
from worker.segmenters.attention import BlockedAttention


class Precision(StrEnum):
    """The number format of matrix products: of their weights and of their results."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


_DTYPES = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}
#: The layers whose work is a matrix product: nearly all of the weights and all of the time.
#: Norms, tokens and positions stay FP32; autocast converts their results for the products.
_PRODUCTS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@dataclass(frozen=True, slots=True)
class Placement:
    """The device and the precision of a model."""

    device: torch.device
    precision: Precision

    @classmethod
    def choose(
        cls, device: str | torch.device | None = None, precision: Precision | str | None = None
    ) -> Placement:
        """The requested device and precision; by default CUDA in FP16, or the CPU's best.

        Raises:
            ConfigError: the precision is unknown, or this machine lacks the device.
        """
        try:
            place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        except RuntimeError as error:
            raise ConfigError(f"no such device: {device}") from error
        if place.type == "cuda" and not torch.cuda.is_available():
            raise ConfigError(f"no such device: {place} (torch {torch.__version__} sees no CUDA)")
        try:
            chosen = Precision(precision) if precision is not None else _best(place)
        except ValueError as error:
            known = ", ".join(Precision)
            raise ConfigError(f"no such precision: {precision} (known: {known})") from error
        return cls(place, chosen)

    @property
    def dtype(self) -> torch.dtype:
        return _DTYPES[self.precision]

    def place(self, model: nn.Module, exact: nn.Module) -> None:
        """Move the model to the device, in place, with one copy of its weights in the precision.

        `exact`, a part of the model, stays FP32.
        """
        model.eval().requires_grad_(False).to(self.device)
        if self.precision is not Precision.FP32:
            for module in set(model.modules()) - set(exact.modules()):
                if isinstance(module, _PRODUCTS):
                    module.to(self.dtype)

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Compute without gradients, products in the precision; applies to the calling thread."""
        reduced = self.precision is not Precision.FP32
        blocked = self.device.type == "cpu" and self.precision is Precision.BF16
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, self.dtype, enabled=reduced),
            BlockedAttention() if blocked else contextlib.nullcontext(),
        ):
            yield


def _best(device: torch.device) -> Precision:
    if device.type == "cuda":
        return Precision.FP16
    return Precision.BF16 if _cpu_has_bf16() else Precision.FP32


def _cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 in hardware; emulated bf16 is slower than FP32."""
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch before 2.10
    return any(getattr(torch.cpu, name, bool)() for name in probes)
