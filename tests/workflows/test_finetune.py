"""Fine-tuning from config to run: a tiny BERT on a small CSV."""

import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    MarianConfig,
    MarianMTModel,
)

from llmctl import runs
from llmctl.config import Device, FinetuneConfig
from llmctl.errors import ConfigError, DataError, RunError
from llmctl.recipe import resolve
from llmctl.training import StoppedError
from llmctl.workflows import finetune
from llmctl.workflows.stage import Kept
from tests.tiny import bert
from tests.verdicts import lines_of, verdicts, write_csv
from tests.workflows.conftest import Watched

LEARNING: dict[str, Any] = {"per_device_train_batch_size": 8, "num_train_epochs": 8.0}


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def test_a_run_holds_all_that_it_should(tune: Any, places: Path, watched: Watched) -> None:
    config = tune(**LEARNING)
    result = finetune.run(config, progress=watched)
    run = runs.open_run("tuned", places / "runs")
    assert {path.name for path in run.path.iterdir()} == {
        *("recipe.yaml", "environment.json", "metrics.jsonl", "model", "tokenizer"),
        *("eval", "README.md", "manifest.json"),
    }
    kept = resolve(FinetuneConfig, run.recipe, {})
    assert replace(kept, bf16=None, tf32=None, torch_compile=None) == tune(
        **LEARNING,
        lr_scheduler_type="linear",
        run_name=None,
        metric=("accuracy", "f1"),
        metric_for_best_model="accuracy",
        max_length=64,
    ), "complete, but for where it is; as long as the model reads"
    environment = run.read_environment()
    assert environment["command"] == "finetune"
    assert [environment["data"][split]["num_examples"] for split in ("train", "validation")] == [96, 24]

    assert (result.steps, result.train_examples) == (96, 96)
    assert result.num_trainable == result.num_parameters > 10_000
    scores = [event for event in run.events() if "eval_accuracy" in event]
    assert len(scores) == 8, "once an epoch"
    best = max(event["eval_accuracy"] for event in scores)
    assert best > 0.9
    first = next(event for event in scores if event["eval_accuracy"] == best)
    assert result.kept == Kept(first["step"], first["epoch"], "accuracy", best)
    assert result.judgement is not None
    assert result.judgement.scores.values["accuracy"].value == best, "from disk as in memory"
    assert result.judgement.baseline["accuracy"] == 0.5

    written = json.loads((run.eval / "validation.json").read_text())
    assert written == result.judgement.to_json()
    assert written["accuracy"]["low"] <= best <= written["accuracy"]["high"]
    assert (written["n"], written["split"], written["task"]) == (24, "validation", "classification")
    lines = lines_of(run.eval / "validation.predictions.jsonl")
    assert [line["text"] for line in lines] == [text for text, _ in verdicts()[:24]]
    assert sum(line["correct"] for line in lines) / 24 == best
    card = run.card.read_text()
    assert f"| accuracy | {best:.4f} |" in card
    assert "AutoModelForSequenceClassification" in card


def test_plain_hugging_face_loads_the_model_and_answers_the_same(tune: Any, watched: Watched) -> None:
    result = finetune.run(tune(), progress=watched)
    model = AutoModelForSequenceClassification.from_pretrained(result.model)
    tokenizer = AutoTokenizer.from_pretrained(result.model)
    assert model.config.id2label == {0: "neg", 1: "pos"}
    assert model.config.problem_type == "single_label_classification"
    lines = lines_of(Path(result.run, "eval", "validation.predictions.jsonl"))
    batch = tokenizer([line["text"] for line in lines], padding=True, return_tensors="pt")
    with torch.inference_mode():
        odds = model.eval()(**batch).logits.softmax(-1)
    assert odds.max(-1).values.tolist() == pytest.approx([line["probability"] for line in lines], abs=1e-5)
    named = [model.config.id2label[index] for index in odds.argmax(-1).tolist()]
    assert named == [line["predicted"] for line in lines]


def test_the_recipe_repeats_the_run_byte_for_byte(tune: Any, places: Path, watched: Watched) -> None:
    finetune.run(tune(), progress=watched)
    recipe = resolve(FinetuneConfig, places / "runs/tuned/recipe.yaml", {})
    for seed, same in ((0, True), (1, False)):
        finetune.run(
            FinetuneConfig(**{**vars(recipe), "run_name": f"again-{seed}", "seed": seed}), progress=watched
        )
        assert (weights(places / "runs/tuned") == weights(places / f"runs/again-{seed}")) is same


def test_a_resumed_run_is_the_uninterrupted_run(tune: Any, places: Path, base_model: Path) -> None:
    """Stopped by SIGINT in the second epoch, resumed: the same weights, bit for bit."""
    dropping = places / "dropping"
    dropping.mkdir()
    for path in base_model.iterdir():
        (dropping / path.name).write_bytes(path.read_bytes())
    config = json.loads((dropping / "config.json").read_text())
    (dropping / "config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.1}))

    def stop(event: Mapping[str, Any]) -> None:
        if event["step"] == 8 and "loss" in event:
            signal.raise_signal(signal.SIGINT)

    settings = {"model": str(dropping), "save_steps": 6}
    finetune.run(tune(**settings, run_name="whole"), progress=Watched())
    with pytest.raises(StoppedError, match="checkpoint saved") as stopped:
        finetune.run(tune(**settings, run_name="cut"), progress=Watched(stop))
    assert stopped.value.exit_code == 130
    run = runs.open_run("cut", places / "runs")
    assert not run.finished
    with run.metrics.open("a") as file:
        file.write(json.dumps({"step": 9, "seconds": 1000.0}) + "\n")
    resumed = Watched()
    result = finetune.run(FinetuneConfig(resume="cut"), progress=resumed)
    assert result.steps == 12
    assert result.seconds > 1000, "the seconds of both sessions"
    assert min(event["step"] for event in resumed.events) == 10
    assert weights(run.path) == weights(places / "runs/whole")
    with pytest.raises(RunError, match="is finished"):
        finetune.run(FinetuneConfig(resume="cut"), progress=Watched())


def test_the_account_before_the_first_step(tune: Any, reviews: Path, watched: Watched) -> None:
    rows = verdicts()
    write_csv(
        reviews / "train.csv",
        [*rows[24:90], ("the film was " + "very " * 80 + "good", "pos"), rows[30], rows[30], rows[0]],
        "text",
        "label",
    )
    finetune.run(tune(max_steps=1), progress=watched)
    told = watched.all()
    positive = sum(label == "pos" for _, label in [*rows[24:90], rows[30], rows[30], rows[0]]) + 1
    assert f"70 examples: neg {70 - positive} ({1 - positive / 70:.1%}), pos {positive}" in told
    assert "24 examples: neg 12 (50.0%), pos 12 (50.0%)" in told
    assert "1 of 70 examples are longer than max_length 64 and were cut: 22 tokens are not read" in told
    assert "2 of 70 examples repeat an earlier input" in told
    assert "1 of 24 validation examples are in the training split too: the score flatters" in told
    assert "7 tokens in the middle, 95 % up to 7, longest 64" in told
    assert "the same answer for every example would score accuracy 0.5" in told
    assert "trains 14,242 of 14,242 parameters (100.0%)" in told
    assert "the head is new: classifier" in told
    assert "training: 1 step of 16 examples; adamw_torch_fused, learning rate 0.005, linear" in told


def test_a_head_of_another_shape_is_replaced_and_told(
    tune: Any, places: Path, base_model: Path, watched: Watched
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base_model)
    three = places / "three"
    bert(tokenizer, BertForSequenceClassification, num_hidden_layers=1, num_labels=3).save_pretrained(three)
    tokenizer.save_pretrained(three)
    result = finetune.run(tune(model=str(three), max_steps=1), progress=watched)
    assert "its head is of another shape and is replaced by a new one" in watched.all()
    assert load_file(Path(result.model) / "model.safetensors")["classifier.weight"].shape == (2, 32)


def test_training_goes_on_from_a_run(tune: Any, places: Path, watched: Watched) -> None:
    finetune.run(tune(**LEARNING, metric_for_best_model="loss"), progress=watched)
    more = Watched()
    finetune.run(tune(model="tuned", run_name="more", max_steps=1, learning_rate=1e-9), progress=more)
    assert "head is" not in more.all(), "a head of the same shape is kept"
    assert more.events[0]["loss"] < 0.3


def test_only_the_first_examples_are_used_where_that_is_asked_for(tune: Any, watched: Watched) -> None:
    result = finetune.run(
        tune(max_train_samples=40, max_eval_samples=10, num_train_epochs=1.0), progress=watched
    )
    assert (result.train_examples, result.steps) == (40, 3)
    assert result.judgement is not None
    assert result.judgement.n == 10
    assert "the first 40 of 96 examples" in watched.all()
    assert "the first 10 of 24 examples" in watched.all()


def test_without_validation_the_last_model_is_kept(tune: Any, reviews: Path, watched: Watched) -> None:
    config = tune(data=str(reviews / "train.csv"), validation_fraction=0.0)
    result = finetune.run(config, progress=watched)
    assert "no validation split: nothing is evaluated, and the last model is kept" in watched.all()
    assert result.judgement is None
    assert result.kept == Kept(result.steps, 2.0)
    assert Path(result.model, "model.safetensors").is_file()
    assert "| none |" in Path(result.run, "README.md").read_text()


def test_a_part_is_held_out_where_there_is_no_validation_split(
    tune: Any, reviews: Path, watched: Watched
) -> None:
    result = finetune.run(tune(data=str(reviews / "train.csv"), max_steps=1), progress=watched)
    assert "held out 10 of 96 examples" in watched.all()
    assert result.judgement is not None
    assert (result.train_examples, result.judgement.n) == (86, 10)


def test_numbers_are_learnt(tune: Any, places: Path, watched: Watched) -> None:
    rows = [(text, 4.5 if label == "pos" else 1.5) for text, label in verdicts()]
    data = write_csv(places / "stars.csv", rows, "text", "score")
    result = finetune.run(
        tune(task="regression", data=str(data), validation_fraction=0.2, **LEARNING), progress=watched
    )
    assert "1.5 to 4.5, mean" in watched.all()
    assert result.judgement is not None
    assert list(result.judgement.scores.values) == ["pearsonr", "spearmanr", "mse"]
    assert result.judgement.scores.values["mse"].value < result.judgement.baseline["mse"] / 2  # type: ignore[operator]
    assert result.judgement.baseline["pearsonr"] is None
    model = AutoModelForSequenceClassification.from_pretrained(result.model)
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")


def test_several_labels_are_learnt(tune: Any, places: Path, watched: Watched) -> None:
    rows = [
        {"text": text, "labels": [label, *(["film"] if "film" in text else [])]} for text, label in verdicts()
    ]
    data = places / "tags.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = finetune.run(
        tune(task="multilabel", data=str(data), validation_fraction=0.2, **LEARNING), progress=watched
    )
    assert result.judgement is not None
    values = result.judgement.scores.values
    assert values["f1_micro"].value > result.judgement.baseline["f1_micro"]  # type: ignore[operator]
    assert {"film", "neg", "pos"} == set(result.judgement.scores.details["by_label"])
    model = AutoModelForSequenceClassification.from_pretrained(result.model)
    assert model.config.problem_type == "multi_label_classification"


def test_from_scratch_by_shape(tune: Any, watched: Watched) -> None:
    """Its tokenizer is trained on the training examples."""
    result = finetune.run(
        tune(
            model=None,
            architecture="bert",
            model_size="tiny",
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            algorithm="wordpiece",
            vocab_size=120,
            max_steps=2,
        ),
        progress=watched,
    )
    assert result.judgement is not None
    model = AutoModelForSequenceClassification.from_pretrained(result.model)
    tokenizer = AutoTokenizer.from_pretrained(result.model)
    assert (model.config.model_type, model.config.num_hidden_layers) == ("bert", 1)
    assert model.config.id2label == {0: "neg", 1: "pos"}
    assert tokenizer.tokenize("the plot was good") == ["the", "plot", "was", "good"]
    assert len(tokenizer) <= 120


def test_the_scores_of_training_are_those_asked_for(tune: Any, places: Path, watched: Watched) -> None:
    result = finetune.run(
        tune(metric=("matthews_correlation",), metric_for_best_model="recall_macro", max_steps=6),
        progress=watched,
    )
    (score,) = [event for event in watched.events if "eval_loss" in event]
    assert {"eval_matthews_correlation", "eval_recall_macro"} <= set(score)
    assert "eval_accuracy" not in score
    assert result.judgement is not None
    assert list(result.judgement.scores.values) == ["matthews_correlation"]


def test_the_lowest_loss_may_decide(tune: Any, places: Path, watched: Watched) -> None:
    result = finetune.run(tune(metric_for_best_model="loss", num_train_epochs=4.0), progress=watched)
    losses = [event["eval_loss"] for event in watched.events if "eval_loss" in event]
    assert result.judgement is not None
    assert result.judgement.loss == pytest.approx(min(losses), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"task": None}, ConfigError, "no task is named"),
        ({"task": "clasification"}, ConfigError, "no task 'clasification'"),
        ({"data": None}, ConfigError, "names a kind of problem: whose data?"),
        ({"data": "nowhere.csv"}, ConfigError, "no such file"),
        ({"text_column": "body"}, DataError, "no column 'body'"),
        ({"model": "./nowhere"}, ConfigError, "no such model directory"),
        ({"metric": ("acuracy",)}, ConfigError, "no metric 'acuracy'"),
        ({"metric_for_best_model": "acuracy"}, ConfigError, "no metric 'acuracy'"),
        ({"metric_for_best_model": "f1_micro", "metric": ("bleu",)}, ConfigError, "no metric 'bleu'"),
        ({"hidden_size": 64}, ConfigError, "hidden_size: asked of a new model"),
        ({"max_length": 65}, ConfigError, "max_length 65 is beyond the model's 64 positions"),
        ({"eval_steps": 4, "save_steps": 6}, ConfigError, "no multiple of eval_steps"),
        ({"optim": "adamm"}, ConfigError, "adamm"),
        ({"target_modules": ("query",)}, ConfigError, "target_modules are LoRA's, the method is full"),
        ({"task": "regression"}, DataError, 'train.csv:2: label "pos", expected a number'),
        ({"run_name": "../up"}, RunError, "'../up' is not a file name"),
    ],
)
def test_bad_input_gets_one_message_and_leaves_no_run(
    tune: Any, places: Path, watched: Watched, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as raised:
        finetune.run(tune(**changes), progress=watched)
    assert message in str(raised.value)
    assert not list(places.glob("runs/*"))


@pytest.mark.parametrize(
    ("train", "dev", "message"),
    [
        ([("good", "pos"), ("fine", "pos")], None, "all examples have one single label: 'pos'"),
        (None, [("good", "positive")], "label 'positive' is not in the training split, which has neg, pos"),
        (None, [("good", ""), ("fine", "")], "unlabelled"),
        ([("good", "pos"), ("fine", ""), ("bad", "neg")], None, "1 row has no label (first: "),
    ],
)
def test_bad_data_leaves_no_run(
    tune: Any,
    reviews: Path,
    places: Path,
    watched: Watched,
    train: list[tuple[str, str]] | None,
    dev: list[tuple[str, str]] | None,
    message: str,
) -> None:
    for name, rows in (("train.csv", train), ("dev.csv", dev)):
        if rows is not None:
            write_csv(reviews / name, rows, "text", "label")
    with pytest.raises(DataError) as raised:
        finetune.run(tune(), progress=watched)
    assert message in str(raised.value)
    assert not list(places.glob("runs/*"))


def test_what_cannot_decide_is_refused_before_the_training(
    tune: Any, places: Path, reviews: Path, watched: Watched
) -> None:
    three = [(text, "odd" if "film" in text else label) for text, label in verdicts()]
    write_csv(reviews / "train.csv", three, "text", "label")
    with pytest.raises(
        ConfigError, match="metric_for_best_model: f1 is no single score of these data"
    ) as raised:
        finetune.run(tune(metric_for_best_model="f1"), progress=watched)
    assert raised.value.hint == "there are f1_macro, f1_micro, f1_weighted, and loss"
    with pytest.raises(ConfigError, match="early_stopping_patience: there is no validation split"):
        finetune.run(
            tune(data=str(reviews / "train.csv"), validation_fraction=0.0, early_stopping_patience=1),
            progress=watched,
        )
    assert not list(places.glob("runs/*"))


def test_early_stopping(tune: Any, watched: Watched) -> None:
    """At such a learning rate nothing gets better: the first score stays the best."""
    result = finetune.run(
        tune(learning_rate=1e-12, num_train_epochs=9.0, early_stopping_patience=2), progress=watched
    )
    assert result.steps == 18
    assert result.kept.epoch == 1.0


def test_a_used_run_directory_is_refused(tune: Any, watched: Watched) -> None:
    finetune.run(tune(max_steps=1), progress=watched)
    with pytest.raises(RunError, match="run directory in use"):
        finetune.run(tune(), progress=watched)
    with pytest.raises(RunError, match="is finished"):
        finetune.check(FinetuneConfig(resume="tuned", seed=3))


def test_a_model_without_such_a_head_is_refused(tune: Any, places: Path, watched: Watched) -> None:
    size = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 99, "pad_token_id": 0}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_start_token_id": 0}
    folder = places / "marian"
    MarianMTModel(MarianConfig(**size, **heads, encoder_ffn_dim=16, decoder_ffn_dim=16)).save_pretrained(
        folder
    )
    with pytest.raises(ConfigError, match="is a marian model, which cannot classify a text"):
        finetune.check(tune(model=str(folder), tokenizer=str(tune().model)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_length": 65}, "max_length 65 is beyond the model's 64 positions"),
        ({"max_length": 60, "method": "prompt"}, "max_length 60 is beyond the model's 44 positions"),
        ({"model": None, "architecture": "marian"}, "architecture 'marian' cannot classify a text"),
        ({"model": None, "architecture": "brt"}, "unknown architecture 'brt'"),
        ({"tokenizer": "./nowhere"}, "no such model directory"),
        ({"model": "typo"}, "no run or directory called 'typo'"),
        ({"metric": ("org/name",)}, "needs a commit"),
        ({"optim": "lion_8bit"}, "--optim lion_8bit needs a GPU and a package"),
    ],
)
def test_what_config_and_model_tell_is_refused_in_the_check(
    tune: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        finetune.check(tune(**changes))
    assert message in str(raised.value)


def test_layers_are_looked_for_before_the_data_is_encoded(
    tune: Any, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    monkeypatch.setattr(finetune.Finetuning, "prepare", lambda *_: pytest.fail("the data is encoded"))
    with pytest.raises(ConfigError, match="no linear layer of the model is called 'qury'"):
        finetune.run(tune(method="lora", target_modules=("qury",)), progress=watched)


def test_bf16_is_refused_before_the_data_is_read(
    tune: Any, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    monkeypatch.setattr("transformers.utils.is_torch_bf16_gpu_available", lambda: False)
    monkeypatch.setattr(finetune.Finetuning, "load", lambda *_: pytest.fail("the data is read"))
    with pytest.raises(ConfigError, match="no GPU here computes in bfloat16"):
        finetune.run(tune(bf16=True), progress=watched)


def test_the_cost_is_told_without_data(tune: Any, watched: Watched) -> None:
    loaded = finetune.plan(finetune.settle(tune()), device=Device(), progress=watched)
    assert loaded["parameters"] == 14_242
    asked = tune(model=None, architecture="bert", method="full")
    new = finetune.plan(finetune.settle(asked), device=Device(), progress=watched)
    assert new["parameters"] > 4_096 * 128
    assert new["memory_bytes"] > 16 * new["parameters"]
    assert "14,242 parameters" in watched.all()
    settled = finetune.settle(FinetuneConfig(task="translation", data="x.tsv"))
    assert (settled.metric, settled.metric_for_best_model) == (("bleu", "chrf"), "bleu")
    assert settled.max_target_length == 128


def test_without_the_hub_data_of_ones_own_is_hinted_at(places: Path, watched: Watched) -> None:
    with pytest.raises(DataError, match="offline and not in the cache: nyu-mll/glue") as raised:
        finetune.run(FinetuneConfig(task="sst2"), progress=watched)
    assert "--task classification --data FILE --model builtin:minilm" in str(raised.value.hint)
