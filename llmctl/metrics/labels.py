"""Scores of classes and of sets of labels, by scikit-learn.

Predictions and references are (N,) class indices, or (N, C) booleans where an example may have several labels.
scikit-learn is imported when its word is asked for: the baseline, known before training starts, does without.
"""

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from llmctl.metrics.measure import Measure, ratio

_AVERAGES = ("macro", "micro", "weighted")


class _LabelMeasure(Measure):
    """What the metrics over counts of labels share.

    Sums, of K = 2 + 3C columns: examples; examples that are right in all; and for each of the C labels how
    often it is predicted rightly, is predicted, and is true.
    """

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> np.ndarray:
        predicted, true = self._indicators(predictions, references)
        right = (predicted == true).all(axis=1, keepdims=True)
        columns = [np.ones_like(right), right, predicted & true, predicted, true]
        return np.concatenate(columns, axis=1).astype(np.float64)

    def signature(self) -> str:
        return f"scikit-learn:{version('scikit-learn')}"

    def _indicators(self, predictions: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both as (N, C) booleans."""
        if references.ndim == 2:
            return predictions, references
        classes = np.arange(self._num_classes(predictions, references))
        return predictions[:, None] == classes, references[:, None] == classes

    def _num_classes(self, predictions: np.ndarray, references: np.ndarray) -> int:
        named = len(self.settings.label_names or ())
        if min(predictions.min(), references.min()) < 0:
            raise ValueError("class indices begin at 0")
        return max(named, 2, int(predictions.max()) + 1, int(references.max()) + 1)

    def _label_names(self, count: int) -> list[str]:
        names = self.settings.label_names or ()
        return [*names, *map(str, range(len(names), count))]


class Accuracy(_LabelMeasure):
    """The share of examples that are right; with several labels, right in all of them (subset accuracy)."""

    def reference(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        from sklearn import metrics

        return {"accuracy": float(metrics.accuracy_score(references, predictions))}

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {"accuracy": sums[:, 1] / sums[:, 0]}

    def details(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, Any]:
        """``confusion_matrix``: one row a true class, one column a predicted class; ``label_names``."""
        if references.ndim == 2:
            return {}
        from sklearn import metrics

        classes = range(self._num_classes(predictions, references))
        matrix = metrics.confusion_matrix(references, predictions, labels=list(classes))
        return {"label_names": self._label_names(len(classes)), "confusion_matrix": matrix.tolist()}


class MatthewsCorrelation(_LabelMeasure):
    """Matthews' correlation of predicted and true classes (Gorodkin, 2004); 0 where either is constant."""

    def reference(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        from sklearn import metrics

        with warnings.catch_warnings():  # of a single class; the value 0 tells it
            warnings.simplefilter("ignore")
            value = metrics.matthews_corrcoef(references, predictions)
        return {"matthews_correlation": float(value)}

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        total, right = sums[:, 0], sums[:, 1]
        _, predicted, true = np.split(sums[:, 2:], 3, axis=1)
        together = right * total - (predicted * true).sum(axis=1)
        spread_predicted = total**2 - (predicted**2).sum(axis=1)
        spread_true = total**2 - (true**2).sum(axis=1)
        return {"matthews_correlation": ratio(together, np.sqrt(spread_predicted * spread_true))}


class _PerLabel(_LabelMeasure):
    """Precision, recall or F1: of the positive class, and averaged over the labels.

    Macro averages count the classes that occur among predictions or references, as scikit-learn does; of sets of
    labels, all labels. What is undefined (0/0) is 0.
    """

    name: str
    has_positive_class = True  # of two classes, the second

    def reference(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        from sklearn import metrics

        score = getattr(metrics, f"{self.name}_score")
        if references.ndim == 2 and references.shape[1] == 1:  # to scikit-learn a column is no set of labels
            value = float(score(references[:, 0], predictions[:, 0], average="binary", zero_division=0))
            return {f"{self.name}_{average}": value for average in _AVERAGES}
        values = {}
        if references.ndim == 1 and self._num_classes(predictions, references) == 2:
            values[self.name] = float(score(references, predictions, average="binary", zero_division=0))
        for average in _AVERAGES:
            value = score(references, predictions, average=average, zero_division=0)
            values[f"{self.name}_{average}"] = float(value)
        return values

    def shown(self, scores: Sequence[str]) -> Sequence[str]:
        """Of two classes that of the second (index 1, the positive one) and the macro average; else the averages."""
        return [self.name, f"{self.name}_macro"] if self.name in scores else scores

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        right, predicted, true = np.split(sums[:, 2:], 3, axis=1)
        by_label = self._of_counts(right, predicted, true)
        totals = (counts.sum(axis=1) for counts in (right, predicted, true))
        support = true.sum(axis=1)
        values = {
            f"{self.name}_macro": self._macro(by_label, predicted + true),
            f"{self.name}_micro": self._of_counts(*totals),
            f"{self.name}_weighted": ratio((by_label * true).sum(axis=1), support),
        }
        if self.has_positive_class and by_label.shape[1] == 2:
            values[self.name] = by_label[:, 1]
        return values

    def details(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, Any]:
        """``by_label``: label -> precision, recall, f1 and support; of two classes ``positive_class``, one of them."""
        predicted, true = self._indicators(predictions, references)
        counts = [(predicted & true).sum(axis=0), predicted.sum(axis=0), true.sum(axis=0)]
        table = zip(*(of_counts(*counts) for of_counts in _OF_COUNTS.values()), counts[2], strict=True)
        names = self._label_names(true.shape[1])
        keys = (*_OF_COUNTS, "support")
        rows = (
            dict(zip(keys, (*map(float, scores), int(support)), strict=True)) for *scores, support in table
        )
        details: dict[str, Any] = {"by_label": dict(zip(names, rows, strict=True))}
        if self.has_positive_class and len(names) == 2:
            details["positive_class"] = names[1]
        return details

    def signature(self) -> str:
        return f"{super().signature()}|zero_division:0"

    def _of_counts(self, right: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
        return _OF_COUNTS[self.name](right, predicted, true)

    def _macro(self, by_label: np.ndarray, occurrences: np.ndarray) -> np.ndarray:
        return ratio(by_label.sum(axis=1), (occurrences > 0).sum(axis=1))


_OF_COUNTS = {
    "precision": lambda right, predicted, true: ratio(right, predicted),
    "recall": lambda right, predicted, true: ratio(right, true),
    "f1": lambda right, predicted, true: ratio(2 * right, predicted + true),
}


class Precision(_PerLabel):
    """How many of the predicted are true."""

    name = "precision"


class Recall(_PerLabel):
    """How many of the true are predicted."""

    name = "recall"


class F1(_PerLabel):
    """The harmonic mean of precision and recall."""

    name = "f1"


class _AllLabels(_PerLabel):
    """Of sets of labels: every label counts in the macro average, whether it occurs or not."""

    has_positive_class = False

    def shown(self, scores: Sequence[str]) -> Sequence[str]:
        return [f"{self.name}_{average}" for average in ("micro", "macro", "weighted")]

    def _macro(self, by_label: np.ndarray, occurrences: np.ndarray) -> np.ndarray:
        return by_label.mean(axis=1)


class SetPrecision(_AllLabels, Precision):
    """Precision of sets of labels."""


class SetRecall(_AllLabels, Recall):
    """Recall of sets of labels."""


class SetF1(_AllLabels, F1):
    """F1 of sets of labels."""


CLASSIFICATION: dict[str, type[Measure]] = {
    "accuracy": Accuracy,
    "f1": F1,
    "precision": Precision,
    "recall": Recall,
    "matthews_correlation": MatthewsCorrelation,
}
MULTILABEL: dict[str, type[Measure]] = {
    "accuracy": Accuracy,
    "f1": SetF1,
    "precision": SetPrecision,
    "recall": SetRecall,
}
