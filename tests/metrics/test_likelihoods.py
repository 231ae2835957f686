"""Perplexity and loss of tokens whose likelihoods are known."""

import math

import numpy as np
import pytest

from llmctl.errors import ConfigError, ModelError
from llmctl.metrics import compute
from llmctl.metrics.intervals import bootstrap_sums, percentile_bounds
from tests.metrics.parity import agreed

TWO = np.array([[3.0, 2.0], [1.0, 2.0]])  # 4 nats over 4 tokens


def test_tokens_count_and_not_examples() -> None:
    assert agreed("loss", "likelihood", TWO, [2, 2]) == {"loss": 1.0}
    assert agreed("perplexity", "likelihood", TWO, [2, 2])["perplexity"] == pytest.approx(math.e)
    longer = np.array([[3.0, 1.0], [3.0, 5.0]])
    assert agreed("loss", "likelihood", longer, [1, 5]) == {"loss": 1.0}


def test_it_is_the_exponential_of_the_mean_on_random_cases() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        counts = rng.integers(0, 9, rng.integers(1, 30))
        counts[0] += 1  # an example without tokens counts for nothing
        nll = rng.exponential(3, len(counts)) * counts
        cases = np.stack([nll, counts], axis=1)
        loss = math.fsum(nll) / counts.sum()
        assert agreed("loss", "likelihood", cases, counts)["loss"] == pytest.approx(loss, rel=1e-12)
        found = agreed("perplexity", "likelihood", cases, counts)["perplexity"]
        assert found == pytest.approx(math.exp(loss), rel=1e-12)


def test_the_interval_resamples_examples() -> None:
    rng = np.random.default_rng(1)
    cases = np.stack([rng.gamma(9, size=40), rng.integers(1, 9, 40)], axis=1)
    found = compute(("perplexity", "loss"), cases, cases[:, 1], num_resamples=500, seed=2).values
    nll, count = bootstrap_sums(cases, num_resamples=500, seed=2).T
    assert (found["loss"].low, found["loss"].high) == pytest.approx(percentile_bounds(nll / count))
    assert found["perplexity"].low == pytest.approx(math.exp(found["loss"].low or 0), rel=1e-3)


def test_what_is_beyond_all_numbers_is_none_in_json() -> None:
    hopeless = compute(("perplexity",), np.array([[1e6, 1.0]]), [1]).values["perplexity"]
    assert hopeless.value == math.inf
    assert hopeless.to_json()["value"] is None


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ModelError, match="predicted numbers are not finite"):
        compute(("loss",), np.array([[math.nan, 2.0]]), [2])
    with pytest.raises(ConfigError, match="no metric 'bleu' for likelihoods"):
        compute(("bleu",), TWO, [2, 2])
