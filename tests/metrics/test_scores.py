import math
from typing import Any

import numpy as np
import pytest

from llmctl.errors import ConfigError, DataError, ModelError
from llmctl.metrics import compute, intervals
from llmctl.metrics.names import SCORES
from llmctl.metrics.scores import make_measure
from tests.metrics.parity import NO_SETTINGS

RNG = np.random.default_rng(0)
CLASSES = (RNG.integers(0, 3, 50), RNG.integers(0, 3, 50))
OUTPUTS: dict[str, tuple[Any, Any]] = {
    "classification": CLASSES,
    "multilabel": (RNG.random((30, 4)) < 0.5, RNG.random((30, 4)) < 0.5),
    "regression": (RNG.normal(size=40), RNG.normal(size=40)),
    "tags": ([["B-X", "O"], ["O"], ["B-X"]], [["B-X", "I-X"], ["O"], ["O"]]),
    "likelihood": (np.stack([RNG.gamma(5, size=30), RNG.integers(1, 9, 30)], axis=1), np.zeros(30)),
    "text": (["a cat", "", "the dog"], [["cat"], [], ["a dog", "dogs"]]),
}


@pytest.mark.parametrize("family", SCORES)
def test_every_metric_is_there_and_shows_its_scores_with_bounds(family: Any) -> None:
    predictions, references = OUTPUTS[family]
    for name, scores in SCORES[family].items():
        found = compute([name], predictions, references, num_resamples=200)
        assert found.values
        assert set(make_measure(name, family, NO_SETTINGS).reference(predictions, references)) <= set(scores)
        for score, interval in found.values.items():
            assert score in scores
            assert interval.low is not None
            assert interval.high is not None
            assert interval.low <= interval.high
        assert found.signature.startswith(f"{name} ")
        assert "interval:bootstrap95,200x" in found.signature


def test_the_interval_of_accuracy_is_that_of_a_share() -> None:
    rng = np.random.default_rng(0)
    references = rng.integers(0, 2, 800)
    predictions = np.where(rng.random(800) < 0.8, references, 1 - references)
    accuracy = compute(["accuracy"], predictions, references, num_resamples=4000).values["accuracy"]
    half = 1.96 * math.sqrt(accuracy.value * (1 - accuracy.value) / 800)
    assert accuracy.low == pytest.approx(accuracy.value - half, abs=0.003)
    assert accuracy.high == pytest.approx(accuracy.value + half, abs=0.003)


def test_bounds_are_those_of_scoring_each_resample_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, references = OUTPUTS["regression"]
    rows = np.concatenate(list(intervals.resampled_counts(40, num_resamples=60, seed=3))).astype(int)
    for name in SCORES["regression"]:
        measure = make_measure(name, "regression", NO_SETTINGS)
        samples = [
            measure.reference(np.repeat(predictions, row), np.repeat(references, row))[name] for row in rows
        ]
        found = compute([name], predictions, references, num_resamples=60, seed=3).values[name]
        assert (found.low, found.high) == pytest.approx(
            intervals.percentile_bounds(np.array(samples)), abs=1e-12
        )
    monkeypatch.setattr(intervals, "_DRAWS_AT_ONCE", 90)
    again = compute([name], predictions, references, num_resamples=60, seed=3).values[name]
    assert (again.low, again.high) == pytest.approx((found.low, found.high), abs=1e-12)


def test_all_metrics_of_one_call_share_their_resamples() -> None:
    together = compute(["accuracy", "f1", "matthews_correlation"], *CLASSES, seed=1)
    assert together.values["f1_macro"] == compute(["f1"], *CLASSES, seed=1).values["f1_macro"]
    assert together.values["f1_micro"].low == together.values["accuracy"].low
    assert together.values != compute(["accuracy", "f1", "matthews_correlation"], *CLASSES, seed=2).values


def test_no_resamples_and_a_single_example_have_no_bounds() -> None:
    assert compute(["accuracy"], *CLASSES, num_resamples=0).values["accuracy"].low is None
    single = compute(["accuracy"], np.array([1]), np.array([1])).values["accuracy"]
    assert (single.value, single.low, single.high) == (1, None, None)


def test_an_undefined_score_is_none_in_json() -> None:
    found = compute(["pearsonr"], np.ones(5), np.arange(5.0)).values["pearsonr"]
    assert found.to_json() == {"value": None, "low": None, "high": None}


def test_resamples_without_a_value_do_not_count() -> None:
    references: list[list[str]] = [[], ["x"], ["y"]]  # many resamples have no question without an answer
    found = compute(["squad_v2"], ["", "x", "z"], references).values["NoAns_f1"]
    assert (found.low, found.high) == (100, 100)


def test_scores_can_be_asked_for_one_by_one() -> None:
    assert list(compute(["f1_weighted", "accuracy"], *CLASSES).values) == ["f1_weighted", "accuracy"]
    assert list(compute(["rougeL", "rouge1"], ["a"], ["a"]).values) == ["rougeL", "rouge1"]
    with pytest.raises(ConfigError, match="no score 'HasAns_f1' of these data"):
        compute(["squad", "HasAns_f1"][1:], ["a"], [["a"]])


def test_plain_lists_do_as_well_as_arrays() -> None:
    predictions, references = CLASSES
    assert compute(["accuracy"], predictions.tolist(), references.tolist()) == compute(["accuracy"], *CLASSES)
    assert compute(["mse"], [1.0, 2.0], [1, 4]).values["mse"].value == 2
    assert compute(["f1"], [[True, False]], [[True, True]]).values["f1_micro"].value == pytest.approx(2 / 3)


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(DataError, match="no example"):
        compute(["accuracy"], [], [])
    with pytest.raises(ValueError, match="2 predictions of 1"):
        compute(["accuracy"], [1, 0], [1])
    with pytest.raises(ModelError, match="2 of 3 predicted numbers are not finite"):
        compute(["mse"], np.array([math.nan, 1, math.inf]), np.zeros(3))
    with pytest.raises(ConfigError, match="no metric 'bleu' for classes"):
        compute(["bleu"], *CLASSES)
