"""Scores of predicted numbers, by scipy and scikit-learn. Predictions and references are (N,) floats.

The libraries are imported when their word is asked for: the baseline, known before training starts, does without.
"""

import math
import warnings
from importlib.metadata import version

import numpy as np

from llmctl.metrics.measure import Measure, ratio

_ROUNDING = 1e-13  # a variance below this share of the mean square is rounding: the numbers are all alike


class _NumberMeasure(Measure):
    """What the metrics of numbers share.

    Sums, of K = 8 columns: examples; x, y, x², y², xy of predictions x and references y, both centred so that
    large means cost no digits; squared error; absolute error.
    """

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> np.ndarray:
        error = predictions - references
        x, y = predictions - predictions.mean(), references - references.mean()
        return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y, error**2, abs(error)], axis=1)

    def signature(self) -> str:
        return f"scikit-learn:{version('scikit-learn')}"


class _Error(_NumberMeasure):
    """A mean over examples."""

    name: str
    column: int
    function: str

    def reference(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        from sklearn import metrics

        return {self.name: float(getattr(metrics, self.function)(references, predictions))}

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {self.name: sums[:, self.column] / sums[:, 0]}


class SquaredError(_Error):
    """Mean squared error."""

    name, column, function = "mse", 6, "mean_squared_error"


class AbsoluteError(_Error):
    """Mean absolute error."""

    name, column, function = "mae", 7, "mean_absolute_error"


class Determination(_NumberMeasure):
    """R²: 1 - squared error / squared deviation of the references from their mean.

    Undefined for a single example. Of constant references 1 where all is right, else 0, as scikit-learn has it.
    """

    def reference(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        if len(references) < 2:
            return {"r2": math.nan}
        from sklearn import metrics

        return {"r2": float(metrics.r2_score(references, predictions))}

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        deviation = _centred(sums[:, 4], sums[:, 2], sums[:, 0])
        error = sums[:, 6]
        of_constants = np.where(error == 0, 1.0, 0.0)
        return {"r2": np.where(deviation == 0, of_constants, 1 - ratio(error, deviation))}


class Pearson(_NumberMeasure):
    """Pearson's correlation; undefined (nan) where predictions or references are constant."""

    def reference(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {"pearsonr": _correlation("pearsonr", predictions, references)}

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        total, x, y, xx, yy, xy = sums[:, :6].T
        return {"pearsonr": _quotient(xy - x * y / total, _centred(xx, x, total), _centred(yy, y, total))}

    def signature(self) -> str:
        return f"scipy:{version('scipy')}"


class Spearman(Measure):
    """Spearman's correlation of ranks, ties sharing their mean rank; undefined (nan) where either is constant.

    Ranks are no sums over examples: a resample is ranked again. Sorting once is enough, as a number's rank follows
    from how many examples stand before it and how many share its place.
    """

    def reference(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {"spearmanr": _correlation("spearmanr", predictions, references)}

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> np.ndarray:
        return np.stack([predictions, references], axis=1)

    def resampled(self, statistics: np.ndarray, times: np.ndarray) -> dict[str, np.ndarray]:
        # The mean rank of a sample of n, ties or not, is (n + 1) / 2.
        middle = (times.sum(axis=1, keepdims=True) + 1) / 2
        x, y = (_ranks(column, times) - middle for column in statistics.T)
        sums = [np.einsum("rn,rn,rn->r", times, one, other) for one, other in ((x, y), (x, x), (y, y))]
        return {"spearmanr": _quotient(*sums)}

    def signature(self) -> str:
        return f"scipy:{version('scipy')}"


def _ranks(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Mean ranks (R, N) of ``values`` (N,) in samples where each occurs so many ``times`` (R, N)."""
    _, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    first = np.flatnonzero(np.diff(place[order], prepend=-1))
    alike = np.add.reduceat(times[:, order], first, axis=1)
    return (np.cumsum(alike, axis=1) - (alike - 1) / 2)[:, place]


def _correlation(name: str, predictions: np.ndarray, references: np.ndarray) -> float:
    from scipy import stats

    if len(references) < 2:
        return math.nan
    with warnings.catch_warnings():  # what is undefined is told by its value
        warnings.simplefilter("ignore")
        return float(getattr(stats, name)(predictions, references).statistic)


def _centred(squares: np.ndarray, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Sum of squared deviations from the mean, exactly 0 for constants."""
    deviation = squares - sums**2 / total
    return np.where(deviation > _ROUNDING * squares, deviation, 0.0)


def _quotient(together: np.ndarray, spread_x: np.ndarray, spread_y: np.ndarray) -> np.ndarray:
    """A correlation within -1..1, nan where a spread is 0."""
    spread = np.sqrt(spread_x) * np.sqrt(spread_y)
    found = np.full(spread.shape, math.nan)
    np.divide(together, spread, out=found, where=spread > 0)
    return np.clip(found, -1, 1)


REGRESSION: dict[str, type[Measure]] = {
    "pearsonr": Pearson,
    "spearmanr": Spearman,
    "mse": SquaredError,
    "mae": AbsoluteError,
    "r2": Determination,
}
