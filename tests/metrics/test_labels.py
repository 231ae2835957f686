import numpy as np
import pytest
from sklearn import metrics as sk

from llmctl.metrics.labels import F1, Accuracy, SetF1
from llmctl.metrics.measure import Settings
from llmctl.metrics.names import Family
from llmctl.metrics.scores import make_measure
from tests.metrics.parity import NO_SETTINGS, agreed

NUM_CASES = 250
RATIOS = ("precision", "recall", "f1")

Case = tuple[np.ndarray, np.ndarray]


def _class_cases() -> list[Case]:
    """Predictions and references of 1 to 60 examples; some classes are never true, never predicted, or neither."""
    rng = np.random.default_rng(0)
    cases = [(rng.integers(0, 2, n), rng.integers(0, 2, n)) for n in (1, 2, 3, 5, 40)]
    cases += [(np.full(4, one), np.full(4, other)) for one in (0, 1, 3) for other in (0, 1, 3)]
    while len(cases) < NUM_CASES:
        n, predicted, true = rng.integers(1, 60), rng.integers(1, 7), rng.integers(1, 7)
        cases.append((rng.integers(0, predicted, n) * 2 % 7, rng.integers(0, true, n)))
    return cases


def _set_cases() -> list[Case]:
    """Sets of 2 to 6 labels of any density, among them nothing predicted and nothing true."""
    rng = np.random.default_rng(0)
    cases = []
    while len(cases) < NUM_CASES:
        shape = (rng.integers(1, 40), rng.integers(2, 7))
        cases.append(tuple(rng.random(shape) < rng.choice([0, 0.1, 0.5, 1]) for _ in range(2)))
    return cases


def _by_sums(name: str, family: Family, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
    measure = make_measure(name, family, NO_SETTINGS)
    sums = measure.statistics(predictions, references).sum(axis=0, keepdims=True)
    return {score: float(value[0]) for score, value in measure.from_sums(sums).items()}


def _by_scikit_learn(predictions: np.ndarray, references: np.ndarray, *averages: str) -> dict[str, float]:
    expected = {}
    for average in averages:
        suffix = "" if average == "binary" else f"_{average}"
        values = sk.precision_recall_fscore_support(references, predictions, average=average, zero_division=0)
        expected.update({f"{name}{suffix}": value for name, value in zip(RATIOS, values, strict=False)})
    return expected


@pytest.mark.filterwarnings("ignore:A single label was found")
def test_classes_score_as_scikit_learn_says() -> None:
    for predictions, references in _class_cases():
        found: dict[str, float] = {}
        for name in ("accuracy", "matthews_correlation", *RATIOS):
            found.update(_by_sums(name, "classification", predictions, references))
        binary = ["binary"] if max(predictions.max(), references.max()) < 2 else []
        expected = _by_scikit_learn(predictions, references, "macro", "micro", "weighted", *binary)
        expected["accuracy"] = sk.accuracy_score(references, predictions)
        expected["matthews_correlation"] = sk.matthews_corrcoef(references, predictions)
        assert found == pytest.approx(expected, abs=1e-12)


def test_sets_of_labels_score_as_scikit_learn_says() -> None:
    for predictions, references in _set_cases():
        found: dict[str, float] = {}
        for name in ("accuracy", *RATIOS):
            found.update(_by_sums(name, "multilabel", predictions, references))
        expected = _by_scikit_learn(predictions, references, "macro", "micro", "weighted")
        expected["accuracy"] = sk.accuracy_score(references, predictions)
        assert found == pytest.approx(expected, abs=1e-12)


def test_the_value_told_is_scikit_learns_own() -> None:
    for predictions, references in _class_cases()[:20]:
        for name in ("accuracy", "matthews_correlation", *RATIOS):
            agreed(name, "classification", predictions, references)
    for predictions, references in _set_cases()[:10]:
        for name in ("accuracy", *RATIOS):
            agreed(name, "multilabel", predictions, references)


def test_a_single_label_is_scored_as_the_positive_class() -> None:
    predictions, references = np.array([[1], [1], [0]], dtype=bool), np.array([[1], [0], [1]], dtype=bool)
    assert set(agreed("f1", "multilabel", predictions, references).values()) == {0.5}


def test_a_class_that_is_named_but_never_occurs_does_not_count_in_the_macro_average() -> None:
    predictions, references = np.array([0, 1, 1]), np.array([0, 1, 0])
    with_third = agreed("f1", "classification", predictions, references, Settings(("a", "b", "c")))
    assert with_third["f1_macro"] == pytest.approx(2 / 3)
    assert "f1" not in with_third


def test_f1_of_two_classes_is_that_of_the_second() -> None:
    found = agreed("f1", "classification", np.array([1, 1, 0, 1]), np.array([1, 0, 0, 1]))
    assert found["f1"] == pytest.approx(0.8)
    assert found["f1_macro"] == pytest.approx((0.8 + 2 / 3) / 2)


def test_confusion_matrix_has_a_row_for_each_true_class() -> None:
    details = Accuracy(Settings(("no", "yes"))).details(np.array([0, 1, 1]), np.array([0, 0, 2]))
    assert details["label_names"] == ["no", "yes", "2"]
    assert details["confusion_matrix"] == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]


def test_details_by_label_agree_with_scikit_learn() -> None:
    predictions, references = _class_cases()[-1]
    table = F1(Settings()).details(predictions, references)["by_label"]
    expected = sk.precision_recall_fscore_support(
        references, predictions, labels=range(len(table)), zero_division=0
    )
    for row, *values in zip(table.values(), *expected, strict=True):
        assert list(row) == ["precision", "recall", "f1", "support"]
        assert list(row.values()) == pytest.approx(values, abs=1e-12)


def test_the_positive_of_two_classes_is_named() -> None:
    predictions, references = np.array([0, 1, 1]), np.array([0, 1, 0])
    assert F1(Settings(("no", "yes"))).details(predictions, references)["positive_class"] == "yes"
    assert F1(Settings()).details(predictions, references)["positive_class"] == "1"
    assert "positive_class" not in F1(Settings(("a", "b", "c"))).details(predictions, references)
    sets = np.array([[1, 0], [0, 1]], dtype=bool)
    assert "positive_class" not in SetF1(Settings(("a", "b"))).details(sets, sets)


def test_negative_classes_are_a_bug() -> None:
    with pytest.raises(ValueError, match="begin at 0"):
        agreed("f1", "classification", np.array([0]), np.array([-1]))
