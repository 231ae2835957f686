"""95 % intervals by the percentile bootstrap.

For every score that is a function of sums over independent units (documents, sentences, ...): resample the
units with replacement, sum again, compute the score again, and take the quantiles of the results
(Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from llmctl.progress import Progress

CONFIDENCE = 0.95
MIN_UNITS = 30  # fewer say too little about how units differ
_DRAWS_AT_ONCE = 500_000  # bounds the memory of one chunk to about 12 MB


def tell_few(units: int, noun: str, progress: Progress) -> None:
    """Tell where intervals rest on too few units."""
    if 1 < units < MIN_UNITS:
        progress.note(
            f"the intervals rest on {units} {noun}: with fewer than {MIN_UNITS} they are unreliable, mostly too narrow"
        )


@dataclass(frozen=True)
class Interval:
    """A score and the bounds of its 95 % interval; the bounds are ``None`` where none can be had."""

    value: float
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, float | None]:
        """``{"value", "low", "high"}``; a number beyond the floating-point range becomes ``None``."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: n if n is not None and math.isfinite(n) else None for name, n in numbers.items()}


def resampled_counts(units: int, *, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw ``num_resamples`` resamples of ``units`` units, some at a time.

    Yields:
        (resamples, units) float64: how often each resample holds each unit. The same seed gives the same
        resamples whatever the chunking.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, _DRAWS_AT_ONCE // units)
    for begin in range(0, num_resamples, rows):
        count = min(rows, num_resamples - begin)
        drawn = rng.integers(0, units, (count, units))
        drawn += np.arange(count)[:, None] * units
        times = np.bincount(drawn.ravel(), minlength=count * units)
        yield times.reshape(count, units).astype(np.float64)


def bootstrap_sums(values: np.ndarray, *, num_resamples: int, seed: int) -> np.ndarray:
    """Sum the units' values in each of ``num_resamples`` resamples.

    Args:
        values: (units, K); what each unit adds to each of K sums. All K share one resampling, so that a
            ratio of two sums keeps their correlation.
        num_resamples: how many resamples.
        seed: of the draws; the same seed gives the same sums whatever the chunking.

    Returns:
        (num_resamples, K) float64.
    """
    values = np.asarray(values, dtype=np.float64)
    chunks = resampled_counts(len(values), num_resamples=num_resamples, seed=seed)
    return np.concatenate([times @ values for times in chunks])


def percentile_bounds(samples: np.ndarray) -> tuple[float, float]:
    """The bounds that hold the middle 95 % of ``samples`` (R,)."""
    with np.errstate(invalid="ignore"):  # samples beyond the floating-point range have no bounds
        low, high = np.quantile(samples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
