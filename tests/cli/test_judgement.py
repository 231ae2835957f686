"""How a judgement looks."""

from typing import Any

from llmctl.cli.eval import _text_scores
from llmctl.cli.judgement import as_text
from llmctl.cli.predict import _readable
from llmctl.metrics import Scores
from llmctl.metrics.intervals import Interval
from llmctl.workflows.judge import Judgement


def judgement(scores: Scores, baseline: dict[str, float | None], **more: Any) -> Judgement:
    common: dict[str, Any] = {"task": "t", "split": None, "model": "m", "data": "data/dev.json"}
    return Judgement(
        **common, fingerprint="0", scores=scores, baseline=baseline, loss=0.5, n=3, **{"mistakes": [], **more}
    )


def test_the_positive_class_is_named() -> None:
    values = {"accuracy": Interval(0.9, 0.8, 1.0), "f1": Interval(0.5, None, None)}
    scores = Scores(values, {"positive_class": "spam"}, "signature")
    lines = as_text(judgement(scores, {"accuracy": 0.5, "f1": None})).splitlines()
    assert [line.split("  ")[0] for line in lines[:4]] == [
        "m on dev.json",
        "loss",
        "accuracy",
        "f1 (positive: spam)",
    ]
    assert lines[0].endswith("same answer for all")
    assert lines[2].endswith("0.5000")


def test_where_a_constant_answer_means_nothing_it_has_no_column() -> None:
    text = as_text(judgement(Scores({"bleu": Interval(12.0, 11.0, 13.0)}), {"bleu": None}))
    assert text.splitlines()[0].split("  ")[0] == "m on dev.json"
    assert "same answer" not in text


def test_an_answer_that_is_empty_is_told() -> None:
    line = {"question": "Who?", "predicted": "", "gold": ["Ada"], "probability": 0.9, "place": "dev.json:3"}
    text = as_text(judgement(Scores({}), {}, mistakes=[line]))
    assert "0.900  nothing, not Ada: Who?  (dev.json:3)" in text
    assert _readable({"text": "a", "predicted": ""}) == "(empty)"
    assert _readable({"question": "Who?", "predicted": ""}) == "no answer"


def test_the_text_that_was_judged_is_named() -> None:
    data: dict[str, Any] = {"word_perplexity": {"value": 2.0, "low": None, "high": None}}
    data |= {"model": "m", "data": "texts/dev.txt", "split": None, "num_tokens": 9, "n": 1, "signature": "s"}
    lines = _text_scores(data | {"unit": "documents"}).splitlines()
    assert lines[0].split("  ")[0] == "m on dev.txt"
    assert lines[1].split() == ["word", "perplexity", "2.0000"]
    assert lines[3] == "9 tokens of 1 document"
