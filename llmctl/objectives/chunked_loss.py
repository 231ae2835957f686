"""The loss of predicting the next token, without the logits of a whole batch in memory at once.

The gradient of a cross-entropy with respect to its logits is their softmax less the targets, so each chunk of logits
gives its part of the gradients of the hidden states and of the output layer, and is gone again. The idea is that of
Liger's fused linear cross-entropy (Hsu et al., 2024, arXiv:2410.10989), on any device.
"""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn
from torch.nn import functional

from llmctl.data.blocks import IGNORED
from llmctl.inference.scoring import has_plain_head
from llmctl.sharding import is_sharded

_CHUNK = 1 << 22  # logits computed at once: 16 MB in float32
_known: "WeakKeyDictionary[nn.Module, bool]" = WeakKeyDictionary()


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
    ) -> torch.Tensor:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        matrix = weight.to(dtype)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for_hidden, for_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        for_bias = None if bias is None else torch.zeros_like(bias)
        size = max(1, _CHUNK // len(weight))
        for begin in range(0, len(hidden), size):
            states, wanted = hidden[begin : begin + size].to(dtype), targets[begin : begin + size, None]
            logits = functional.linear(states, matrix, None if bias is None else bias.to(dtype)).float()
            normaliser = logits.logsumexp(dim=-1, keepdim=True)
            total += (normaliser - logits.gather(1, wanted)).sum()
            error = logits.sub_(normaliser).exp_()
            error.scatter_add_(1, wanted, torch.full_like(normaliser, -1.0))
            if for_bias is not None:
                for_bias += error.sum(dim=0)
            error = error.to(dtype)
            for_hidden[begin : begin + size] = error @ matrix
            for_weight += error.T @ states
        ctx.save_for_backward(for_hidden, for_weight, for_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        found = [None if saved is None else saved * gradients[0] for saved in ctx.saved_tensors]
        return (*found, None)


def chunked_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
) -> torch.Tensor:
    """The sum of the losses, in nats, of an output layer over hidden states.

    Args:
        hidden: (B, L, H), what the layer reads.
        weight: (V, H); ``bias``: (V,) or ``None``.
        targets: (B, L), shifted already; -100 where there is none.
    """
    known = targets.ne(IGNORED)
    return summed_cross_entropy(hidden[known], weight, bias, targets[known])


def summed_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
) -> torch.Tensor:
    """As :func:`chunked_cross_entropy`, of hidden states (N, H) that all have targets (N,)."""
    found: torch.Tensor = _ChunkedLoss.apply(hidden, weight, bias, targets)
    return found


def can_be_chunked(model: Any) -> bool:
    """Whether a model's logits are those of a linear output layer, whole on this device, and it is not compiled."""
    inner = extract_model_from_parallel(model)
    head = inner.get_output_embeddings()
    if not isinstance(head, nn.Linear) or hasattr(model, "_orig_mod") or is_sharded(inner):
        return False
    if inner not in _known:
        _known[inner] = has_plain_head(inner)
    return _known[inner]
