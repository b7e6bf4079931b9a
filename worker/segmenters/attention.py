"""Attention in bf16 on a CPU, in blocks of queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

#: Queries per block of one head: their scores over 4096 keys fit in the CPU's cache.
_BLOCK = 256
#: With fewer queries or keys than this (the decoder), torch's own kernel is faster.
_FEW = 49


class BlockedAttention(TorchFunctionMode):
    """Replaces `scaled_dot_product_attention` in this thread, within its `with` block.

    torch's CPU kernel multiplies bf16 no faster than FP32; plain matrix products do. Measured on
    hiera_tiny's encoder, one core with AVX512-BF16: 1.20 × the photos per second, and the
    embeddings differ from FP32's no more than before (tests/bench/sam.py).
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        plain = func is scaled_dot_product_attention and len(args) == 3 and not kwargs
        if plain and min(args[0].shape[-2], args[1].shape[-2]) >= _FEW:
            return blocked_attention(*args)
        return func(*args, **(kwargs or {}))


def blocked_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query · keyᵀ / √C) · value, each (B, heads, N, C)."""
    turned = (key * query.shape[-1] ** -0.5).transpose(-1, -2)
    if query.shape[-2] <= _BLOCK:
        return torch.softmax(query @ turned, -1) @ value
    answer = query.new_empty((*query.shape[:-1], value.shape[-1]))
    for item in range(query.shape[0]):
        for head in range(query.shape[1]):
            for rows in range(0, query.shape[-2], _BLOCK):
                block = query[item, head, rows : rows + _BLOCK]
                weights = torch.softmax(block @ turned[item, head], -1)
                answer[item, head, rows : rows + _BLOCK] = weights @ value[item, head]
    return answer
