import subprocess
import sys

import numpy as np
import pytest

from llmctl.metrics import compute, majority


def test_the_most_frequent_class() -> None:
    references = np.array([0, 1, 1, 2])
    found = majority(["accuracy", "f1", "matthews_correlation"], references, kind="classification")
    assert found == pytest.approx(
        {
            "accuracy": 0.5,
            "f1_macro": 2 / 9,
            "f1_micro": 0.5,
            "f1_weighted": 1 / 3,
            "matthews_correlation": 0,
        }
    )
    expected = compute(["accuracy", "f1", "matthews_correlation"], np.ones(4, dtype=int), references)
    assert found == pytest.approx({name: interval.value for name, interval in expected.values.items()})


def test_two_classes_show_the_positive_one() -> None:
    found = majority(["f1", "accuracy"], [0, 0, 1], kind="classification", label_names=["no", "yes"])
    assert found == pytest.approx({"f1": 0, "f1_macro": 0.4, "accuracy": 2 / 3})
    assert majority(["f1_weighted"], [0, 0, 1], kind="classification") == pytest.approx(
        {"f1_weighted": 8 / 15}
    )


def test_the_mean_of_the_numbers() -> None:
    found = majority(["pearsonr", "spearmanr", "mse", "r2"], [1.0, 2.0, 6.0], kind="regression")
    assert found == {"pearsonr": None, "spearmanr": None, "mse": pytest.approx(14 / 3), "r2": 0}


def test_the_most_frequent_set_of_labels() -> None:
    references = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], dtype=bool)
    found = majority(["f1", "accuracy"], references, kind="multilabel")
    assert found == pytest.approx(
        {"f1_micro": 0.75, "f1_macro": 3 / 7, "f1_weighted": 9 / 14, "accuracy": 0.5}
    )


def test_no_entity() -> None:
    found = majority(["seqeval"], [["B-X", "O", "O"], ["O"]], kind="ner")
    assert found == {"f1": 0, "precision": 0, "recall": 0, "accuracy": 0.75}


def test_plain_tags_are_classes() -> None:
    found = majority(["accuracy", "f1"], np.array([0, 2, 2, 1]), kind="ner", label_names=["DET", "X", "N"])
    assert found["accuracy"] == found["f1_micro"] == 0.5


def test_no_answer_means_something_only_where_there_may_be_none() -> None:
    assert majority(["squad"], [["x"], ["y"]], kind="qa") == {"exact_match": None, "f1": None}
    found = majority(["squad", "rougeL"], [["x"], []], kind="qa")
    assert found["exact_match"] == found["f1"] == 50
    assert found["rougeL"] is None
    assert majority(["bleu", "chrf"], [["x"]], kind="translation") == {"bleu": None, "chrf": None}


def test_a_likelihood_has_no_constant_answer() -> None:
    found = majority(["perplexity", "loss"], np.array([3, 4]), kind="chat")
    assert found == {"perplexity": None, "loss": None}


def test_classes_and_numbers_need_no_reference_library() -> None:
    code = (
        "import sys; from llmctl.metrics import majority; majority(['f1'], [0, 1], kind='classification');"
        "majority(['r2'], [0.0, 1.0], kind='regression');"
        "sys.exit(any(name in sys.modules for name in ('sklearn', 'scipy', 'evaluate', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
