"""Judging by a task: a run on its own and on other data, and models that are no runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, BertForSequenceClassification

from llmctl import runs
from llmctl.cli.judgement import as_text
from llmctl.config import EvalConfig, FinetuneConfig
from llmctl.errors import ConfigError, DataError, ModelError
from llmctl.hub import NotCachedError
from llmctl.workflows import evaluate, finetune, pretrain
from llmctl.workflows.judge import Judgement
from llmctl.workflows.perplexity import TextResult
from tests.data.conftest import jsonl
from tests.tiny import bert
from tests.verdicts import lines_of, verdicts, write_csv
from tests.workflows.conftest import Watched

REVERSED = [(text, label) for text, label in verdicts()[::-3]]


def judged(watched: Watched, **settings: Any) -> Judgement:
    found = evaluate.run(EvalConfig(**settings), progress=watched)
    assert isinstance(found, Judgement)
    return found


@pytest.mark.parametrize("model", [None, "tuned"])
def test_a_run_is_judged_as_it_was_at_its_end(tuned: Path, watched: Watched, model: str | None) -> None:
    place = tuned / "eval" / "validation.json"
    before, predictions = json.loads(place.read_text()), place.with_suffix(".predictions.jsonl").read_text()
    place.unlink()
    found = judged(watched, model=model)
    after = json.loads(place.read_text())
    for written in (before, after):  # the copy of the run stands elsewhere
        del written["model"]
    assert before.pop("loss") == pytest.approx(after.pop("loss"), rel=1e-6)
    assert after == before
    assert place.with_suffix(".predictions.jsonl").read_text() == predictions
    assert found.path == str(place)
    assert ("(the newest run)" in watched.all()) is (model is None)


def test_other_data_gets_scores_of_its_own(tuned: Path, places: Path, watched: Watched) -> None:
    """Nothing is held out of it."""
    before = (tuned / "eval" / "validation.json").read_text()
    data = write_csv(places / "other reviews.csv", REVERSED, "sentence", "verdict")
    found = judged(watched, model="tuned", data=str(data))
    assert (found.n, found.split) == (40, None)
    assert found.path is not None
    assert Path(found.path).name == f"other-reviews.csv-{found.fingerprint[:8]}.json"
    assert as_text(found).startswith(f"{tuned} on other reviews.csv ")
    assert Path(found.path).with_suffix(".predictions.jsonl").read_text().count("\n") == 40
    assert (tuned / "eval" / "validation.json").read_text() == before


def test_another_task_is_judged_by_its_own_data(tuned: Path, watched: Watched) -> None:
    """Never by the run's, under the other's name."""
    with pytest.raises(NotCachedError, match="not in the cache: nyu-mll/glue"):
        judged(watched, model="tuned", task="sst2")


def test_the_columns_of_other_data_may_be_named(tuned: Path, places: Path, watched: Watched) -> None:
    rows = [(text, "x" * index, label) for index, (text, label) in enumerate(REVERSED)]
    data = write_csv(places / "odd.csv", rows, "a", "b", "c")
    settings = {"model": "tuned", "data": str(data)}
    assert (
        judged(watched, **settings, text_column="a", label_column="c").scores.values["accuracy"].value > 0.9
    )


def test_a_split_may_be_chosen(tuned: Path, watched: Watched) -> None:
    found = judged(watched, model="tuned", split="train")
    assert (found.n, found.split) == (96, "train")
    assert found.path == str(tuned / "eval" / "train.json")
    with pytest.raises(ConfigError, match="has no test split"):
        judged(watched, model="tuned", split="test")
    with pytest.raises(ConfigError, match="no split 'dev'"):
        judged(watched, model="tuned", split="dev")


def test_other_data_with_splits_is_called_by_its_split_once(
    tuned: Path, places: Path, watched: Watched
) -> None:
    folder = places / "others"
    folder.mkdir()
    write_csv(folder / "train.csv", REVERSED, "text", "label")
    write_csv(folder / "dev.csv", REVERSED[:30], "text", "label")
    found = judged(watched, model="tuned", data=str(folder))
    assert (found.n, found.split) == (30, "validation")
    assert found.path is not None
    assert Path(found.path).name == f"others-validation-{found.fingerprint[:8]}.json"
    assert as_text(found).startswith(f"{tuned} on others (validation) ")


def test_what_the_run_was_limited_to_is_judged(tune: Any, places: Path, watched: Watched) -> None:
    finetune.run(tune(max_train_samples=40, max_eval_samples=10, max_steps=1), progress=watched)
    for split, n in (("validation", 10), ("train", 40)):
        told = Watched()
        found = judged(told, model="tuned", split=split)
        assert (found.n, found.path) == (n, str(places / "runs/tuned/eval" / f"{split}.json"))
        assert "has changed" not in told.all()
    told = Watched()
    found = judged(told, model="tuned", max_eval_samples=24)
    assert (found.n, "has changed" in told.all()) == (24, False), "more of the same data"
    assert found.path is not None
    assert Path(found.path).name == f"reviews-validation-{found.fingerprint[:8]}.json"


def test_changed_data_is_told(tune: Any, reviews: Path, watched: Watched) -> None:
    finetune.run(tune(max_steps=1), progress=watched)
    write_csv(reviews / "dev.csv", verdicts()[:20], "text", "label")
    told = Watched()
    found = judged(told, model="tuned")
    assert "the validation data is not the one that tuned was trained with" in told.all()
    assert found.n == 20
    assert found.path is not None
    assert Path(found.path).name != "validation.json"


def test_metrics_and_resamples_are_those_asked_for(tuned: Path, watched: Watched) -> None:
    few = judged(watched, model="tuned", metric=("matthews_correlation", "precision_macro"), num_resamples=10)
    assert list(few.scores.values) == ["matthews_correlation", "precision_macro"]
    assert "10x24 examples" in few.scores.signature
    assert "200x24 examples" in judged(watched, model="tuned").scores.signature, "else the run's own"
    with pytest.raises(ConfigError, match="no metric 'bleu'"):
        evaluate.check(EvalConfig(model="tuned", metric=("bleu",)))


def test_a_directory_is_judged_by_the_task_that_is_named(
    tuned: Path, places: Path, reviews: Path, watched: Watched
) -> None:
    own = judged(watched, model="tuned")
    found = judged(watched, model=str(tuned / "model"), task="classification", data=str(reviews / "dev.csv"))
    assert found.path is None
    assert found.scores.values["accuracy"].value == own.scores.values["accuracy"].value
    assert found.loss == pytest.approx(own.loss, rel=1e-6)


def test_numbered_labels_are_the_models_classes_in_order(tuned: Path, places: Path, watched: Watched) -> None:
    rows = [(text, {"neg": "0", "pos": "1"}[label]) for text, label in verdicts()[:24]]
    found = judged(watched, model="tuned", data=str(write_csv(places / "n.csv", rows, "text", "label")))
    assert (
        found.scores.values["accuracy"].value
        == judged(watched, model="tuned").scores.values["accuracy"].value
    )
    assert "the model's classes by their numbers: 0 for neg, 1 for pos" in watched.all()
    assert {line["gold"] for line in found.mistakes} <= {"0", "1"}


def test_labels_that_the_model_does_not_know_are_refused(tuned: Path, places: Path, watched: Watched) -> None:
    data = write_csv(places / "x.csv", [("good", "pos"), ("bad", "awful"), ("dull", "neg")], "text", "label")
    with pytest.raises(
        DataError, match=r"x.csv:3: label 'awful' is not among the 2 that are known: neg, pos"
    ):
        judged(watched, model="tuned", data=str(data))
    unlabelled = jsonl(places / "u.jsonl", {"text": "good"}, {"text": "bad"})
    with pytest.raises(DataError, match="no column for the label"):
        judged(watched, model="tuned", data=str(unlabelled))


def test_a_checkpoint_without_a_trained_head_is_refused(
    base_model: Path, reviews: Path, places: Path, watched: Watched
) -> None:
    with pytest.raises(ModelError, match=r"has no trained head for this task: classifier\.bias") as raised:
        judged(watched, model=str(base_model), task="classification", data=str(reviews))
    assert raised.value.hint is not None
    assert "llmctl finetune" in raised.value.hint
    with pytest.raises(ConfigError, match="names a kind of problem: whose data"):
        evaluate.check(EvalConfig(model=str(base_model), task="classification"))


def test_a_head_for_another_problem_is_refused(
    base_model: Path, places: Path, reviews: Path, watched: Watched
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base_model)
    folder = places / "number"
    bert(tokenizer, BertForSequenceClassification, num_labels=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match="trained for regression, the task is classification"):
        judged(watched, model=str(folder), task="classification", data=str(reviews))
    with pytest.raises(ConfigError, match="is a BertForSequenceClassification: it cannot tag words") as other:
        evaluate.check(EvalConfig(model=str(folder), task="ner", data=str(reviews)))
    assert f"llmctl finetune --task ner --model {folder}" in str(other.value.hint)
    with pytest.raises(ConfigError, match="it cannot predict a next token") as textual:
        evaluate.check(EvalConfig(model=str(folder)))
    assert f"llmctl eval {folder} --task TASK" in str(textual.value.hint)


def test_tags_that_mark_no_entities_are_judged_as_in_training(
    base_model: Path, places: Path, watched: Watched
) -> None:
    """The task's metric scores entities; words are scored where there are none, then and now."""
    data = places / "tags.conll"
    data.write_text("the\tDET\nfilm\tNOUN\nwas\tVERB\n\nplot\tNOUN\nwas\tVERB\n\n" * 10)
    config = {"task": "ner", "data": str(data), "model": str(base_model), "num_resamples": 50, "max_steps": 2}
    result = finetune.run(FinetuneConfig(**config, run_name="tags"), progress=watched)
    assert result.judgement is not None
    again = judged(watched, model="tags")
    assert again.scores.values == result.judgement.scores.values
    assert "accuracy" in again.scores.values


def test_the_surest_mistakes_come_first(tuned: Path, places: Path, watched: Watched) -> None:
    """All labels are the wrong way round: what was sure is now surely wrong."""
    wrong = {"pos": "neg", "neg": "pos"}
    rows = [(text, wrong[label]) for text, label in verdicts()]
    found = judged(watched, model="tuned", data=str(write_csv(places / "w.csv", rows, "text", "label")))
    odds = [line["probability"] for line in found.mistakes]
    assert len(odds) == 10
    assert odds == sorted(odds, reverse=True)
    assert all(line["correct"] is False and "w.csv:" in line["place"] for line in found.mistakes)
    assert found.path is not None
    lines = lines_of(Path(found.path).with_suffix(".predictions.jsonl"))
    assert max(line["probability"] for line in lines if not line["correct"]) == odds[0]


def test_a_run_of_pretraining_is_still_judged_by_text(quick: Any, places: Path, watched: Watched) -> None:
    pretrain.run(quick(max_steps=2), progress=watched)
    assert isinstance(evaluate.run(EvalConfig(), progress=watched), TextResult)
    assert runs.latest_finished(places / "runs").name == "quick"
