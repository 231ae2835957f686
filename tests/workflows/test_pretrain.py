"""A training from config to run."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmctl import runs, training
from llmctl.config import GenerateConfig, PretrainConfig
from llmctl.data.blocks import Blocks, tokenize
from llmctl.data.load import load_text
from llmctl.errors import ConfigError, DataError, ModelError, RunError
from llmctl.objectives.causal_lm import CausalLM
from llmctl.progress import SILENT
from llmctl.recipe import resolve, to_yaml
from llmctl.workflows import generate, pretrain
from tests.data.conftest import Told


def test_nothing_is_learnt_from_weights_that_are_no_numbers(places: Path, quick: Any) -> None:
    result = pretrain.run(quick(run_name="first"), progress=SILENT)
    weights = load_file(Path(result.model) / "model.safetensors")
    weights["model.norm.weight"][3] = math.nan
    save_file(weights, Path(result.model) / "model.safetensors", metadata={"format": "pt"})
    shape = {"hidden_size": None, "num_hidden_layers": None, "num_attention_heads": None, "model": "first"}
    with pytest.raises(ModelError, match=r"first: its weight model\.norm\.weight holds NaN or infinity"):
        pretrain.run(replace(quick(run_name="second"), **shape), progress=SILENT)
    assert not (places / "runs" / "second").exists()


def test_a_run_holds_all_that_it_should(quick: Any, places: Path) -> None:
    config = quick()
    result = pretrain.run(config, progress=SILENT)
    run = runs.open_run("quick", places / "runs")
    assert result.steps == 10
    assert {path.name for path in run.path.iterdir()} == {
        *(
            "recipe.yaml",
            "environment.json",
            "metrics.jsonl",
            "model",
            "tokenizer",
            "README.md",
            "manifest.json",
        )
    }
    kept = resolve(PretrainConfig, run.recipe, {})
    assert None not in (kept.bf16, kept.tf32, kept.torch_compile), "decided by the hardware"
    undecided = replace(kept, bf16=None, tf32=None, torch_compile=None)
    assert undecided == quick(
        run_name=None, architecture="llama", model_size="tiny", optim="muon", lr_scheduler_type="cosine"
    ), "complete, but for where it is"
    environment = run.read_environment()
    assert environment["command"] == "pretrain"
    assert {"train", "validation"} <= set(environment["data"])

    events = list(run.events())
    losses = [event["loss"] for event in events if "loss" in event]
    scores = [event["eval_loss"] for event in events if "eval_loss" in event]
    assert len(losses) == 10
    assert losses[0] == pytest.approx(math.log(400), abs=0.5), "a new model knows nothing"
    assert losses[-1] < losses[0] - 0.2
    assert all({"step", "time"} <= set(event) for event in events)
    assert result.scores["loss"] == pytest.approx(min(scores), rel=1e-5), "the best model is the one kept"
    assert (result.kept.metric, result.kept.score) == ("loss", min(scores))
    assert result.scores["perplexity"] == pytest.approx(math.exp(result.scores["loss"]))


def test_plain_hugging_face_loads_the_model_and_writes_the_same(quick: Any) -> None:
    result = pretrain.run(quick(max_steps=20), progress=SILENT)
    model = AutoModelForCausalLM.from_pretrained(result.model)
    tokenizer = AutoTokenizer.from_pretrained(result.model)
    inputs = tokenizer("Once upon a time", return_tensors="pt")
    ours: list[str] = []
    settings = GenerateConfig(prompt="Once upon a time", model=result.run, temperature=0, max_new_tokens=30)
    generate.run(settings, progress=SILENT, write=ours.append)
    theirs = model.generate(
        input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, do_sample=False, max_new_tokens=30
    )[0]
    new = tokenizer.decode(theirs[inputs.input_ids.shape[1] :], skip_special_tokens=True)
    assert "".join(ours) == f"Once upon a time{new}\n"


def test_the_loss_is_the_models_own(quick: Any, places: Path) -> None:
    """Ours over flat, already shifted targets equals the library's, which shifts by itself."""
    result = pretrain.run(quick(max_steps=2), progress=SILENT)
    model = AutoModelForCausalLM.from_pretrained(result.model)
    config = quick()
    objective = CausalLM(config, AutoTokenizer.from_pretrained(result.model))
    ids = torch.randint(0, 300, (3, 17))
    batch = objective.collate([{"input_ids": row[:-1].numpy(), "labels": row[1:].numpy()} for row in ids])
    ours = objective.loss(model, batch, None)
    theirs = model(input_ids=ids, labels=ids).loss
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


def test_a_shorter_last_block_is_padded_without_a_target(quick: Any) -> None:
    objective = CausalLM(quick(), None)
    examples = [
        {"input_ids": np.array([5, 6, 7]), "labels": np.array([6, 7, 8])},
        {"input_ids": np.array([8]), "labels": np.array([-100])},
    ]
    batch = objective.collate(examples)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["shift_labels"].tolist() == [[6, 7, 8], [-100, -100, -100]]


def test_every_token_of_the_text_is_learnt_once(quick: Any, places: Path) -> None:
    config = quick()
    result = pretrain.run(config, progress=SILENT)
    tokenizer = AutoTokenizer.from_pretrained(result.model)
    cache = places / "cache"
    documents = load_text(config, progress=SILENT, cache_dir=cache)["train"]
    stream = tokenize(documents, tokenizer, cache_dir=cache, progress=SILENT)
    expected: list[int] = []
    for text in documents:
        expected += [*tokenizer(text).input_ids, tokenizer.eos_token_id]
    assert stream.tokens.tolist() == expected
    blocks = Blocks(stream, config.block_size)
    targets = [int(label) for i in range(len(blocks)) for label in blocks[i]["labels"] if label != -100]
    assert targets == expected[1:]
    assert result.train_tokens == len(expected)


def test_a_resumed_run_is_the_uninterrupted_run(quick: Any, places: Path) -> None:
    """Stopped by SIGINT between steps, resumed: the same weights, bit for bit."""
    pretrain.run(quick(run_name="whole", dropout=0.1, save_steps=5), progress=SILENT)
    recipe = places / "recipe.yaml"
    recipe.write_text(to_yaml(quick(dropout=0.1, save_steps=5, max_steps=10)))

    process = start(
        ["pretrain", "--recipe", str(recipe), "--run-name", "cut", "--gradient-accumulation-steps", "1"]
    )
    metrics = places / "runs" / "cut" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 2, process)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[1]
    if process.returncode == 0:
        pytest.skip("the run ended before the signal came")
    assert process.returncode == 130, output
    assert "stopping after this step" in output
    assert "checkpoint saved" in output
    assert "--resume" in output
    assert "Traceback" not in output
    run = runs.open_run("cut", places / "runs")
    assert not run.finished
    pretrain.run(PretrainConfig(resume="cut"), progress=SILENT)
    whole = load_file(places / "runs" / "whole" / "model" / "model.safetensors")
    cut = load_file(run.model / "model.safetensors")
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_an_interruption_before_the_first_step_leaves_no_run(quick: Any, places: Path) -> None:
    class Interrupted(Told):
        def note(self, message: str) -> None:
            if message.startswith("model:"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain.run(quick(), progress=Interrupted())
    assert not (places / "runs" / "quick").exists()


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "llmctl", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )


def wait_for(condition: Any, process: subprocess.Popen[str], seconds: float = 90) -> None:
    began = time.monotonic()
    while not condition() and process.poll() is None:
        assert time.monotonic() - began < seconds
        time.sleep(0.002)


def test_a_finished_run_is_not_resumed_and_a_used_name_is_refused(quick: Any) -> None:
    pretrain.run(quick(), progress=SILENT)
    with pytest.raises(RunError, match="is finished"):
        pretrain.run(PretrainConfig(resume="quick"), progress=SILENT)
    with pytest.raises(RunError, match="in use"):
        pretrain.run(quick(), progress=SILENT)


def test_training_goes_on_from_a_model(quick: Any, places: Path) -> None:
    first = pretrain.run(quick(max_steps=20), progress=SILENT)
    shape: dict[str, Any] = {"hidden_size": None, "num_hidden_layers": None, "num_attention_heads": None}
    second = pretrain.run(
        quick(**shape, model="quick", run_name="more", max_steps=5, learning_rate=1e-4), progress=SILENT
    )
    begun = next(runs.open_run("more", places / "runs").events())["loss"]
    assert begun == pytest.approx(first.scores["loss"], abs=0.5)
    assert second.num_parameters == first.num_parameters
    with pytest.raises(ConfigError, match="num_attention_heads: asked of a new model, but --model quick"):
        pretrain.check(quick(model="quick", run_name="x"))
    with pytest.raises(ConfigError, match="block_size 65 is beyond the model's 64 positions"):
        pretrain.check(quick(**shape, model="quick", run_name="x", block_size=65))


def test_without_validation_the_last_model_is_kept(quick: Any) -> None:
    result = pretrain.run(quick(validation_fraction=0.0), progress=SILENT)
    assert result.scores == {}
    assert Path(result.model, "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"data": "nowhere.txt"}, ConfigError, "no such file"),
        ({"architecture": "lama"}, ConfigError, "unknown architecture"),
        ({"num_attention_heads": 3}, ConfigError, "not divided"),
        ({"max_position_embeddings": 8}, ConfigError, "beyond max_position_embeddings 8"),
        ({"eval_steps": 4, "save_steps": 6}, ConfigError, "no multiple of eval_steps"),
        ({"block_size": 100_000}, DataError, "one block takes 100,000"),
        ({"tokenizer": "./nowhere"}, ConfigError, "no such model directory"),
        ({"report_to": ("mlflow",)}, ConfigError, "mlflow is not installed"),
        ({"run_name": "../up"}, RunError, "'../up' is not a file name"),
    ],
)
def test_bad_input_gets_one_message_and_leaves_no_model(
    quick: Any, places: Path, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        pretrain.run(quick(**changes), progress=SILENT)
    assert not list(places.glob("runs/*/model"))


def test_a_shape_that_the_family_refuses_is_known_before_the_text_is_encoded(
    quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrain.Pretraining, "prepare", lambda *_: pytest.fail("the text is encoded"))
    with pytest.raises(ConfigError, match="architecture 'gpt2' has no such setting"):
        pretrain.run(quick(architecture="gpt2", num_key_value_heads=2), progress=SILENT)


def test_a_loss_that_is_no_number_stops_the_run(quick: Any, places: Path) -> None:
    with pytest.raises(ModelError, match=r"(the loss|the gradient's norm) is (nan|inf) at step"):
        pretrain.run(quick(learning_rate=1e30, max_grad_norm=0.0, warmup_steps=0), progress=SILENT)
    assert not (places / "runs" / "quick" / "model").exists()


def test_steps_are_counted_as_trainer_counts_them(quick: Any, places: Path) -> None:
    result = pretrain.run(
        quick(max_steps=None, num_train_epochs=1.5, gradient_accumulation_steps=3, eval_steps=None),
        progress=SILENT,
    )
    last = list(runs.open_run("quick", places / "runs").events())[-1]
    assert last["step"] == result.steps
    assert json.loads((places / "runs/quick/environment.json").read_text())["seed"] == 0


def test_a_number_of_tokens_is_told_in_steps_and_epochs(quick: Any, places: Path, watched: Any) -> None:
    result = pretrain.run(quick(max_steps=None, max_tokens=2000, eval_steps=None), progress=watched)
    told = re.search(r"max_tokens 2,000: (\d+) steps see ([\d,]+) tokens, 0\.\d+ epochs of", watched.all())
    assert told
    assert int(told[1]) == result.steps == list(runs.open_run("quick", places / "runs").events())[-1]["step"]
    assert 2000 <= int(told[2].replace(",", "")) < 2000 + 4 * 64
    with pytest.raises(ConfigError, match="--max-tokens and --max-steps both say where the training ends"):
        pretrain.check(quick(run_name="other", max_tokens=2000))


def test_a_time_limit_ends_with_an_exit_code_of_its_own(quick: Any, places: Path) -> None:
    recipe = places / "recipe.yaml"
    recipe.write_text(to_yaml(quick(time_limit=0.1)))
    process = start(["pretrain", "--recipe", str(recipe), "--run-name", "cut"])
    output = process.communicate(timeout=90)[1]
    assert process.returncode == 75, output
    assert "time limit reached: stopped at step 1 of 10, checkpoint saved in" in output
    assert "hint: go on: llmctl pretrain --resume" in output


def test_the_learning_rate_follows_optimiser_and_width_and_is_kept_in_the_recipe(
    quick: Any, places: Path
) -> None:
    new = quick(learning_rate=None, max_steps=2, eval_steps=None)
    assert pretrain.settle(replace(new, optim="adamw_torch")).learning_rate == 0.6 / 32
    pretrain.run(new, progress=SILENT)
    kept = resolve(PretrainConfig, runs.open_run("quick", places / "runs").recipe, {})
    assert (kept.optim, kept.learning_rate) == ("muon", pytest.approx(0.14 / 32**0.5, abs=1e-6))
    shape: dict[str, Any] = {"hidden_size": None, "num_hidden_layers": None, "num_attention_heads": None}
    pretrain.run(
        quick(**shape, model="quick", run_name="more", learning_rate=None, max_steps=2), progress=SILENT
    )
    more = resolve(PretrainConfig, runs.open_run("more", places / "runs").recipe, {})
    assert (more.optim, more.learning_rate) == ("adamw_torch_fused", 1e-4)


def test_the_default_block_is_cut_to_what_a_loaded_model_reads(quick: Any, places: Path) -> None:
    pretrain.run(quick(run_name="first", max_steps=2), progress=SILENT)
    shape: dict[str, Any] = {"hidden_size": None, "num_hidden_layers": None, "num_attention_heads": None}
    more = quick(**shape, model="first", block_size=PretrainConfig.block_size, max_steps=2)
    pretrain.run(more, progress=SILENT)
    assert resolve(PretrainConfig, runs.open_run("quick", places / "runs").recipe, {}).block_size == 64


def test_a_run_that_only_lacks_its_model_is_completed_without_training(quick: Any, places: Path) -> None:
    result = pretrain.run(quick(keep_checkpoints=True), progress=SILENT)
    kept = (Path(result.model) / "model.safetensors").read_bytes()
    shutil.rmtree(result.model)
    again = pretrain.run(PretrainConfig(resume="quick"), progress=SILENT)
    assert again.steps == result.steps
    assert again.scores == pytest.approx(result.scores)
    assert (Path(result.model) / "model.safetensors").read_bytes() == kept


def test_a_manifest_of_before_is_gone_when_a_run_goes_on(tmp_path: Path) -> None:
    run = runs.create(tmp_path, "one", recipe="", environment={})
    run.seal()
    training.clean_up(run)
    assert not (run.path / "manifest.json").exists()


def test_a_batch_far_from_the_measured_one_is_told_what_rate_goes_with_it(quick: Any, watched: Any) -> None:
    """240 times 48 tokens a step are five times the 2,304 of the measurement."""
    far = quick(learning_rate=None, max_steps=1, eval_steps=None, gradient_accumulation_steps=60)
    pretrain.run(far, progress=watched)
    assert "1 step of 240 examples (4 at once, 60 times accumulated)" in watched.all()
    told = re.search(r"for (\d+) times as many the rule of the square root gives ([\d.]+) ", watched.all())
    assert told
    assert float(told[2]) == pytest.approx(0.14 / 32**0.5 * float(told[1]) ** 0.5, rel=0.1)


def test_a_rate_that_is_asked_for_is_not_commented_on(quick: Any, watched: Any) -> None:
    pretrain.run(quick(max_steps=1, eval_steps=None, gradient_accumulation_steps=60), progress=watched)
    assert "rule of the square root" not in watched.all()
