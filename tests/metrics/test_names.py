import subprocess
import sys

import pytest

from llmctl.errors import ConfigError
from llmctl.metrics import check_names, greater_is_better
from llmctl.metrics.names import family_of, resolve
from llmctl.tasks import KINDS


def test_every_kind_is_judged_by_metrics_that_there_are() -> None:
    for kind in KINDS.values():
        check_names([*kind.metrics, kind.metric_for_best_model], kind.name)


def test_a_metric_and_its_score() -> None:
    assert resolve(["f1", "f1_micro"], "classification") == {"f1": None}
    assert resolve(["f1_micro", "f1_macro", "f1_micro"], "classification") == {"f1": ("f1_micro", "f1_macro")}
    assert resolve(["squad_v2", "HasAns_f1"], "text") == {"squad_v2": None}
    assert resolve([f"org/name@{'0' * 40}", "accuracy"], "tags") == {"seqeval": ("accuracy",)}
    assert family_of("qa") == "text"


def test_an_unknown_name_is_told_with_its_neighbour() -> None:
    with pytest.raises(ConfigError, match="no metric 'acuracy' for classes") as caught:
        check_names(["acuracy"], "classification")
    assert str(caught.value.hint).startswith("did you mean accuracy? there are accuracy, f1,")


def test_errors_are_better_when_less() -> None:
    assert [greater_is_better(score) for score in ("mse", "perplexity", "f1", "bleu")] == [
        False,
        False,
        True,
        True,
    ]


def test_names_are_checked_without_numpy() -> None:
    code = "import sys, llmctl.metrics as m; m.check_names(['f1'], 'ner'); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
