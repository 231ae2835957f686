"""Objectives: what is learnt, and how it is scored. One file each, one protocol.

Training, evaluation and the last check of a run use the same ``encode`` and ``evaluate``, so that they cannot
drift apart.
"""

import importlib
from typing import TYPE_CHECKING, Any, Protocol

from llmctl.config import PretrainConfig
from llmctl.progress import Progress
from llmctl.tasks import KINDS, Task

if TYPE_CHECKING:
    import torch

    from llmctl.objectives.task import TaskObjective
    from llmctl.objectives.text import TextObjective


class Objective(Protocol):
    """A learning problem over one kind of example."""

    def encode(self, split: Any, /, *, progress: Progress) -> Any:
        """Turn one split into features; what was skipped or cut is told through ``progress``."""

    def training_set(self, features: Any) -> Any:
        """The features as a map-style dataset of training examples."""

    def collate(self, examples: list[dict[str, Any]]) -> dict[str, "torch.Tensor"]:
        """Stack examples into one batch."""

    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> "torch.Tensor":
        """The training loss of a batch: a scalar, the sum over targets divided by ``num_items``."""

    def evaluate(self, model: Any, features: Any, *, progress: Progress) -> dict[str, float]:
        """Score a model; the key ``loss`` is what the best checkpoint is chosen by."""


# name of an objective over plain text -> module of this package, class there
_TEXT_OBJECTIVES = {
    "clm": ("causal_lm", "CausalLM"),
    "rclm": ("reversed_lm", "ReversedLM"),
    "mlm": ("masked_lm", "MaskedLM"),
    "mlm+nsp": ("sentence_pairs", "SentencePairs"),
    "mlm+sop": ("sentence_pairs", "SentencePairs"),
    "seq2seq": ("denoising", "Denoising"),
}


def text_objective(config: PretrainConfig, tokenizer: Any) -> "TextObjective":
    """The objective that ``config.objective`` names."""
    made: TextObjective = _found(*_TEXT_OBJECTIVES[config.objective])(config, tokenizer)
    return made


# module of this package -> the class there
_TASK_OBJECTIVES = {
    "sequence_classification": "SequenceClassification",
    "token_classification": "TokenClassification",
    "question_answering": "QuestionAnswering",
    "seq2seq": "Seq2Seq",
    "chat": "Chat",
}


def task_objective(task: Task) -> type["TaskObjective"]:
    """The class that learns the task's kind of problem."""
    name = KINDS[task.kind].objective
    found: type[TaskObjective] = _found(name, _TASK_OBJECTIVES[name])
    return found


def _found(module: str, name: str) -> Any:
    """A class of a module of this package, which is imported only now."""
    return getattr(importlib.import_module(f"llmctl.objectives.{module}"), name)
