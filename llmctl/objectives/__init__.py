"""Objectives: what is learnt, and how it is scored. One file each, one protocol.

Training, evaluation and the last check of a run use the same ``encode`` and ``evaluate``, so that they cannot
drift apart.
"""

from typing import TYPE_CHECKING, Any, Protocol

from llmctl.config import PretrainConfig
from llmctl.progress import Progress

if TYPE_CHECKING:
    import torch

    from llmctl.data.load import Documents


class Objective(Protocol):
    """A learning problem over one kind of example."""

    def encode(self, documents: "Documents", *, progress: Progress) -> Any:
        """Turn one split into features; what was skipped or cut is told through ``progress``."""

    def training_set(self, features: Any) -> Any:
        """The features as a map-style dataset of training examples."""

    def collate(self, examples: list[dict[str, Any]]) -> dict[str, "torch.Tensor"]:
        """Stack examples into one batch."""

    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> "torch.Tensor":
        """The training loss of a batch: a scalar, the sum over targets divided by ``num_items``."""

    def evaluate(self, model: Any, features: Any, *, progress: Progress) -> dict[str, float]:
        """Score a model; the key ``loss`` is what the best checkpoint is chosen by."""


def make_objective(config: PretrainConfig, tokenizer: Any) -> Objective:
    """The objective that ``config.objective`` names."""
    from llmctl.objectives.causal_lm import CausalLM

    return {"clm": CausalLM}[config.objective](config, tokenizer)
