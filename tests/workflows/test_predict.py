"""Plain inputs to answers."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from llmctl.config import PredictConfig
from llmctl.errors import ConfigError, DataError, ModelError, RunError
from llmctl.workflows import finetune, predict, pretrain
from tests.data.conftest import jsonl
from tests.verdicts import lines_of, write_csv
from tests.workflows.conftest import Watched


def answers(watched: Watched, **settings: Any) -> list[dict[str, Any]]:
    return predict.run(PredictConfig(**settings), progress=watched).answers


def test_a_text_gets_a_class_and_all_probabilities(tuned: Path, watched: Watched) -> None:
    (line,) = answers(watched, text="the plot was very fine")
    assert line["text"] == "the plot was very fine"
    assert line["predicted"] == "pos"
    assert line["probability"] == max(line["probabilities"].values())
    assert list(line["probabilities"]) == ["neg", "pos"]
    assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert "gold" not in line
    assert "(the newest run that answers)" in watched.all()
    (named,) = answers(watched, text="the plot was very dull", model="tuned")
    assert named["predicted"] == "neg"


def test_a_run_and_its_model_directory_answer_the_same(tuned: Path, watched: Watched) -> None:
    """The directory tells by its config what it was trained for."""
    text = "the cast was simply weak"
    assert answers(watched, text=text, model=str(tuned / "model")) == answers(watched, text=text)


def test_many_texts_are_answered_in_their_order(tuned: Path, places: Path, watched: Watched) -> None:
    """As one by one, whatever their lengths; blank lines are no texts, and told."""
    texts = ["the score was very very very very lovely", "dull", "the ending was poor", "great great"]
    file = places / "texts.txt"
    file.write_text("\ufeff" + "\n".join([texts[0], "", *texts[1:], " "]), encoding="utf-8")
    found = answers(watched, input_file=str(file))
    assert [(line["line"], line["text"]) for line in found] == list(zip((1, 3, 4, 5), texts, strict=True))
    assert f"{file}: left out 2 blank lines (first: line 2)" in watched.notes
    for text, line in zip(texts, found, strict=True):
        (alone,) = answers(watched, text=text)
        assert "line" not in alone
        assert alone["predicted"] == line["predicted"]
        assert alone["probabilities"] == pytest.approx(line["probabilities"], abs=2e-6)


def test_lines_of_the_standard_input(tuned: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("the plot was very good\n\nthe plot was very bad\n"))
    assert [(line["line"], line["predicted"]) for line in answers(watched)] == [(1, "pos"), (3, "neg")]
    assert "the standard input: left out a blank line (first: line 2)" in watched.notes
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n \n"))
    with pytest.raises(DataError, match="the standard input: no text in it"):
        answers(watched)


@pytest.mark.parametrize("labels", [{}, {"label": "who knows"}, {"label": float("nan")}])
def test_rows_of_a_file_need_no_labels(
    tuned: Path, places: Path, watched: Watched, labels: dict[str, str]
) -> None:
    file = jsonl(
        places / "in.jsonl",
        {"text": "the cast was very fine", **labels},
        {"text": "the plot was simply dull", **labels},
    )
    found = answers(watched, input_file=str(file))
    assert [(line["line"], line["predicted"]) for line in found] == [(1, "pos"), (2, "neg")]


def test_columns_are_found_as_the_run_found_them(
    tune: Any, places: Path, watched: Watched, reviews: Path
) -> None:
    rows = [("1", "the plot was good", "pos"), ("2", "the plot was bad", "neg")] * 5
    data = write_csv(places / "own.csv", rows, "remark", "what_they_say", "verdict")
    config = tune(data=str(data), text_column="what_they_say", label_column="verdict", max_steps=1)
    finetune.run(config, progress=watched)
    unseen = write_csv(places / "new.csv", [("3", "fine"), ("x", "dull")], "remark", "what_they_say")
    assert [line["text"] for line in answers(watched, input_file=str(unseen))] == ["fine", "dull"]
    plain = jsonl(places / "plain.jsonl", {"text": "good"})
    assert [line["text"] for line in answers(watched, input_file=str(plain))] == ["good"]


def test_answers_go_to_a_new_file(tuned: Path, places: Path, watched: Watched) -> None:
    out = places / "out.jsonl"
    result = predict.run(PredictConfig(text="good", output_file=str(out)), progress=watched)
    assert lines_of(out) == result.answers
    with pytest.raises(ConfigError, match="exists"):
        answers(watched, text="good", output_file=str(out))
    with pytest.raises(ConfigError, match="no such directory"):
        answers(watched, text="good", output_file=str(places / "nowhere" / "out.jsonl"))


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"text": "a", "input_file": "x.txt"}, ConfigError, "a text and --input-file: which of them?"),
        ({"text": " "}, ConfigError, "the text is empty"),
        ({"input_file": "nowhere.txt"}, ConfigError, "no such file: nowhere.txt"),
        ({"text": "a", "model": "./nowhere"}, ConfigError, "no such model directory"),
        ({"text": "a", "task": "claasification"}, ConfigError, "no task 'claasification'"),
        ({"text": "a"}, RunError, "no finished run"),
    ],
)
def test_bad_input_gets_one_message(
    places: Path, watched: Watched, settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as raised:
        answers(watched, **settings)
    assert message in str(raised.value)


@pytest.fixture
def pairs(tune: Any, places: Path, watched: Watched) -> str:
    """A run that learnt from pairs of texts."""
    rows = [("the plot was good", "the cast was good", "pos"), ("the plot was bad", "very bad", "neg")] * 5
    data = write_csv(places / "pairs.csv", rows, "sentence1", "sentence2", "label")
    return finetune.run(tune(data=str(data), max_steps=1, run_name="pairs"), progress=watched).run


def test_a_model_of_pairs_takes_two_texts(pairs: str, places: Path, watched: Watched) -> None:
    with pytest.raises(ConfigError, match="learnt from pairs of texts: the second is missing") as refused:
        predict.check(PredictConfig(text="good", model=pairs))
    assert "--text-pair" in str(refused.value.hint)
    assert len(answers(watched, text="good", text_pair="very good", model=pairs)) == 1
    single = jsonl(places / "single.jsonl", {"text": "good"})
    with pytest.raises(DataError, match=r"single.jsonl: .* learnt from pairs of texts, there is no second"):
        answers(watched, input_file=str(single), model=pairs)


def test_what_the_model_does_not_take_is_refused(tuned: Path) -> None:
    with pytest.raises(ConfigError, match=r"--text-pair: .*tuned learnt from single texts"):
        predict.check(PredictConfig(text="good", text_pair="fine", model="tuned"))
    with pytest.raises(ConfigError, match=r"--question: .*tuned answers no questions"):
        predict.check(PredictConfig(text="good", question="Why?", model="tuned"))
    with pytest.raises(ConfigError, match="is a BertForSequenceClassification: it cannot tag words"):
        predict.check(PredictConfig(text="good", task="ner", model="tuned"))


def test_a_question_is_asked_for(base_model: Path) -> None:
    with pytest.raises(ConfigError, match="a question is missing") as refused:
        predict.check(PredictConfig(text="good", task="qa", model=str(base_model)))
    assert "--question" in str(refused.value.hint)


def test_text_that_is_not_utf_8_is_refused(tuned: Path, places: Path, watched: Watched) -> None:
    file = places / "latin.txt"
    file.write_bytes(b"fine\ncaf\xe9\n")
    with pytest.raises(DataError, match=r"latin.txt:2: byte 0xe9 is not UTF-8"):
        answers(watched, input_file=str(file))


def test_models_that_cannot_answer_are_refused(
    base_model: Path, tuned: Path, quick: Any, places: Path, watched: Watched
) -> None:
    with pytest.raises(ConfigError, match="does not tell what it was trained for"):
        answers(watched, text="good", model=str(base_model))
    with pytest.raises(ModelError, match="has no trained head for this task"):
        answers(watched, text="good", model=str(base_model), task="classification")
    with pytest.raises(ModelError, match="the task is regression"):
        answers(watched, text="good", model="tuned", task="regression")
    pretrain.run(quick(max_steps=1, run_name="writer"), progress=watched)
    with pytest.raises(ConfigError, match="writes text") as raised:
        answers(watched, text="good", model="writer")
    assert raised.value.hint is not None
    assert "llmctl generate" in raised.value.hint
    assert answers(watched, text="the plot was very fine")[0]["predicted"] == "pos", (
        "the newest run that answers, not of pretrain"
    )
