"""The loss of predicting the next token, on flat logits: without the shifted copy that the models' own loss makes."""

import inspect
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from torch.nn import functional

from llmctl.data.blocks import IGNORED


def cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, *, smoothing: float = 0.0, reduction: str = "sum"
) -> torch.Tensor:
    """The loss, in nats, of logits (B, L, V) at targets (B, L) that are shifted already.

    Args:
        smoothing: share of the target's probability that is spread over the vocabulary.
        reduction: "sum" for a scalar, "none" for (B * L,), 0 where there is no target.
    """
    return functional.cross_entropy(
        logits.flatten(0, 1).float(),
        targets.flatten(),
        ignore_index=IGNORED,
        reduction=reduction,
        label_smoothing=smoothing,
    )


def logits_at_targets(
    model: Any, inputs: dict[str, torch.Tensor], targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (B, K, V) and targets (B, K) of the K positions at which any row has a target.

    Where few tokens are learnt, most logits would be computed, and kept, for nothing. A family that cannot do with
    less computes them all.

    Args:
        inputs: what the model reads, (B, L) each.
        targets: (B, L).
    """
    length = targets.shape[1]
    if not _chooses_positions(model):
        logits = model(**inputs, use_cache=False).logits
        return logits[:, -length:], targets  # a learnt prompt stands before the row and is scored as well
    places = targets.ne(IGNORED).any(dim=0).nonzero().flatten()
    # Counted from the end, a place holds whatever stands before the row.
    logits = model(**inputs, use_cache=False, logits_to_keep=places - length).logits
    return logits, targets[:, places]


def _chooses_positions(model: Any) -> bool:
    inner = extract_model_from_parallel(model)
    if hasattr(inner, "get_base_model"):  # an adapter hands all it is given to its model
        inner = inner.get_base_model()
    return "logits_to_keep" in inspect.signature(inner.forward).parameters
