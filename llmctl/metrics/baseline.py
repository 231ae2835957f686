"""What knowing nothing of an example would score: the yardstick of every trained model."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from llmctl.metrics.measure import Settings
from llmctl.metrics.names import SCORES, Family, family_of, resolve
from llmctl.metrics.scores import make_measure


def majority(
    names: Sequence[str], references: Any, *, kind: str, label_names: Sequence[str] | None = None
) -> dict[str, float | None]:
    """Score the best constant answer: the same for every example.

    That is the most frequent class (of equals the first), the most frequent set of labels, the mean of the numbers, no
    entity, or no answer. No reference library is loaded for classes and numbers, so that it costs no start-up.

    Args:
        names: metrics or scores as :func:`llmctl.metrics.scores.compute` takes them.
        references: as there; N > 0. Tags that mark no entities: (words,) class indices.
        kind: of problem, as ``tasks.KINDS`` calls it.
        label_names: the classes or labels in the order of their indices.

    Returns:
        score -> value, ``None`` where a constant answer means nothing: a correlation, a written text, a
        likelihood, an answer where every question has one. Metrics of the Hub are left out.

    Raises:
        ConfigError: a metric that there is not.
    """
    family = family_of(kind)
    if family == "tags" and isinstance(references, np.ndarray):
        family = "classification"  # plain tags, of parts of speech, are the classes of words
    settings = Settings(label_names=tuple(label_names) if label_names is not None else None)
    baseline: dict[str, float | None] = {}
    for name, wanted in resolve(names, family).items():
        if family == "likelihood" or (family == "text" and (not name.startswith("squad") or all(references))):
            baseline.update(dict.fromkeys(wanted or _without_groups(SCORES[family][name])))
            continue
        measure = make_measure(name, family, settings)
        predictions, true = _constant(family, references)
        once = np.ones((1, len(true)))
        found = measure.resampled(measure.statistics(predictions, true), once)
        values = {score: float(value[0]) for score, value in found.items()}
        shown = wanted or [score for score in SCORES[family][name] if score in measure.shown(tuple(values))]
        baseline.update({score: _defined(values.get(score)) for score in shown})
    return baseline


def _constant(family: Family, references: Any) -> tuple[Any, Any]:
    """The constant predictions for ``references``, and the references in the family's form."""
    if family == "text":
        return [""] * len(references), references
    if family == "tags":
        return [["O"] * len(tags) for tags in references], references
    if family == "regression":
        true = np.asarray(references, dtype=np.float64)
        return np.full(true.shape, true.mean()), true
    if family == "classification":
        true = np.asarray(references, dtype=np.int64)
        return np.full(true.shape, np.bincount(true).argmax()), true
    true = np.asarray(references, dtype=bool)
    sets, counts = np.unique(true, axis=0, return_counts=True)
    return np.repeat(sets[counts.argmax()][None], len(true), axis=0), true


def _without_groups(scores: Sequence[str]) -> list[str]:
    return [score for score in scores if not score.startswith(("HasAns", "NoAns"))]


def _defined(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
