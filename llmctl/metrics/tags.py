"""Scores of tagged words, by seqeval: entities count, not their tags.

Predictions and references are lists of tags, one list a sentence, in IOB2 (``B-PER I-PER O``). As in
``evaluate``'s module and in conlleval, the lenient reading holds: an ``I-`` without its ``B-`` begins an entity.
"""

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from seqeval.metrics import accuracy_score
from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support

from llmctl.metrics.measure import Measure, ratio

Sentences = Sequence[Sequence[str]]


class Seqeval(Measure):
    """Precision, recall and F1 of entities over all types (micro average), and the accuracy of the tags.

    An entity is right when its type, first and last word are. What is undefined (0/0) is 0.
    Sums, of K = 5 columns: entities found rightly, entities found, true entities; right tags, tags.
    """

    def reference(self, predictions: Sentences, references: Sentences) -> dict[str, float]:
        predicted, true = _lists(predictions), _lists(references)
        precision, recall, f1, _ = _scores(predicted, true, average="micro")
        accuracy = accuracy_score(true, predicted) if any(true) else 0.0
        return {
            "f1": float(f1),
            "precision": float(precision),
            "recall": float(recall),
            "accuracy": float(accuracy),
        }

    def statistics(self, predictions: Sentences, references: Sentences) -> np.ndarray:
        rows = np.zeros((len(references), 5))
        for row, predicted, true in zip(rows, _entities(predictions), _entities(references), strict=True):
            row[:3] = len(predicted & true), len(predicted), len(true)
        for row, predicted_tags, true_tags in zip(rows, predictions, references, strict=True):
            right = sum(one == other for one, other in zip(predicted_tags, true_tags, strict=True))
            row[3:] = right, len(true_tags)
        return rows

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        right, predicted, true, right_tags, tags = sums.T
        return {
            "f1": ratio(2 * right, predicted + true),
            "precision": ratio(right, predicted),
            "recall": ratio(right, true),
            "accuracy": ratio(right_tags, tags),
        }

    def details(self, predictions: Sentences, references: Sentences) -> dict[str, Any]:
        """``by_type``: type of entity -> precision, recall, f1 and support, in alphabetical order."""
        predicted, true = _lists(predictions), _lists(references)
        types = sorted({name for name, *_ in (*_found(predicted), *_found(true))})
        table = zip(types, *_scores(predicted, true, average=None), strict=True)
        return {
            "by_type": {
                name: {
                    "precision": float(precision),
                    "recall": float(recall),
                    "f1": float(f1),
                    "support": int(support),
                }
                for name, precision, recall, f1, support in table
            }
        }

    def signature(self) -> str:
        return f"seqeval:{version('seqeval')}|mode:lenient|average:micro|zero_division:0"


def _lists(sentences: Sentences) -> list[list[str]]:
    """What seqeval takes: lists, and nothing like them."""
    return [list(tags) for tags in sentences]


def _scores(predicted: list[list[str]], true: list[list[str]], average: str | None) -> Any:
    with warnings.catch_warnings():  # of tags that are not IOB; they are scored as they are
        warnings.simplefilter("ignore")
        return precision_recall_fscore_support(true, predicted, average=average, zero_division=0)


def _found(sentences: list[list[str]]) -> list[tuple[str, int, int]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_entities([tag for tags in sentences for tag in (*tags, "O")])


def _entities(sentences: Sentences) -> list[set[tuple[str, int, int]]]:
    """The entities of each sentence: type, first and last word, counted from the corpus's first word."""
    ends = np.cumsum([len(tags) + 1 for tags in sentences])
    found = _found(_lists(sentences))
    owners = np.searchsorted(ends, [first for _, first, _ in found], side="right")
    entities: list[set[tuple[str, int, int]]] = [set() for _ in sentences]
    for owner, entity in zip(owners, found, strict=True):
        entities[owner].add(entity)
    return entities


TAGS: dict[str, type[Measure]] = {"seqeval": Seqeval}
