"""Pretraining on several sources: what is told, seen, judged and kept, and resumed."""

from pathlib import Path
from typing import Any

import pytest

from llmctl import runs
from llmctl.config import EvalConfig, PretrainConfig, TokenizerInspectConfig, TokenizerTrainConfig
from llmctl.data.builtin import reviews
from llmctl.errors import RunError
from llmctl.recipe import resolve
from llmctl.workflows import evaluate, pretrain, tokenizer
from tests.workflows.conftest import Watched, interrupted_at

OBJECTIVES = [("clm", "llama"), ("mlm", "bert"), ("mlm+nsp", "bert"), ("seq2seq", "t5")]


@pytest.fixture
def mixed(quick: Any, places: Path) -> Any:
    """A factory of configs over the sixty stories and as many shorter reviews."""
    (places / "reviews.txt").write_text("\n\n".join(text.replace("\n", " ") for text, _ in reviews(60)))

    def make(stories: str = ":0.25", other: str = ":0.75", **changes: Any) -> PretrainConfig:
        data = (f"{places}/stories.txt{stories}", f"{places}/reviews.txt{other}")
        return quick(**{"data": data, **changes})

    return make


@pytest.mark.parametrize(("objective", "architecture"), OBJECTIVES)
def test_every_objective_learns_from_several_sources(
    mixed: Any, watched: Watched, objective: str, architecture: str
) -> None:
    result = pretrain.run(
        mixed(objective=objective, architecture=architecture, max_steps=30), progress=watched
    )
    stories, other = result.sources
    assert stories.tokens / (stories.tokens + other.tokens) == pytest.approx(0.25, abs=0.04)
    assert other.epochs > stories.epochs
    assert all(part.scores["loss"] > 0 for part in result.sources)
    if objective == "clm":  # of other objectives a text alone has other gaps than among others
        losses = sorted(part.scores["loss"] for part in result.sources)
        assert losses[0] < result.scores["loss"] < losses[1]
    assert f"{stories.source}: {stories.tokens:,} tokens in all" in watched.all()
    assert "an epoch of the mixture: " in watched.all()
    assert f"`{other.source}` ({other.tokens:,} tokens" in Path(result.run, "README.md").read_text()
    assert len(result.to_json()["sources"]) == 2


def test_without_weights_everything_is_seen_once_an_epoch(mixed: Any, watched: Watched) -> None:
    result = pretrain.run(mixed("", "", max_steps=None, num_train_epochs=2.0), progress=watched)
    assert [part.epochs for part in result.sources] == [2.0, 2.0]
    assert sum(part.tokens for part in result.sources) == 2 * result.train_tokens


@pytest.mark.parametrize(("objective", "architecture"), [("clm", "llama"), ("mlm", "bert")])
def test_a_resumed_mixture_is_the_uninterrupted_one(
    mixed: Any, places: Path, objective: str, architecture: str
) -> None:
    settings = {
        "objective": objective,
        "architecture": architecture,
        "dropout": 0.1,
        "per_device_train_batch_size": 160,
        "max_steps": 9,
        "eval_steps": 3,
        "logging_steps": 1,
    }

    whole = pretrain.run(mixed(**settings, run_name="whole"), progress=Watched())
    with pytest.raises(RunError, match="stopped at step"):
        pretrain.run(mixed(**settings, run_name="cut"), progress=interrupted_at(4))
    cut = pretrain.run(PretrainConfig(resume="cut"), progress=Watched())
    weights = [Path(result.model, "model.safetensors").read_bytes() for result in (whole, cut)]
    assert weights[0] == weights[1]
    assert whole.sources == cut.sources
    epochs = [event.get("epoch", 0) for event in runs.open_run("cut", places / "runs").events()]
    assert max(epochs) > 1


def test_the_run_is_kept_and_judged_by_all_of_its_validation_text(
    mixed: Any, watched: Watched, places: Path
) -> None:
    config = mixed()
    result = pretrain.run(config, progress=watched)
    run = runs.open_run("quick", places / "runs")
    assert resolve(PretrainConfig, run.recipe, {}).data == config.data
    recorded = run.read_environment()["data"]["validation"]
    assert recorded["num_documents"] == 2
    found = evaluate.run(EvalConfig(model="quick"), progress=watched).to_json()
    assert Path(result.run, "eval", "validation.json").is_file()
    assert (found["n"], found["fingerprint"]) == (2, recorded["fingerprint"])
    other = evaluate.run(EvalConfig(model="quick", data=f"{places}/reviews.txt"), progress=watched)
    assert other.to_json()["data"].endswith("reviews.txt")


def test_a_tokenizer_learns_from_several_sources(mixed: Any, watched: Watched, places: Path) -> None:
    data = mixed("", "").data
    config = TokenizerTrainConfig(
        data=data, sample_by="paragraph", vocab_size=300, output_dir=str(places / "tokenizer")
    )
    trained = tokenizer.train(config, progress=watched)
    assert trained.num_documents == 118
    found = tokenizer.inspect(
        TokenizerInspectConfig(tokenizer=(str(places / "tokenizer"),), data=data, sample_by="paragraph"),
        progress=watched,
    )
    assert found.data == "stories.txt + reviews.txt (validation)"


def test_a_recipe_names_one_source_or_several(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    for text, expected in (
        ("a", "a"),
        ("[a]", "a"),
        ("[a:0.7, b:0.3]", ("a:0.7", "b:0.3")),
        ("null", PretrainConfig().data),
    ):
        recipe.write_text(f"data: {text}\n")
        assert resolve(PretrainConfig, recipe, {}).data == expected
    recipe.write_text("data: [a, '']\n")
    with pytest.raises(Exception, match=r"recipe\.yaml:1: data should be not empty, found nothing"):
        resolve(PretrainConfig, recipe, {})


def test_bad_shards_are_counted_in_the_result(quick: Any, watched: Watched, places: Path) -> None:
    folder = places / "corpus"
    folder.mkdir()
    (folder / "a.txt").write_bytes((places / "stories.txt").read_bytes())
    (folder / "b.jsonl.gz").write_bytes(b"no gzip")
    result = pretrain.run(quick(data=str(folder), on_bad_shard="skip"), progress=watched)
    assert (result.bad_shards, result.to_json()["bad_shards"]) == (1, 1)
    assert "b.jsonl.gz: truncated or damaged" in watched.all()
