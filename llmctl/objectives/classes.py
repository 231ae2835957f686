"""Classes as targets, whether of texts or of words: their loss, their weights, and how they are told."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from llmctl.errors import DataError
from llmctl.objectives.task import IGNORED

_SHOWN = 8


def class_losses(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    weights: torch.Tensor | None = None,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Cross-entropy (N,) in nats of logits (N, C) at targets (N,); 0 where the target is ``IGNORED``.

    Args:
        weights: (C,) factors of the classes' losses, on any device.
        smoothing: share of the target's probability that is spread over all classes.
    """
    return functional.cross_entropy(
        logits,
        targets,
        weight=None if weights is None else weights.to(logits.device),
        ignore_index=IGNORED,
        label_smoothing=smoothing,
        reduction="none",
    )


def balanced_weights(counts: Counter[str], labels: Sequence[str]) -> torch.Tensor:
    """``n / (C * n_c)``, as scikit-learn's ``compute_class_weight("balanced")``: mean 1 over the examples.

    Args:
        counts: how often each class occurs; C are those that do.
        labels: the classes in the order of the weights; one that does not occur has the weight 0.
    """
    occurring = len(+counts)
    return torch.tensor(
        [counts.total() / (occurring * counts[name]) if counts[name] else 0.0 for name in labels]
    )


def outputs(names: Sequence[str]) -> dict[str, Any]:
    """What a model's config says of a head with an output for each of ``names``."""
    return {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
    }


def names_of_outputs(model_config: Any) -> tuple[str, ...]:
    """What a model's config calls the outputs of its head, in their order."""
    return tuple(model_config.id2label[index] for index in range(model_config.num_labels))


def unknown_label(place: str, name: str, known: Sequence[str]) -> DataError:
    """The complaint about a label that the model has no output for."""
    return DataError(
        f"{place}: label {name!r} is not among the {len(known)} that are known: {listed(known)}",
        hint="mend the label, or judge by data with the labels that were learnt",
    )


def unseen_label(place: str, label: str, learnt: Sequence[str]) -> DataError:
    """The complaint about a label that another split has, first at ``place``, and the training split has not."""
    return DataError(
        f"{place}: label {label!r} is not in the training split, which has {listed(learnt)}",
        hint="mend the labels, or give training examples of it",
    )


def shares(counts: Counter[str], names: Sequence[str], *, total: int) -> str:
    """How often each of ``names`` occurs, and with which share of ``total``: ``no 3 (75.0%), yes 1 (25.0%)``."""
    total = max(total, 1)
    told = [f"{name} {counts[name]:,} ({counts[name] / total:.1%})" for name in names[:_SHOWN]]
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(told) + more


def listed(names: Sequence[str]) -> str:
    """The first of ``names``, for messages."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
