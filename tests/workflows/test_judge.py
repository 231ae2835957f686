"""What is told when answers are scored."""

from types import SimpleNamespace
from typing import Any

import pytest

from llmctl.metrics import compute
from llmctl.objectives.task import Predictions
from llmctl.tasks import find_task
from llmctl.workflows.judge import judge
from tests.workflows.conftest import Watched


@pytest.mark.parametrize(("answers", "empty"), [(["", "", ""], True), (["", "a cat", ""], False)])
def test_generated_texts_that_are_all_empty_are_warned_of(
    answers: list[str], empty: bool, watched: Watched
) -> None:
    gold = ["a cat", "a dog", "a cow"]

    def scored(features: Any, predictions: Any, **settings: Any) -> Any:
        return compute(settings.pop("metrics"), predictions.answers, gold, **settings)

    objective: Any = SimpleNamespace(
        task=find_task("summarization"),
        judged_as="summarization",
        predict=lambda *_, **__: Predictions(answers, None, None),
        judge=scored,
        gold=lambda _: gold,
    )
    features: Any = SimpleNamespace(examples=_Three())
    judge(
        objective,
        None,
        features,
        split=None,
        name="m",
        metrics=("chrf",),
        num_resamples=10,
        seed=0,
        path=None,
        progress=watched,
    )
    few = "the intervals rest on 3 examples: with fewer than 30 they are unreliable, mostly too narrow"
    assert watched.notes == [few, *(["all 3 generated texts are empty"] if empty else [])]


class _Three:
    """Three examples, as far as they are looked at."""

    name, fingerprint = "dev.json", "0"

    def __len__(self) -> int:
        return 3
