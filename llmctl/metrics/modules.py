"""The metrics as ``evaluate`` modules, for scripts of one's own: in ``Trainer``, in ``evaluate.combine``.

Unlike ``evaluate.load("f1")`` they need no network: nothing is fetched.
"""

from typing import Any

import evaluate
from datasets import Features, Sequence, Value

from llmctl.metrics.measure import Settings
from llmctl.metrics.names import Family, family_of, resolve
from llmctl.metrics.scores import compute, make_measure

_OUTPUT: dict[Family, Any] = {
    "classification": Value("int64"),
    "multilabel": Sequence(Value("bool")),
    "regression": Value("float64"),
    "tags": Sequence(Value("string")),
    "text": Value("string"),
    "likelihood": Sequence(Value("float64")),
}
_REFERENCE: dict[Family, Any] = {
    **_OUTPUT,
    "text": Sequence(Value("string")),
    "likelihood": Value("int64"),
}


_NO_SETTINGS = Settings()


class Module(evaluate.Metric):
    """One metric of llmctl behind ``evaluate``'s interface; ``compute`` returns score -> value, no intervals."""

    def __init__(self, metric: str, family: Family, settings: Settings) -> None:
        self._metric, self._family, self._settings = metric, family, settings
        super().__init__(config_name=metric, keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        about = type(make_measure(self._metric, self._family, self._settings)).__doc__ or ""
        return evaluate.MetricInfo(
            description=about,
            citation="",
            inputs_description=about,
            features=Features(predictions=_OUTPUT[self._family], references=_REFERENCE[self._family]),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        scores = compute(
            [self._metric],
            predictions,
            references,
            num_resamples=0,
            label_names=self._settings.label_names,
            target_lang=self._settings.target_lang,
        )
        return {name: interval.value for name, interval in scores.values.items()}


def load(metric: str, kind: str, settings: Settings = _NO_SETTINGS) -> Module:
    """The metric ``metric`` for a kind of problem (``classification``, ``ner``, ...) as an ``evaluate`` module.

    Raises:
        ConfigError: there is no such metric for this kind.
    """
    family = family_of(kind)
    resolve([metric], family)
    return Module(metric, family, settings)
