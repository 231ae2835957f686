from pathlib import Path

import evaluate
import numpy as np
import pytest

from llmctl.errors import ConfigError
from llmctl.metrics import compute
from llmctl.metrics.modules import load


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", str(tmp_path))


@pytest.mark.parametrize(
    ("metric", "kind", "predictions", "references"),
    [
        ("f1", "classification", [0, 1, 1], [0, 1, 0]),
        ("f1", "multilabel", [[True, False], [False, False]], [[True, True], [False, True]]),
        ("spearmanr", "regression", [1.0, 2.0, 3.0], [1.0, 3.0, 2.0]),
        ("seqeval", "ner", [["B-X", "O"], ["O"]], [["B-X", "I-X"], ["O"]]),
        ("squad", "qa", ["the cat", ""], [["cat"], []]),
        ("perplexity", "chat", [[3.0, 2.0], [1.0, 4.0]], [2, 4]),
        ("bleu", "translation", ["a b c d e"], [["a b c d f"]]),
    ],
)
def test_a_module_gives_what_compute_gives(
    metric: str, kind: str, predictions: list, references: list
) -> None:
    module = load(metric, kind)
    assert isinstance(module, evaluate.Metric)
    expected = compute([metric], predictions, references, num_resamples=0).values
    found = module.compute(predictions=predictions, references=references)
    assert found == {score: interval.value for score, interval in expected.items()}
    for prediction, reference in zip(predictions, references, strict=True):
        module.add(prediction=prediction, reference=reference)
    assert module.compute() == found


def test_modules_combine() -> None:
    both = evaluate.combine([load("accuracy", "classification"), load("f1", "classification")])
    found = both.compute(predictions=np.array([0, 1, 1]), references=np.array([0, 1, 0]))
    assert found == pytest.approx({"accuracy": 2 / 3, "f1": 2 / 3, "f1_macro": 2 / 3})


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ConfigError, match="no metric 'bleu' for tagged words"):
        load("bleu", "ner")
