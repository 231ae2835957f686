"""Objectives over labelled examples: what each must say, and what all of them share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch

from llmctl import ranks
from llmctl.config import TaskSettings
from llmctl.data.blocks import IGNORED as IGNORED
from llmctl.inference.scoring import batches_by_length, evaluating
from llmctl.metrics import Scores
from llmctl.objectives.features import TokenRows
from llmctl.progress import SILENT, Progress
from llmctl.tasks import Task, best_metric_of, metrics_of

if TYPE_CHECKING:
    from llmctl.data.examples import Examples


@dataclass(frozen=True)
class Predictions:
    """What a model answered to N examples.

    Attributes:
        answers: (N) what the objective's metrics take: class indices, tags, texts, ...
        confidence: (N,) the model's probability of each answer; ``None`` where it has none.
        loss: mean over targets, in nats (squared error for regression); ``None`` without gold labels.
        odds: (N, C) the probability of each class, where they were asked for and there are classes.
    """

    answers: Sequence[Any]
    confidence: np.ndarray | None
    loss: float | None
    odds: np.ndarray | None = None


@dataclass(frozen=True)
class Answered:
    """What a model answered to one batch of B: as :class:`Predictions`, with the loss as a sum."""

    answers: Sequence[Any]
    confidence: Sequence[float] | None
    loss_sum: float
    num_targets: int
    odds: torch.Tensor | None = None


class Features(ABC):
    """Encoded examples: what they were made of, and the N rows of tokens that a model reads."""

    examples: "Examples"
    rows: TokenRows

    @cached_property
    def lengths(self) -> np.ndarray:
        """(N,) what batches are grouped by."""
        return self.rows.lengths

    def __len__(self) -> int:
        return len(self.rows)

    @abstractmethod
    def __getitem__(self, index: int) -> dict[str, Any]: ...


@dataclass(frozen=True)
class TaskObjective(ABC):
    """A learning problem over labelled examples.

    ``encode``, ``collate`` and ``answer`` serve training, evaluation and prediction alike.

    Attributes:
        task: what is learnt, and what it is judged by.
        settings: how examples become tensors; ``max_length`` is set.
        tokenizer: fast, of transformers.
        batch_size: examples judged at once.
    """

    task: Task
    settings: TaskSettings
    tokenizer: Any
    batch_size: int

    model_class: ClassVar[str]
    """Name of the ``transformers`` Auto class that has the right head."""
    unit: ClassVar[str] = "examples"
    """What the features consist of, as a progress bar counts them."""

    @property
    def judged_as(self) -> str:
        """The kind of problem whose metrics judge the answers: the task's, unless the labels say otherwise."""
        return self.task.kind

    @classmethod
    @abstractmethod
    def for_training(cls, task: Task, config: Any, tokenizer: Any, splits: Mapping[str, "Examples"]) -> Self:
        """The objective that learns ``splits["train"]``; ``config`` is the ``FinetuneConfig``.

        Raises:
            DataError: there is nothing to learn: one single class, no supervised token, labels that only the
                validation split has, ...
        """

    @classmethod
    @abstractmethod
    def for_model(cls, task: Task, config: Any, tokenizer: Any, model_config: Any) -> Self:
        """The objective that a trained model was trained for; ``config`` has the fields of ``TaskSettings``.

        Raises:
            ModelError: the model has no head for it.
        """

    def aligned(self, examples: "Examples", progress: Progress) -> Self:
        """This objective, with the classes called as ``examples`` call them where the model knows them otherwise."""
        return self

    @classmethod
    def _made(cls, task: Task, config: Any, tokenizer: Any, **own: Any) -> Self:
        """The objective with what all have from ``config``, and with attributes of its own."""
        batch_size = config.per_device_eval_batch_size
        return cls(task=task, settings=config, tokenizer=tokenizer, batch_size=batch_size, **own)

    @abstractmethod
    def model_settings(self) -> dict[str, Any]:
        """What the model's config must say: ``num_labels``, ``id2label``, ..."""

    def prepare(self, model: Any) -> None:  # noqa: B027
        """Fit a model that was just made or loaded, before it is trained: it is saved with what is set here."""

    @abstractmethod
    def account(self, splits: Mapping[str, "Examples"], progress: Progress) -> None:
        """Tell what will be learnt: examples a label, and what is odd about them."""

    @abstractmethod
    def encode(self, examples: "Examples", *, progress: Progress) -> Any:
        """Turn one split into :class:`Features`; tells what was cut, skipped or mended."""

    def training_set(self, features: Any) -> Any:
        """The features as a map-style dataset of training examples, with ``lengths``."""
        return features

    @abstractmethod
    def collate(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Stack examples into one batch, padded to its own longest; targets are called ``labels``."""

    @abstractmethod
    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> torch.Tensor:
        """The training loss: a scalar, the sum over targets divided by ``num_items`` (``None``: the batch's own)."""

    @abstractmethod
    def answer(self, model: Any, batch: dict[str, Any]) -> Answered:
        """Answer one batch of :meth:`collate`."""

    @abstractmethod
    def gold(self, features: Any) -> Any:
        """The right answers, as the metrics take them."""

    @abstractmethod
    def judge(
        self,
        features: Any,
        predictions: Predictions,
        *,
        metrics: Sequence[str],
        num_resamples: int,
        seed: int,
    ) -> Scores:
        """Score predictions with intervals."""

    @abstractmethod
    def record(self, features: Any, predictions: Predictions, index: int) -> dict[str, Any]:
        """A line of ``predictions.jsonl``: the input, ``predicted``, ``probability``, ``gold``, ``correct``."""

    def predict(
        self, model: Any, features: Any, *, progress: Progress = SILENT, with_odds: bool = False
    ) -> Predictions:
        """Answer all examples, in batches of like length, which ranks share; what is kept are answers, never logits.

        Args:
            with_odds: keep the probability of each class too.
        """
        answers: list[Any] = [None] * len(features)
        confidence = np.full(len(features), np.nan)
        odds: dict[int, np.ndarray] = {}
        loss_sum, num_targets = 0.0, 0

        def answered(chosen: np.ndarray) -> Answered:
            batch = self.collate([features[int(index)] for index in chosen])
            found = self.answer(model, {name: value.to(model.device) for name, value in batch.items()})
            return replace(found, odds=found.odds.cpu() if with_odds and found.odds is not None else None)

        with (
            evaluating(model),
            torch.inference_mode(),
            progress.bar("judging", len(features), self.unit) as advance,
        ):
            batches = batches_by_length(features.lengths, self.batch_size)
            for chosen, found in ranks.in_turns(batches, answered):
                for place, index in enumerate(chosen):
                    answers[index] = found.answers[place]
                    if found.confidence is not None:
                        confidence[index] = found.confidence[place]
                if found.odds is not None:
                    odds.update(zip(chosen.tolist(), found.odds.numpy(), strict=True))
                loss_sum, num_targets = loss_sum + found.loss_sum, num_targets + found.num_targets
                advance(len(chosen))
        known = not np.isnan(confidence).all()
        return Predictions(
            answers,
            confidence if known else None,
            loss_sum / num_targets if num_targets else None,
            np.stack([odds[index] for index in range(len(features))]) if odds else None,
        )

    def evaluate(self, model: Any, features: Any, *, progress: Progress) -> dict[str, float]:
        """``loss`` and the task's scores, without intervals; one of them decides which checkpoint is best."""
        predictions = self.predict(model, features, progress=progress)
        found = {} if predictions.loss is None else {"loss": predictions.loss}
        for metrics in (metrics_of(self.task), (best_metric_of(self.task),)):
            if not set(metrics) <= found.keys():
                scores = self.judge(features, predictions, metrics=metrics, num_resamples=0, seed=0)
                found |= {name: score.value for name, score in scores.values.items()}
        return found
