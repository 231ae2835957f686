"""What every metric can do: its reference value, and the statistics that the bootstrap resamples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Settings:
    """What a metric may need to know beside predictions and references.

    Attributes:
        label_names: the classes or labels, in the order of their indices; ``None``: as many as occur.
        target_lang: language of the texts, which decides BLEU's tokenizer.
    """

    label_names: tuple[str, ...] | None = None
    target_lang: str | None = None


class Measure:
    """One metric on one family of outputs, N examples long.

    Most scores are functions of sums over examples. A measure says what each example adds (:meth:`statistics`)
    and what the sums mean (:meth:`from_sums`), so that a thousand resamples cost one matrix product; the value
    itself comes from the reference library (:meth:`reference`), and tests hold the two to 1e-12.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def reference(self, predictions: Any, references: Any) -> dict[str, float]:
        """Every score that these data allow, by the reference library."""
        raise NotImplementedError

    def shown(self, scores: Sequence[str]) -> Sequence[str]:
        """Those of ``scores`` that are shown when the metric as a whole is asked for."""
        return scores

    def statistics(self, predictions: Any, references: Any) -> np.ndarray:
        """What each example adds to K sums: (N, K)."""
        raise NotImplementedError

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """The scores, each (R,), of R samples whose sums are given: (R, K)."""
        raise NotImplementedError

    def resampled(self, statistics: np.ndarray, times: np.ndarray) -> dict[str, np.ndarray]:
        """The scores, each (R,), of R samples in which each example occurs so many ``times``: (R, N)."""
        return self.from_sums(times @ statistics)

    def details(self, predictions: Any, references: Any) -> dict[str, Any]:
        """What explains the scores, as JSON: a confusion matrix, scores by type."""
        return {}

    def signature(self) -> str:
        """What decides the numbers; complete once :meth:`reference` was called."""
        raise NotImplementedError


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide, with 0 for 0/0, as scikit-learn and seqeval have it (``zero_division=0``)."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator != 0)
