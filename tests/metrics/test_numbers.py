import math
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from llmctl.metrics.measure import Settings
from llmctl.metrics.numbers import Spearman
from tests.metrics.parity import agreed

NUM_CASES = 250

Case = tuple[np.ndarray, np.ndarray]


def _cases() -> list[Case]:
    """2 to 80 numbers: with and without ties, far from zero, constant, perfectly and not related."""
    rng = np.random.default_rng(0)
    cases: list[Case] = [
        (np.array([1.0, 2.0]), np.array([3.0, 1.0])),
        (np.full(5, 2.5), np.arange(5.0)),
        (np.arange(5.0), np.full(5, 0.1)),
        (np.full(6, 0.1), np.full(6, 0.1)),
        (np.full(6, 0.1), np.full(6, 0.3)),
    ]
    while len(cases) < NUM_CASES:
        n = rng.integers(2, 80)
        references = rng.normal(rng.choice([0, 3, 1000]), rng.choice([0.1, 1, 50]), n)
        predictions = references * rng.choice([-1, 0.5, 1]) + rng.normal(0, rng.choice([0, 0.1, 5]), n)
        if rng.random() < 0.5:
            references, predictions = references.round(), predictions.round()
        cases.append((predictions, references))
    return cases


def test_numbers_score_as_scipy_and_scikit_learn_say() -> None:
    functions = {
        "pearsonr": lambda x, y: stats.pearsonr(x, y).statistic,
        "spearmanr": lambda x, y: stats.spearmanr(x, y).statistic,
        "mse": lambda x, y: sk.mean_squared_error(y, x),
        "mae": lambda x, y: sk.mean_absolute_error(y, x),
        "r2": lambda x, y: sk.r2_score(y, x),
    }
    undefined = 0
    for predictions, references in _cases():
        for name, function in functions.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = function(predictions, references)
            found = agreed(name, "regression", predictions, references)[name]
            assert found == pytest.approx(expected, abs=1e-9, rel=1e-9, nan_ok=True)
            undefined += math.isnan(found)
    assert undefined >= 8  # the correlations of constants


def test_one_example_has_an_error_but_no_correlation() -> None:
    predictions, references = np.array([1.0]), np.array([3.0])
    assert agreed("mse", "regression", predictions, references) == {"mse": 4.0}
    for name in ("pearsonr", "spearmanr"):
        assert math.isnan(agreed(name, "regression", predictions, references)[name])


def test_ranks_of_a_resample_are_those_of_the_numbers_written_out() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 6, 30).astype(float), rng.normal(size=30).round(1)
    times = rng.multinomial(30, np.full(30, 1 / 30), size=50)
    found = Spearman(Settings()).resampled(np.stack([x, y], axis=1), times.astype(float))["spearmanr"]
    expected = [stats.spearmanr(np.repeat(x, row), np.repeat(y, row)).statistic for row in times]
    assert found == pytest.approx(expected, abs=1e-12)
