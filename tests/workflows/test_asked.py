"""What is asked for in vain is refused before anything is read."""

from typing import Any

import pytest

from llmctl.config import FinetuneConfig
from llmctl.errors import ConfigError
from llmctl.workflows.asked import check_asked

_OPTIONS: dict[str, dict[str, Any]] = {
    "packing": {"packing": True},
    "class_weights": {"class_weights": "balanced"},
    "label_smoothing_factor": {"label_smoothing_factor": 0.1},
}


@pytest.mark.parametrize(
    ("task", "known"),
    [
        ("sst2", {"class_weights", "label_smoothing_factor"}),
        ("stsb", set()),
        ("go_emotions", {"label_smoothing_factor"}),
        ("conll2003", {"class_weights", "label_smoothing_factor"}),
        ("squad", set()),
        ("xsum", {"label_smoothing_factor"}),
        ("opus_books", {"label_smoothing_factor"}),
        ("alpaca", {"packing", "label_smoothing_factor"}),
    ],
)
def test_each_kind_takes_the_options_that_its_loss_knows(task: str, known: set[str]) -> None:
    for name, options in _OPTIONS.items():
        config = FinetuneConfig(task=task, **options)
        if name in known:
            check_asked(config)
        else:
            with pytest.raises(ConfigError, match=rf"{name} means nothing for \w+ \(--task {task}\)"):
                check_asked(config)


def test_conversations_of_one_row_would_see_each_others_prompt() -> None:
    check_asked(FinetuneConfig(task="alpaca", packing=True, method="lora"))
    with pytest.raises(ConfigError, match="--method prompt conversations of one row"):
        check_asked(FinetuneConfig(task="alpaca", packing=True, method="prompt"))


def test_a_metric_of_the_hub_decides_nothing_during_a_training() -> None:
    name = "org/metric@0123456789abcdef0123456789abcdef01234567"
    with pytest.raises(ConfigError, match="is computed at the end, not during a training"):
        check_asked(FinetuneConfig(task="sst2", metric_for_best_model=name))
