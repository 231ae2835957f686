"""Sequence classification: a class, several labels or a number for a text or a pair of texts (Devlin et al., 2019)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch.nn import functional

from llmctl.errors import DataError, ModelError
from llmctl.metrics import Scores, compute
from llmctl.objectives.classes import (
    balanced_weights,
    class_losses,
    names_of_outputs,
    outputs,
    shares,
    unknown_label,
    unseen_label,
)
from llmctl.objectives.features import TokenRows, encode_texts, pad, padding_id
from llmctl.objectives.task import IGNORED, Answered, Features, Predictions, TaskObjective
from llmctl.progress import Progress, many
from llmctl.purposes import MODEL_CLASSES
from llmctl.tasks import Task

if TYPE_CHECKING:
    from llmctl.data.examples import Examples

PROBLEMS = {
    "classification": "single_label_classification",
    "multilabel": "multi_label_classification",
    "regression": "regression",
}
THRESHOLD = 0.5  # a label of several is given when it is likelier than not


@dataclass(frozen=True)
class TextFeatures(Features):
    """Encoded texts.

    Attributes:
        examples: what they were made of.
        rows: their token ids.
        labels: (N,) int64 class indices, (N, C) float32 of several labels, (N,) float32 numbers; ``None`` unlabelled.
    """

    examples: "Examples"
    rows: TokenRows
    labels: np.ndarray | None

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = self.rows[index]
        return row if self.labels is None else {**row, "labels": self.labels[index]}


@dataclass(frozen=True)
class SequenceClassification(TaskObjective):
    """The head reads the whole text once.

    Attributes:
        labels: the classes' names, in the order of the head's outputs; for regression the name of the number.
        class_weights: (C,) mean 1 over the training examples; ``None``: all alike.
        label_smoothing: share of the target's probability that is spread over all classes.
    """

    labels: tuple[str, ...]
    class_weights: torch.Tensor | None = None
    label_smoothing: float = 0.0

    model_class: ClassVar[str] = MODEL_CLASSES["sequence_classification"]

    @classmethod
    def for_training(cls, task: Task, config: Any, tokenizer: Any, splits: Mapping[str, "Examples"]) -> Self:
        labels = _label_names(task, splits)
        weights = None
        if config.class_weights == "balanced":
            weights = balanced_weights(_counts(task, splits["train"]), labels)
        return cls._made(
            task,
            config,
            tokenizer,
            labels=labels,
            class_weights=weights,
            label_smoothing=config.label_smoothing_factor,
        )

    @classmethod
    def for_model(cls, task: Task, config: Any, tokenizer: Any, model_config: Any) -> Self:
        labels = names_of_outputs(model_config)
        problem = model_config.problem_type or PROBLEMS["classification" if len(labels) > 1 else "regression"]
        if problem != PROBLEMS[task.kind]:
            raise ModelError(
                f"the model was trained for {problem.replace('_', ' ')}, the task is {task.kind}",
                hint="name the kind it was trained for with --task",
            )
        return cls._made(
            task,
            config,
            tokenizer,
            labels=labels,
        )

    def aligned(self, examples: "Examples", progress: Progress) -> Self:
        """Classes that model and data call differently are the same where their numbers tell it.

        That is so where only capitals differ, where the model's names are the library's ``LABEL_0`` and so on and
        the data declares as many, or where the data has numbers for the classes that the model names.
        """
        if self.task.kind != "classification" or not examples.labelled:
            return self
        names = examples.label_names or tuple(sorted(_counts(self.task, examples), key=_by_size))
        if set(names) <= set(self.labels):
            return self
        small = [label.lower() for label in self.labels]
        called = {name.lower(): name for name in names}
        if len(called) == len(names) and len(set(small)) == len(small) and called.keys() <= set(small):
            return replace(self, labels=tuple(called.get(label.lower(), label) for label in self.labels))
        numbered = [str(number) for number in range(len(self.labels))]
        if all(name == f"LABEL_{number}" for number, name in enumerate(self.labels)):
            same = names if examples.label_names and len(names) == len(self.labels) else tuple(numbered)
        else:
            same = tuple(numbered)
        if not set(names) <= set(same):
            return self
        told = ", ".join(f"{new} for {old}" for old, new in zip(self.labels, same, strict=True))
        progress.note(f"{examples.name}: the model's classes by their numbers: {told[:200]}")
        return replace(self, labels=same)

    def model_settings(self) -> dict[str, Any]:
        return outputs(self.labels) | {"problem_type": PROBLEMS[self.task.kind]}

    def account(self, splits: Mapping[str, "Examples"], progress: Progress) -> None:
        for examples in splits.values():
            if self.task.kind == "regression":
                values = np.asarray(examples.column("label"))
                told = f"{values.min():g} to {values.max():g}, mean {values.mean():.3g}"
            else:
                told = shares(_counts(self.task, examples), self.labels, total=len(examples))
            progress.note(f"{examples.name}: {many(len(examples), 'example')}: {told}")

    def encode(self, examples: "Examples", *, progress: Progress) -> TextFeatures:
        max_length = self.settings.max_length
        assert max_length
        pairs = examples.column("text_pair") if "text_pair" in examples.table.column_names else None
        rows, cut = encode_texts(self.tokenizer, examples.column("text"), pairs, max_length=max_length)
        cut.tell(examples.name, len(rows), max_length, progress)
        return TextFeatures(examples, rows, self._targets(examples) if examples.labelled else None)

    def _targets(self, examples: "Examples") -> np.ndarray:
        given = examples.column("label")
        if self.task.kind == "regression":
            return np.asarray(given, dtype=np.float32)
        index = {name: number for number, name in enumerate(self.labels)}
        several = self.task.kind == "multilabel"
        for row, label in enumerate(given):
            for name in label if several else [label]:
                if name not in index:
                    raise unknown_label(examples.place(row), name, self.labels)
        if not several:
            return np.asarray([index[name] for name in given], dtype=np.int64)
        targets = np.zeros((len(given), len(self.labels)), dtype=np.float32)
        for row, names in enumerate(given):
            targets[row, [index[name] for name in names]] = 1.0
        return targets

    def collate(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = pad(examples, padding_id(self.tokenizer))
        if "labels" in examples[0]:
            labels = torch.from_numpy(np.stack([example["labels"] for example in examples]))
            if self.task.kind == "regression":  # Trainer does not count a target of exactly -100
                labels = torch.where(labels == IGNORED, labels.nextafter(torch.zeros(())), labels)
            batch["labels"] = labels
        return batch

    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> torch.Tensor:
        """Cross-entropy; for several labels binary cross-entropy, for a number the squared error."""
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        losses = self._losses(model(**inputs).logits.float(), batch["labels"], training=True)
        return losses.sum() / (num_items if num_items is not None else batch["labels"].numel())

    def _losses(self, logits: torch.Tensor, targets: torch.Tensor, *, training: bool) -> torch.Tensor:
        """(B,) or (B, C) losses of logits (B, C); weights and smoothing belong to training alone."""
        smoothing = self.label_smoothing if training else 0.0
        if self.task.kind == "regression":
            return (logits.squeeze(-1) - targets).square()
        if self.task.kind == "multilabel":
            smooth = targets * (1 - smoothing) + smoothing / 2
            return functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
        weights = self.class_weights if training else None
        return class_losses(logits, targets, weights=weights, smoothing=smoothing)

    def answer(self, model: Any, batch: dict[str, Any]) -> Answered:
        targets = batch.get("labels")
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        logits = model(**inputs).logits.float()
        loss_sum, count = 0.0, 0
        if targets is not None:
            loss_sum, count = float(self._losses(logits, targets, training=False).sum()), targets.numel()
        if self.task.kind == "regression":
            return Answered(logits.squeeze(-1).tolist(), None, loss_sum, count)
        if self.task.kind == "multilabel":
            odds = logits.sigmoid()
            given = odds > THRESHOLD
            sure = torch.where(given, odds, 1 - odds).prod(dim=-1)
            return Answered(list(given.cpu().numpy()), sure.tolist(), loss_sum, count, odds)
        odds = logits.softmax(dim=-1)
        best, index = odds.max(dim=-1)
        return Answered(index.tolist(), best.tolist(), loss_sum, count, odds)

    def gold(self, features: TextFeatures) -> np.ndarray:
        assert features.labels is not None
        return features.labels.astype(bool) if self.task.kind == "multilabel" else features.labels

    def judge(
        self,
        features: TextFeatures,
        predictions: Predictions,
        *,
        metrics: Sequence[str],
        num_resamples: int,
        seed: int,
    ) -> Scores:
        return compute(
            metrics,
            np.asarray(predictions.answers),
            self.gold(features),
            num_resamples=num_resamples,
            seed=seed,
            label_names=self.labels,
        )

    def record(self, features: TextFeatures, predictions: Predictions, index: int) -> dict[str, Any]:
        examples = features.examples
        line = {
            name: examples.table.column(name)[index].as_py()
            for name in ("text", "text_pair")
            if name in examples.table.column_names
        }
        line["predicted"] = self._named(predictions.answers[index])
        if predictions.confidence is not None:
            line["probability"] = round(float(predictions.confidence[index]), 6)
        if predictions.odds is not None:
            odds = zip(self.labels, predictions.odds[index].tolist(), strict=True)
            line["probabilities"] = {name: round(share, 6) for name, share in odds}
        if features.labels is not None:
            line["gold"] = examples.table.column("label")[index].as_py()
            if self.task.kind != "regression":
                line["correct"] = line["predicted"] == (
                    [name for name in self.labels if name in line["gold"]]
                    if self.task.kind == "multilabel"
                    else line["gold"]
                )
        return line

    def _named(self, answer: Any) -> Any:
        if self.task.kind == "regression":
            return round(float(answer), 6)
        if self.task.kind == "multilabel":
            return [name for name, given in zip(self.labels, answer, strict=True) if given]
        return self.labels[answer]


def _label_names(task: Task, splits: Mapping[str, "Examples"]) -> tuple[str, ...]:
    """The classes in the order the source declares, else numbers by size and words by the alphabet.

    Raises:
        DataError: one single class; a label that only the validation split has.
    """
    if task.kind == "regression":
        return ("score",)
    train = splits["train"]
    found = _counts(task, train)
    if not found:
        raise DataError(f"{train.name}: no example has a label", hint="there is nothing to learn from it")
    if len(found) == 1 and task.kind == "classification":
        raise DataError(
            f"{train.name}: all examples have one single label: {next(iter(found))!r}",
            hint="there is nothing to learn from it",
        )
    if train.label_names:
        return train.label_names
    for examples in splits.values():
        for row, label in enumerate(examples.column("label") if examples.labelled else ()):
            for name in label if task.kind == "multilabel" else [label]:
                if name not in found:
                    raise unseen_label(examples.place(row), name, sorted(found))
    return tuple(sorted(found, key=_by_size))


def _by_size(name: str) -> tuple[bool, float, str]:
    try:
        return (False, float(name), name)
    except ValueError:
        return (True, 0.0, name)


def _counts(task: Task, examples: "Examples") -> Counter[str]:
    given = examples.column("label")
    return Counter(name for names in given for name in names) if task.kind == "multilabel" else Counter(given)
