"""Pretraining on text that is streamed: every objective, without a cache, resumed bit for bit."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from llmctl import runs
from llmctl.config import EvalConfig, PretrainConfig
from llmctl.errors import ConfigError, DataError, RunError
from llmctl.runs import RunDir
from llmctl.workflows import evaluate, pretrain
from tests.workflows.conftest import Watched, interrupted_at

OBJECTIVES = [
    ("clm", "llama"), ("rclm", "llama"), ("mlm", "bert"), ("mlm+nsp", "bert"), ("mlm+sop", "albert"), ("seq2seq", "t5"),
]  # fmt: skip


@pytest.fixture
def shards(quick: Any, places: Path) -> Any:
    """A factory of configs over the sixty stories in four shards, a dozen of which are shuffled together."""
    stories = (places / "stories.txt").read_text().split("\n\n")
    folder = places / "shards"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.txt").write_text("\n\n".join(stories[number * 15 : number * 15 + 15]))

    def make(**changes: Any) -> PretrainConfig:
        settings = {"data": str(folder), "streaming": True, "buffer_size": 12}
        return quick(**{**settings, **changes})

    return make


@pytest.mark.parametrize(("objective", "architecture"), OBJECTIVES)
def test_every_objective_learns_from_a_stream(
    shards: Any, watched: Watched, places: Path, objective: str, architecture: str
) -> None:
    config = shards(objective=objective, architecture=architecture, max_steps=12)
    result = pretrain.run(config, progress=watched)
    assert result.steps == 12
    assert result.train_tokens > 0
    assert result.scores["loss"] > 0
    kept = [json.loads(path.read_text())["num_documents"] for path in places.glob("cache/tokens/*/meta.json")]
    assert kept == [1], "only what is judged by is in the cache"
    recorded = runs.open_run("quick", places / "runs").read_environment()["data"]["train"]
    assert recorded["streaming"]
    assert len(recorded["shards"]) == 4
    assert "held out 1 document for validation: the first of 12 that" in watched.all()
    judged = evaluate.run(EvalConfig(model="quick"), progress=watched).to_json()
    assert Path(result.run, "eval", "validation.json").is_file()
    assert judged["split"] == "validation"
    with pytest.raises(ConfigError, match="is a stream, which is not judged as a whole"):
        evaluate.run(EvalConfig(model="quick", split="train"), progress=watched)


@pytest.mark.parametrize("packing", [True, False])
def test_without_a_number_of_steps_the_text_is_counted_and_seen_once(
    shards: Any, watched: Watched, places: Path, packing: bool
) -> None:
    config = shards(max_steps=None, eval_steps=None, num_train_epochs=2.0, packing=packing, vocab_size=300)
    result = pretrain.run(config, progress=watched)
    cached = pretrain.run(
        shards(
            max_steps=2,
            run_name="cached",
            streaming=False,
            buffer_size=10_000,
            tokenizer="quick",
            validation_fraction=0.0,
            packing=packing,
        ),
        progress=watched,
    )
    validation = runs.open_run("quick", places / "runs").read_environment()["data"]["validation"]
    assert validation["num_documents"] == 1
    text = (places / "shards" / "0.txt").read_text().split("\n\n")[0]
    from llmctl import models

    held_out = len(models.load_tokenizer("quick", runs_dir=places / "runs")(text).input_ids) + 1
    assert result.train_tokens == 2 * (cached.train_tokens - held_out)
    assert f"{result.train_tokens // 2:,} tokens, counted for the number of steps" in watched.all()
    last = [event for event in runs.open_run("quick", places / "runs").events() if "loss" in event][-1]
    assert last["epoch"] == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(
    ("objective", "architecture"), [("clm", "llama"), ("mlm", "bert"), ("seq2seq", "t5")]
)
def test_a_resumed_stream_is_the_uninterrupted_one(
    shards: Any, places: Path, objective: str, architecture: str
) -> None:
    """Bit for bit, in a further pass, from what the checkpoint keeps of the stream."""
    settings = {
        "objective": objective,
        "architecture": architecture,
        "dropout": 0.1,
        "per_device_train_batch_size": 40,
        "gradient_accumulation_steps": 3,
        "max_steps": 9,
        "eval_steps": 3,
        "logging_steps": 1,
    }

    whole = pretrain.run(shards(**settings, run_name="whole"), progress=Watched())
    with pytest.raises(RunError, match="stopped at step"):
        pretrain.run(shards(**settings, run_name="cut"), progress=interrupted_at(7))
    for file in places.glob("runs/cut/checkpoints/*/stream.json"):
        state = json.loads(file.read_text())
        assert state["start"]["chunk"] > 0
    cut = pretrain.run(PretrainConfig(resume="cut"), progress=Watched())
    weights = [Path(result.model, "model.safetensors").read_bytes() for result in (whole, cut)]
    assert weights[0] == weights[1]
    assert whole.train_tokens == cut.train_tokens
    epochs = [event["epoch"] for event in runs.open_run("cut", places / "runs").events() if "loss" in event]
    assert max(epochs) >= 1


def test_other_shards_than_before_are_refused(shards: Any, places: Path) -> None:
    with pytest.raises(RunError, match="stopped at step"):
        pretrain.run(shards(logging_steps=1), progress=interrupted_at(4))
    shutil.copy(places / "shards" / "0.txt", places / "shards" / "4.txt")
    with pytest.raises(DataError, match=r"shard .*4.txt was not there, has .* bytes now"):
        pretrain.run(PretrainConfig(resume="quick"), progress=Watched())
    with pytest.raises(DataError, match="not those that the run has read so far"):
        pretrain.run(PretrainConfig(resume="quick", allow_changes=("data",)), progress=Watched())


def test_weights_are_kept_in_a_stream(shards: Any, watched: Watched, places: Path) -> None:
    data = (f"{places}/shards/0.txt:0.25", f"{places}/shards/1.txt:0.75")
    result = pretrain.run(shards(data=data, max_steps=60, eval_steps=60), progress=watched)
    first, second = result.sources
    assert first.tokens / (first.tokens + second.tokens) == pytest.approx(0.25, abs=0.1)
    assert second.epochs > first.epochs
    assert sum(part.tokens for part in result.sources) == result.train_tokens
    assert f"{second.source}: 75.0 % of the tokens" in watched.all()


def test_a_shard_that_breaks_while_it_is_learnt_from(shards: Any, watched: Watched, places: Path) -> None:
    shard = places / "shards" / "3.txt"
    shard.write_bytes(shard.read_bytes()[:400] + b"\xff\xfe\xff" * 9)
    with pytest.raises(DataError, match=r"3\.txt:\d+: byte 0xFF is not UTF-8"):
        pretrain.run(shards(max_steps=40, per_device_train_batch_size=32), progress=watched)
    result = pretrain.run(
        shards(max_steps=40, per_device_train_batch_size=32, on_bad_shard="skip", run_name="skips"),
        progress=watched,
    )
    assert result.bad_shards == 1
    [lost] = RunDir(Path(result.run)).read_environment()["bad_shards"]
    assert watched.all().count(lost) == 1
    assert "3.txt:1: byte 0xFF is not UTF-8" in watched.all()
    assert "1 bad shard skipped" in watched.all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_documents": 3}, "--max-documents is not for streams"),
        ({"dataloader_num_workers": 2}, "--dataloader-num-workers is not for streams"),
        ({"streaming": False, "buffer_size": 3}, "buffer_size is for streams"),
        ({"data": "org/name", "max_steps": None}, "how much text org/name has is not known"),
        (
            {"data": ("builtin:stories:0.5", "builtin:reviews:0.5"), "max_steps": None},
            "with weights has no end",
        ),
    ],
)
def test_what_a_stream_cannot_do_is_refused(shards: Any, changes: dict[str, Any], message: str) -> None:
    def check() -> None:
        pretrain.check(shards(**changes))
        pretrain.check_here(shards(**changes))

    with pytest.raises(ConfigError, match=message):
        check()


def test_a_number_of_tokens_is_an_end(shards: Any, watched: Watched) -> None:
    result = pretrain.run(shards(max_steps=None, max_tokens=3000, eval_steps=None), progress=watched)
    assert result.train_tokens == pytest.approx(3000, rel=0.15)
    assert f"max_tokens 3,000: {result.steps} steps by the" in watched.all()


def test_a_buffer_shorter_than_a_block_is_refused(shards: Any, places: Path) -> None:
    with pytest.raises(DataError, match=r"a buffer of the stream has .* tokens, one block takes 9,999"):
        pretrain.run(shards(block_size=9999), progress=Watched())
    assert not (places / "runs" / "quick").exists()
