"""Token classification: a tag for each word, scored by the entities that the tags mark (Devlin et al., 2019)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from llmctl.errors import ConfigError, ModelError
from llmctl.metrics import Scores, compute
from llmctl.objectives.classes import (
    balanced_weights,
    class_losses,
    listed,
    names_of_outputs,
    outputs,
    shares,
    unknown_label,
)
from llmctl.objectives.features import pad, padding_id
from llmctl.objectives.gold_tags import given_tags, label_names, learnt_tags
from llmctl.objectives.tags import (
    Entity,
    Tags,
    entities,
    marks_entities,
    type_of,
)
from llmctl.objectives.task import IGNORED, Answered, Predictions, TaskObjective
from llmctl.objectives.words import Word, WordFeatures, encode_words
from llmctl.progress import SILENT, Progress, many
from llmctl.purposes import MODEL_CLASSES
from llmctl.tasks import Task

if TYPE_CHECKING:
    from llmctl.data.examples import Examples

_NOT_INPUT = {"labels", "answering"}
_HEADS = ("ForTokenClassification", "ForSequenceClassification", "ForQuestionAnswering", "ForMultipleChoice")


class Tagging(NamedTuple):
    """The tags that a model gave to the W words of a sentence.

    Attributes:
        tags: (W,) int64, indices of the objective's labels.
        odds: (W,) float32, the model's probability of each.
    """

    tags: np.ndarray
    odds: np.ndarray


@dataclass(frozen=True)
class TokenClassification(TaskObjective):
    """The head reads each word at its first piece.

    Attributes:
        labels: the tags' names, in the order of the head's outputs.
        class_weights: (C,) mean 1 over the training words; ``None``: all alike.
        label_smoothing: share of the target's probability that is spread over all tags.
    """

    labels: tuple[str, ...]
    class_weights: torch.Tensor | None = None
    label_smoothing: float = 0.0

    model_class: ClassVar[str] = MODEL_CLASSES["token_classification"]

    @classmethod
    def for_training(cls, task: Task, config: Any, tokenizer: Any, splits: Mapping[str, "Examples"]) -> Self:
        train = splits["train"]
        marking = marks_entities(given_tags(train).names)
        learnt = learnt_tags(train, marking)
        labels = label_names(splits, learnt, marking)
        weights = None
        if config.class_weights == "balanced":
            weights = balanced_weights(learnt.counts(), labels)
        return cls._made(
            _settled(task, labels),
            config,
            tokenizer,
            labels=labels,
            class_weights=weights,
            label_smoothing=config.label_smoothing_factor,
        )

    @classmethod
    def for_model(cls, task: Task, config: Any, tokenizer: Any, model_config: Any) -> Self:
        labels = names_of_outputs(model_config)
        heads = [name for name in model_config.architectures or () if name.endswith(_HEADS)]
        unnamed = labels == tuple(f"LABEL_{index}" for index in range(len(labels)))
        if not any(name.endswith("ForTokenClassification") for name in heads) and (heads or unnamed):
            found = heads[0] if heads else "a model without a trained head"
            raise ModelError(
                f"the model was not trained to tag words: it is {found}",
                hint="name a run of llmctl finetune --task ner, or a model for token classification",
            )
        return cls._made(
            _settled(task, labels),
            config,
            tokenizer,
            labels=labels,
        )

    @property
    def marks_entities(self) -> bool:
        """Whether entities are scored; else words are, as for parts of speech."""
        return marks_entities(self.labels)

    @property
    def judged_as(self) -> str:
        return self.task.kind if self.marks_entities else "classification"

    def model_settings(self) -> dict[str, Any]:
        return outputs(self.labels)

    def account(self, splits: Mapping[str, "Examples"], progress: Progress) -> None:
        if not self.marks_entities:
            progress.note(
                f"no tag begins with B- or I-: words are scored, not entities ({listed(self.labels)})"
            )
        for examples in splits.values():
            if not examples.labelled:
                continue
            tags = learnt_tags(examples, self.marks_entities)
            counts = tags.counts()
            told = f"{examples.name}: {many(len(tags), 'sentence')}, {many(len(tags.index), 'word')}"
            if self.marks_entities:
                begun = {name: count for name, count in counts.items() if name.startswith("B")}
                counts = Counter({type_of(name): count for name, count in begun.items()})
                names = sorted({type_of(name) for name in self.labels} - {""})
                told += f", {many(counts.total(), 'entity', 'entities')}"
            else:
                names = list(self.labels)
            progress.note(f"{told}: {shares(counts, names, total=counts.total())}")

    def encode(self, examples: "Examples", *, progress: Progress) -> WordFeatures:
        max_length = self.settings.max_length
        assert max_length
        words, mended = encode_words(self.tokenizer, examples.column("tokens"), max_length=max_length)
        mended.tell(examples.name, len(examples), max_length, progress)
        if not examples.labelled:
            return WordFeatures(examples, words, None, None)
        tags = learnt_tags(examples, self.marks_entities, progress)
        return WordFeatures(examples, words, tags, self._targets(examples, tags))

    def _targets(self, examples: "Examples", tags: Tags) -> np.ndarray | None:
        known = {name: index for index, name in enumerate(self.labels)}
        types = {type_of(name) for name in self.labels}
        used = tags.counts()
        missing = [name for name in tags.names if name in used and name not in known]
        for name in missing:
            if not self.marks_entities or type_of(name) not in types:
                raise unknown_label(examples.place(tags.first_sentence_with(name)), name, self.labels)
        if missing:  # the model knows the entity, but tags it in another scheme: it has no loss in this one
            return None
        return np.array([known.get(name, IGNORED) for name in tags.names], dtype=np.int64)[tags.index]

    def collate(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = pad(examples, padding_id(self.tokenizer))
        for name, fill in (("answering", 0), ("labels", IGNORED)):
            if name in examples[0]:
                batch[name] = pad_sequence(
                    [row[name] for row in examples], batch_first=True, padding_value=fill
                )
        return batch

    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> torch.Tensor:
        """Cross-entropy over the words' first pieces."""
        targets = batch["labels"]
        losses = class_losses(
            _logits(model, batch).flatten(0, 1),
            targets.flatten(),
            weights=self.class_weights,
            smoothing=self.label_smoothing,
        )
        return losses.sum() / (
            num_items if num_items is not None else (targets != IGNORED).sum().clamp(min=1)
        )

    def answer(self, model: Any, batch: dict[str, Any]) -> Answered:
        """Answer rows; each answer is the :class:`Tagging` of the words that the row answers for."""
        logits = _logits(model, batch)
        loss_sum, count = 0.0, 0
        if (targets := batch.get("labels")) is not None:
            loss_sum = float(class_losses(logits.flatten(0, 1), targets.flatten()).sum())
            count = int((targets != IGNORED).sum())
        odds, tags = logits[batch["answering"]].softmax(dim=-1).max(dim=-1)
        ends = batch["answering"].sum(dim=1).cumsum(dim=0)[:-1].tolist()
        rows = zip(np.split(tags.cpu().numpy(), ends), np.split(odds.cpu().numpy(), ends), strict=True)
        return Answered([Tagging(*row) for row in rows], None, loss_sum, count)

    def predict(
        self, model: Any, features: WordFeatures, *, progress: Progress = SILENT, with_odds: bool = False
    ) -> Predictions:
        """Answer all sentences; an answer is the :class:`Tagging` of a sentence, as sure as its unsurest word."""
        found = super().predict(model, features, progress=progress)
        empty = Tagging(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
        tags, odds = (np.concatenate(parts) for parts in zip(empty, *found.answers, strict=True))
        borders = pairwise([0, *features.words.ends.tolist()])
        answers = [Tagging(tags[begin:end], odds[begin:end]) for begin, end in borders]
        sure = np.array([float(answer.odds.min(initial=1.0)) for answer in answers])
        return Predictions(answers, sure, found.loss)

    def gold(self, features: WordFeatures) -> Any:
        """The tags of each sentence; of plain tags the label's index of each word of all sentences."""
        assert features.tags is not None
        return features.tags.sentences if self.marks_entities else features.targets

    def judge(
        self,
        features: WordFeatures,
        predictions: Predictions,
        *,
        metrics: Sequence[str],
        num_resamples: int,
        seed: int,
    ) -> Scores:
        """As the base class; plain tags are scored by word, and resampled by word.

        Raises:
            ConfigError: seqeval is to score plain tags.
        """
        gold = self.gold(features)
        if self.marks_entities:
            named = [self._named(answer) for answer in predictions.answers]
            return compute(metrics, named, gold, num_resamples=num_resamples, seed=seed)
        if "seqeval" in metrics:
            raise ConfigError(
                "seqeval scores entities, and no tag of these data begins with B- or I-",
                hint="--metric accuracy --metric f1",
            )
        flat = np.concatenate([answer.tags for answer in predictions.answers])
        return compute(metrics, flat, gold, num_resamples=num_resamples, seed=seed, label_names=self.labels)

    def record(self, features: WordFeatures, predictions: Predictions, index: int) -> dict[str, Any]:
        """As the base class; ``start`` and ``end`` of an entity count words, the end is not part of it."""
        tokens = features.examples.table.column("tokens")[index].as_py()
        answer = predictions.answers[index]
        line = {"tokens": tokens, "predicted": self._named(answer)}
        if self.marks_entities:
            line["entities"] = [
                _in_words(entity, tokens) | {"probability": _sure_of(entity, answer)}
                for entity in self._entities(answer)
            ]
        if predictions.confidence is not None:
            line["probability"] = round(float(predictions.confidence[index]), 6)
        if features.tags is not None:
            gold = features.tags.sentences[index]
            line["gold"] = gold
            line["correct"] = line["predicted"] == gold
            if self.marks_entities:
                true = entities(gold)
                line["gold_entities"] = [_in_words(entity, tokens) for entity in true]
                line["correct"] = self._entities(answer) == true
        return line

    def found_in(self, text: str, words: Sequence[Word], answer: Tagging) -> list[dict[str, Any]]:
        """What was found in plain text: its entities, or every word with its tag where tags mark none.

        Args:
            text: whose :func:`llmctl.objectives.words.split_words` are ``words``.
            answer: the tags of these words.

        Returns:
            ``{"type", "text", "start", "end", "probability"}`` of each; start and end count characters.
        """
        found = []
        for entity in self._entities(answer):
            start, end = words[entity.begin].start, words[entity.end - 1].end
            place = {"type": entity.type, "text": text[start:end], "start": start, "end": end}
            found.append({**place, "probability": _sure_of(entity, answer)})
        return found

    def _entities(self, answer: Tagging) -> list[Entity]:
        names = self._named(answer)
        if self.marks_entities:
            return entities(names)
        return [Entity(name, place, place + 1) for place, name in enumerate(names)]

    def _named(self, answer: Tagging) -> list[str]:
        return [self.labels[index] for index in answer.tags]


def _logits(model: Any, batch: Mapping[str, Any]) -> torch.Tensor:
    """(B, L, C)."""
    inputs = {name: value for name, value in batch.items() if name not in _NOT_INPUT}
    logits: torch.Tensor = model(**inputs).logits.float()
    return logits


def _in_words(entity: Entity, tokens: Sequence[str]) -> dict[str, Any]:
    """An entity of a sentence as JSON."""
    text = " ".join(tokens[entity.begin : entity.end])
    return {"type": entity.type, "text": text, "start": entity.begin, "end": entity.end}


def _sure_of(entity: Entity, answer: Tagging) -> float:
    """The probability of an entity's unsurest word."""
    return round(float(answer.odds[entity.begin : entity.end].min()), 6)


def _settled(task: Task, labels: Sequence[str]) -> Task:
    """The task with metrics that its tags allow."""
    if marks_entities(labels) or task.metrics:
        return task
    return replace(task, metrics=("accuracy", "f1"), metric_for_best_model="accuracy")
