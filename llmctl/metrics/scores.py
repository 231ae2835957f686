"""Scores of predictions, each with its 95 % interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llmctl import __version__
from llmctl.errors import ConfigError, DataError, ModelError
from llmctl.metrics.intervals import Interval, percentile_bounds, resampled_counts
from llmctl.metrics.measure import Measure, Settings
from llmctl.metrics.names import Family, on_hub, resolve
from llmctl.progress import SILENT, Progress


@dataclass(frozen=True)
class Scores:
    """What predictions are worth.

    Attributes:
        values: score -> value with its 95 % interval, in the order in which they are shown. Fractions in 0..1,
            but percent for ``exact_match``, answers' ``f1``, ``bleu`` and ``chrf``, as their scripts have it.
            An undefined score (the correlation of constants) is ``nan``, and ``None`` in JSON.
        details: what explains them, as JSON: ``confusion_matrix`` and ``label_names``, ``by_label``, ``by_type``.
        signature: what decides the numbers: libraries with their versions, averages, resampling.
    """

    values: dict[str, Interval]
    details: dict[str, Any] = field(default_factory=dict)
    signature: str = ""


def compute(
    names: Sequence[str],
    predictions: Any,
    references: Any,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
    label_names: Sequence[str] | None = None,
    target_lang: str | None = None,
    progress: Progress = SILENT,
) -> Scores:
    """Score predictions, and resample the examples for the intervals.

    Args:
        names: metrics or single scores, see ``names.SCORES``; ``ORG/NAME@COMMIT`` for metrics of the Hub.
        predictions: N of them. Classes: (N,) integers. Labels: (N, C) booleans. Numbers: (N,) floats. Tagged
            words: lists of tags. Text and answers: strings.
            Likelihoods: (N, 2) floats, see ``likelihoods``.
        references: the same; for text and answers also lists of accepted strings (none: the question has no answer);
            for likelihoods what each was of, which is not looked at.
        num_resamples: bootstrap resamples, shared by all scores; 0: no intervals.
        seed: of the resampling.
        label_names: the classes or labels in the order of their indices.
        target_lang: language of the texts.
        progress: told of scores that have no interval.

    Raises:
        ConfigError: a metric that there is not, or not for these outputs.
        DataError: there is no example.
        ModelError: a predicted number or likelihood is not finite.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions of {len(references)} examples")
    if len(references) == 0:
        raise DataError("there is no example to score", hint="give more data")
    family, predictions, references = _as_family(predictions, references)
    settings = Settings(tuple(label_names) if label_names is not None else None, target_lang)
    wanted = resolve(names, family)
    measures = {name: make_measure(name, family, settings) for name in wanted}
    found = {name: measure.reference(predictions, references) for name, measure in measures.items()}
    chosen = {name: _chosen(measures[name], found[name], wanted[name]) for name in measures}
    bounds = _bounds(measures, predictions, references, num_resamples=num_resamples, seed=seed)
    values: dict[str, Interval] = {}
    details: dict[str, Any] = {}
    for name, measure in measures.items():
        for score in chosen[name]:
            values[score] = Interval(found[name][score], *bounds.get((name, score), (None, None)))
        details.update(measure.details(predictions, references))
    signatures = [f"{name} {measure.signature()}" for name, measure in measures.items()]
    for name in filter(on_hub, names):
        from llmctl.metrics.hub_metric import score_by_hub

        values.update(score_by_hub(name, predictions, references, progress=progress))
        signatures.append(f"{name} interval:none")
    resampling = f"interval:bootstrap95,{num_resamples}x{len(references)} examples,seed:{seed}"
    return Scores(values, details, "; ".join([*signatures, f"{resampling}|llmctl:{__version__}"]))


def make_measure(name: str, family: Family, settings: Settings) -> Measure:
    """The metric ``name`` of a family; its library is imported here."""
    if family == "text":
        if name in ("squad", "squad_v2"):
            from llmctl.metrics.answers import ANSWERS as MEASURES
        else:
            from llmctl.metrics.texts import TEXTS as MEASURES
    elif family == "tags":
        from llmctl.metrics.tags import TAGS as MEASURES
    elif family == "regression":
        from llmctl.metrics.numbers import REGRESSION as MEASURES
    elif family == "likelihood":
        from llmctl.metrics.likelihoods import LIKELIHOOD as MEASURES
    elif family == "multilabel":
        from llmctl.metrics.labels import MULTILABEL as MEASURES
    else:
        from llmctl.metrics.labels import CLASSIFICATION as MEASURES
    return MEASURES[name](settings)


def _as_family(predictions: Any, references: Any) -> tuple[Family, Any, Any]:
    """Tell the family by the outputs, and bring them to its form."""
    first = predictions[0]
    if isinstance(first, str):
        return "text", predictions, [[one] if isinstance(one, str) else one for one in references]
    if isinstance(first, (list, tuple)) and not (first and isinstance(first[0], (bool, np.bool_, float))):
        return "tags", predictions, references
    predictions, references = np.asarray(predictions), np.asarray(references)
    if predictions.ndim == 2 and predictions.dtype.kind == "f":
        return "likelihood", _finite(predictions), references
    if predictions.ndim == 2:
        return "multilabel", predictions.astype(bool), references.astype(bool)
    if predictions.dtype.kind != "f":
        return "classification", predictions.astype(np.int64), references.astype(np.int64)
    return "regression", _finite(predictions), references.astype(np.float64)


def _finite(predictions: np.ndarray) -> np.ndarray:
    """``predictions`` as float64.

    Raises:
        ModelError: naming how many are not finite.
    """
    if undefined := int((~np.isfinite(predictions)).sum()):
        raise ModelError(
            f"{undefined:,} of {predictions.size:,} predicted numbers are not finite",
            hint="the training went astray: try a lower --learning-rate",
        )
    return predictions.astype(np.float64)


def _chosen(measure: Measure, found: Mapping[str, float], wanted: tuple[str, ...] | None) -> Sequence[str]:
    """The scores to show: those asked for one by one, else the metric's own choice."""
    if wanted is None:
        return measure.shown(tuple(found))
    for score in wanted:
        if score not in found:
            raise ConfigError(f"no score {score!r} of these data", hint=f"there are {', '.join(found)}")
    return wanted


def _bounds(
    measures: Mapping[str, Measure], predictions: Any, references: Any, *, num_resamples: int, seed: int
) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    """The interval of each metric's scores, all over the same resamples; empty where nothing can be resampled."""
    if not measures or num_resamples == 0 or len(references) < 2:
        return {}
    statistics = {name: measure.statistics(predictions, references) for name, measure in measures.items()}
    samples: dict[tuple[str, str], list[np.ndarray]] = {}
    for times in resampled_counts(len(references), num_resamples=num_resamples, seed=seed):
        for name, measure in measures.items():
            for score, found in measure.resampled(statistics[name], times).items():
                samples.setdefault((name, score), []).append(found)
    return {key: _bounds_of(np.concatenate(chunks)) for key, chunks in samples.items()}


def _bounds_of(samples: np.ndarray) -> tuple[float | None, float | None]:
    """Bounds over the resamples in which the score is defined."""
    defined = samples[~np.isnan(samples)]
    return percentile_bounds(defined) if len(defined) else (None, None)
