"""Going on with a run: by itself, with changes, after interruptions at bad moments, with smaller batches."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from llmctl import runs
from llmctl.config import FinetuneConfig, PretrainConfig
from llmctl.errors import ConfigError, DataError, RunError
from llmctl.objectives.causal_lm import CausalLM
from llmctl.recipe import resolve, to_yaml
from llmctl.runs import RunDir
from llmctl.training import ObjectiveTrainer, OutOfMemoryError, StoppedError
from llmctl.workflows import finetune, pretrain
from llmctl.workflows.resuming import AlreadyFinishedError
from tests.damage import DAMAGES, one_bit_flipped
from tests.workflows.conftest import Watched, interrupted_at
from tests.workflows.test_train import KILLED_WHEN_IT_COMES_TO

TIMES = ("time", "seconds", "train_runtime", "eval_runtime", "total_flos")


def outcome(run: RunDir) -> tuple[bytes, list[dict[str, Any]]]:
    """The model's weights, and the events without times."""
    events = [
        {k: v for k, v in event.items() if k not in TIMES and not k.endswith("_per_second")}
        for event in run.events()
    ]
    return (run.model / "model.safetensors").read_bytes(), events


def run_of(places: Path, name: str) -> RunDir:
    return RunDir(places / "runs" / name)


@pytest.fixture
def cut(quick: Any, places: Path) -> RunDir:
    """A run of ten steps that was stopped at step 7; it has checkpoints of steps 5 and 7."""
    with pytest.raises(StoppedError, match="stopped at step 7"):
        pretrain.run(quick(run_name="cut"), progress=interrupted_at(6))
    return run_of(places, "cut")


# At bad moments


@pytest.mark.parametrize("steps", [(5,), (10,), (5, 10)])
def test_an_evaluation_that_is_cut_short_is_made_up_for(
    quick: Any, places: Path, steps: tuple[int, ...]
) -> None:
    """The signal comes between a step and its evaluation."""
    how = {"dropout": 0.1, "logging_steps": 1}
    pretrain.run(quick(run_name="whole", **how), progress=Watched())
    config = quick(run_name="cut", **how)
    for step in steps:
        with pytest.raises(StoppedError, match=f"stopped at step {step}, checkpoint saved") as stopped:
            pretrain.run(config, progress=interrupted_at(step))
        assert stopped.value.exit_code == 130
        events = list(run_of(places, "cut").events())
        assert not [event for event in events if event["step"] == step and "eval_loss" in event]
        config = PretrainConfig(resume="cut")
    pretrain.run(config, progress=Watched())
    assert outcome(run_of(places, "cut")) == outcome(run_of(places, "whole"))


def test_it_is_made_up_for_again_after_a_crash_or_another_signal(
    quick: Any, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain.run(quick(run_name="whole", logging_steps=1), progress=Watched())
    with pytest.raises(StoppedError):
        pretrain.run(quick(run_name="cut", logging_steps=1), progress=interrupted_at(5))

    def crash(event: Mapping[str, Any]) -> None:
        if event["step"] == 7:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pretrain.run(PretrainConfig(resume="cut"), progress=Watched(crash))
    go_on = ObjectiveTrainer._go_on

    def interrupted(trainer: ObjectiveTrainer) -> None:
        signal.raise_signal(signal.SIGTERM)
        go_on(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectiveTrainer, "_go_on", interrupted)
        with pytest.raises(StoppedError, match="stopped at step 5"):
            pretrain.run(PretrainConfig(resume="cut"), progress=Watched())
    pretrain.run(PretrainConfig(resume="cut"), progress=Watched())
    assert outcome(run_of(places, "cut")) == outcome(run_of(places, "whole"))


@pytest.mark.parametrize("step", ["llmctl.tokenization.train", "llmctl.training.fit"])
def test_a_run_that_was_killed_before_its_first_step_begins_anew(quick: Any, places: Path, step: str) -> None:
    recipe = places / "recipe.yaml"
    recipe.write_text(to_yaml(quick(max_steps=2)))
    command = [sys.executable, "-c", KILLED_WHEN_IT_COMES_TO, step, str(recipe)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    run = run_of(places, "quick")
    assert run.recipe.exists()
    assert run.tokenizer.exists() is (step == "llmctl.training.fit")
    watched = Watched()
    pretrain.run(PretrainConfig(resume="quick"), progress=watched)
    assert "quick has no checkpoint: it begins anew" in watched.all()
    assert run.finished


def test_a_signal_at_the_last_step_is_obeyed_and_the_rest_done_later(quick: Any, places: Path) -> None:
    pretrain.run(quick(run_name="whole"), progress=Watched())

    def stop(event: Mapping[str, Any]) -> None:
        if event["step"] == 10 and "eval_loss" in event:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(StoppedError, match="stopped at step 10, checkpoint saved") as stopped:
        pretrain.run(quick(run_name="cut"), progress=Watched(stop))
    assert stopped.value.exit_code == 143
    pretrain.run(PretrainConfig(resume="cut"), progress=Watched())
    assert outcome(run_of(places, "cut")) == outcome(run_of(places, "whole"))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "manifest.json"])
def test_damage_costs_steps_and_no_bit(quick: Any, places: Path, cut: RunDir, name: str) -> None:
    pretrain.run(quick(run_name="whole"), progress=Watched())
    DAMAGES[len(name) % len(DAMAGES)](cut.checkpoints / "checkpoint-7" / name)
    watched = Watched()
    pretrain.run(PretrainConfig(resume="cut"), progress=watched)
    assert "checkpoint-7 is damaged and passed over: " + name in watched.all()
    assert "goes on from " + str(cut.checkpoints / "checkpoint-5") in watched.all()
    assert outcome(cut) == outcome(run_of(places, "whole"))


def test_a_session_that_does_not_come_as_far_as_the_damage_keeps_what_it_saved(
    quick: Any, places: Path
) -> None:
    cut = run_of(places, "cut")
    with pytest.raises(StoppedError, match="stopped at step 9"):
        pretrain.run(quick(run_name="cut"), progress=interrupted_at(8))
    one_bit_flipped(cut.checkpoints / "checkpoint-9" / "optimizer.pt")
    with pytest.raises(StoppedError, match="stopped at step 7, checkpoint saved"):
        pretrain.run(PretrainConfig(resume="cut"), progress=interrupted_at(6))
    assert sorted(path.name for path in cut.checkpoints.iterdir()) == [
        "checkpoint-5",
        "checkpoint-7",
        "damaged-checkpoint-9",
    ]
    watched = Watched()
    pretrain.run(PretrainConfig(resume="cut"), progress=watched)
    assert "goes on from " + str(cut.checkpoints / "checkpoint-7") in watched.all()
    assert not cut.checkpoints.exists()


@pytest.mark.parametrize("optim", ["muon", "adamw_torch_fused"])
def test_a_change_that_is_allowed_counts_from_the_first_step_on(quick: Any, places: Path, optim: str) -> None:
    plan = {"learning_rate": 1e-2, "lr_scheduler_type": "linear", "warmup_steps": 0.0, "optim": optim}
    with pytest.raises(StoppedError):
        pretrain.run(quick(logging_steps=1, **plan), progress=interrupted_at(5))
    allowed = ("learning_rate", "weight_decay")
    pretrain.run(
        PretrainConfig(
            resume="quick", learning_rate=1e-4, weight_decay=0.3, allow_changes=allowed, keep_checkpoints=True
        ),
        progress=Watched(),
    )
    run = run_of(places, "quick")
    rates = {event["step"]: event["learning_rate"] for event in run.events() if "learning_rate" in event}
    assert [rates[step] for step in (4, 5)] == pytest.approx([1e-2 * 0.7, 1e-2 * 0.6])
    assert [rates[step] for step in (6, 7, 10)] == pytest.approx([1e-4 * 0.5, 1e-4 * 0.4, 1e-4 * 0.1])
    state = torch.load(run.checkpoints / "checkpoint-10" / "optimizer.pt", weights_only=True)
    assert {group["weight_decay"] for group in state["param_groups"]} == {0.3, 0.0}


def test_a_run_cannot_end_before_the_step_that_it_is_at(cut: RunDir) -> None:
    recipe = cut.recipe.read_text()
    with pytest.raises(ConfigError, match="max_steps 3: run cut is at step 7 already"):
        pretrain.run(
            PretrainConfig(resume="cut", max_steps=3, allow_changes=("max_steps",)), progress=Watched()
        )
    assert cut.recipe.read_text() == recipe


def test_saves_alone_decide_when_it_is_evaluated(quick: Any, places: Path) -> None:
    pretrain.run(quick(eval_steps=None, save_steps=3, keep_checkpoints=True), progress=Watched())
    scored = [event["step"] for event in run_of(places, "quick").events() if "eval_loss" in event]
    assert scored[:3] == [3, 6, 9]


# What was changed behind its back


def test_a_recipe_that_was_edited_is_refused_and_obeyed_with_leave(cut: RunDir) -> None:
    text = cut.recipe.read_text()
    assert "\nlearning_rate: " in text
    cut.recipe.write_text(re.sub(r"\nlearning_rate: .*", "\nlearning_rate: 0.5", text))
    with pytest.raises(
        ConfigError, match=r"learning_rate is 0\.5, checkpoint-7 was made with 0\.0"
    ) as refused:
        pretrain.run(PretrainConfig(resume="cut"), progress=Watched())
    assert refused.value.hint
    assert "--allow-changes learning_rate" in refused.value.hint
    pretrain.run(PretrainConfig(resume="cut", allow_changes=("learning_rate",)), progress=Watched())
    assert cut.finished


def test_another_tokenizer_is_refused(cut: RunDir) -> None:
    place = cut.tokenizer / "tokenizer.json"
    place.write_text(place.read_text().replace("}", "} ", 1))
    with pytest.raises(RunError, match=r"tokenizer is not what it was when checkpoint-7 was saved"):
        pretrain.run(PretrainConfig(resume="cut"), progress=Watched())


@pytest.mark.parametrize("size", [0, 100])
def test_events_that_are_lost_are_told_and_the_rest_can_be_read(cut: RunDir, size: int) -> None:
    os.truncate(cut.metrics, size)
    watched = Watched()
    pretrain.run(PretrainConfig(resume="cut"), progress=watched)
    assert "metrics.jsonl is not what it was when checkpoint-7 was saved" in watched.all()
    lines = cut.metrics.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines][-1] == 10


def test_what_cannot_be_leaves_the_recipe_as_it_was(cut: RunDir) -> None:
    before = cut.recipe.read_bytes()
    with pytest.raises(ConfigError, match="is no multiple of eval_steps"):
        pretrain.run(PretrainConfig(resume="cut", save_steps=7), progress=Watched())
    assert cut.recipe.read_bytes() == before


def test_when_all_are_damaged_it_begins_anew(quick: Any, places: Path, cut: RunDir) -> None:
    pretrain.run(quick(run_name="whole"), progress=Watched())
    for checkpoint in cut.checkpoints.iterdir():
        one_bit_flipped(checkpoint / "scheduler.pt")
    pretrain.run(PretrainConfig(resume="cut"), progress=Watched())
    assert outcome(cut) == outcome(run_of(places, "whole"))


# By itself


def test_auto_begins_goes_on_and_is_done(quick: Any, places: Path) -> None:
    config = quick(resume="auto")
    with pytest.raises(StoppedError):
        pretrain.run(config, progress=interrupted_at(6))
    watched = Watched()
    pretrain.run(config, progress=watched)
    assert "run: " + str(places / "runs/quick") + " (resumed)" in watched.all()
    with pytest.raises(AlreadyFinishedError, match="is finished: there is nothing to do") as done:
        pretrain.run(config, progress=Watched())
    assert done.value.exit_code == 0


def test_auto_needs_a_name(quick: Any) -> None:
    with pytest.raises(ConfigError, match="--resume auto: which run") as caught:
        pretrain.check(quick(resume="auto", run_name=None))
    assert "--run-name" in str(caught.value.hint)


def test_a_run_that_another_process_trains_is_refused(cut: RunDir) -> None:
    with runs.locked(cut), pytest.raises(RunError, match="is being trained by another process") as caught:
        pretrain.check(PretrainConfig(resume="cut"))  # before any work
    assert "wait until that has ended" in str(caught.value.hint)


def test_a_run_that_another_process_finished_meanwhile_is_left_alone(cut: RunDir) -> None:
    class Meanwhile(Watched):
        def note(self, message: str) -> None:
            super().note(message)
            if message.startswith("run: "):
                cut.model.mkdir()
                (cut.model / "config.json").write_text("{}")
                cut.seal()

    with pytest.raises(RunError, match="is finished"):
        pretrain.run(PretrainConfig(resume="cut"), progress=Meanwhile())
    assert cut.finished


# With changes


def test_safe_changes_need_no_leave_and_are_no_change_of_the_run(cut: RunDir) -> None:
    config = PretrainConfig(resume="cut", save_total_limit=3, keep_checkpoints=True, logging_steps=2)
    pretrain.run(config, progress=Watched())
    assert "changes" not in cut.read_environment()
    assert resolve(PretrainConfig, cut.recipe, {}).save_total_limit == 3
    assert [e["step"] for e in cut.events() if "loss" in e and e["step"] > 7] == [8, 10]


def test_other_changes_are_refused_with_both_values_and_taken_with_leave(cut: RunDir) -> None:
    config = PretrainConfig(resume="cut", learning_rate=5e-3, weight_decay=0.2)
    told = "learning_rate is 0.01 there, 0.005 here; weight_decay is 0.1 there, 0.2 here"
    with pytest.raises(ConfigError, match=told) as caught:
        pretrain.check(config)
    assert "--allow-changes learning_rate --allow-changes weight_decay" in str(caught.value.hint)
    with pytest.raises(ConfigError, match=r"weight_decay is 0\.1 there"):
        pretrain.check(replace(config, allow_changes=("learning-rate",)))
    watched = Watched()
    pretrain.run(replace(config, allow_changes=("learning_rate", "weight-decay")), progress=watched)
    assert "changed from step 7 on: learning_rate 0.01 -> 0.005" in watched.all()
    [change] = cut.read_environment()["changes"]
    assert change == {"step": 7, "learning_rate": [0.01, 0.005], "weight_decay": [0.1, 0.2]}
    recipe = resolve(PretrainConfig, cut.recipe, {})
    assert (recipe.learning_rate, recipe.weight_decay) == (5e-3, 0.2)


def test_a_default_that_was_typed_is_a_change(quick: Any, places: Path) -> None:
    with pytest.raises(StoppedError):
        pretrain.run(quick(run_name="decayed", weight_decay=0.3), progress=interrupted_at(6))
    pretrain.check(PretrainConfig(resume="decayed"))
    with pytest.raises(ConfigError, match=r"weight_decay is 0\.3 there, 0\.1 here"):
        pretrain.check(PretrainConfig(resume="decayed", typed=frozenset(["weight_decay"])))


def test_what_processes_cannot_do_is_refused_of_a_run_too(quick: Any, places: Path) -> None:
    with pytest.raises(StoppedError):
        pretrain.run(quick(run_name="small", auto_batch_size=True), progress=interrupted_at(6))
    with pytest.raises(ConfigError, match="--auto-batch-size: when memory is short in one of several"):
        pretrain.check(PretrainConfig(resume="small", num_processes=2))


def test_fine_tuning_with_batches_that_may_get_smaller_goes_on(tune: Any, places: Path) -> None:
    asked = tune(auto_batch_size=True, logging_steps=1, eval_steps=4, run_name="small")
    with pytest.raises(StoppedError):
        finetune.run(asked, progress=interrupted_at(6))
    finetune.run(FinetuneConfig(resume="small"), progress=Watched())
    assert run_of(places, "small").finished


@pytest.mark.parametrize("leave", [(), ("hidden_size",)])
def test_what_cannot_change_is_refused(cut: RunDir, leave: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="hidden_size"):
        pretrain.check(PretrainConfig(resume="cut", hidden_size=64, allow_changes=leave))


def test_other_data_is_refused_and_taken_with_leave(places: Path, cut: RunDir) -> None:
    text = places / "stories.txt"
    text.write_text(text.read_text() + "\n\nAnd one more.")
    with pytest.raises(DataError, match=r"is not what run cut began with: file .*stories\.txt had") as caught:
        pretrain.run(PretrainConfig(resume="cut"), progress=Watched())
    assert "--allow-changes data" in str(caught.value.hint)
    assert cut.recipe.exists()
    pretrain.run(PretrainConfig(resume="cut", allow_changes=("data",)), progress=Watched())
    assert cut.finished


def test_the_same_data_in_another_place_needs_no_leave(quick: Any, places: Path, cut: RunDir) -> None:
    pretrain.run(quick(run_name="whole"), progress=Watched())
    moved = places / "moved.txt"
    (places / "stories.txt").rename(moved)
    stopped = interrupted_at(8)
    with pytest.raises(StoppedError):
        pretrain.run(PretrainConfig(resume="cut", data=str(moved)), progress=stopped)
    assert f"data {moved} has the content that run cut began with" in stopped.all()
    pretrain.run(PretrainConfig(resume="cut"), progress=Watched())
    assert outcome(cut) == outcome(run_of(places, "whole"))


def test_other_data_in_another_place_is_refused(places: Path, cut: RunDir) -> None:
    other = places / "other.txt"
    other.write_text((places / "stories.txt").read_text() + "\n\nAnd one more.")
    with pytest.raises(DataError, match="is not what run cut began with"):
        pretrain.run(PretrainConfig(resume="cut", data=str(other)), progress=Watched())
    with pytest.raises(
        ConfigError, match=r"data is .*stories\.txt there"
    ):  # shares are no part of a fingerprint
        pretrain.check(PretrainConfig(resume="cut", data=f"{other}:0.5"))


def test_what_is_not_found_from_here_is_told_with_the_place_it_was_trained_from(
    quick: Any, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(places)
    with pytest.raises(StoppedError):
        pretrain.run(quick(run_name="cut", data="stories.txt"), progress=interrupted_at(6))
    monkeypatch.chdir(places.parent)
    with pytest.raises(
        ConfigError, match=f"no such file: stories.txt; run cut was trained from {places}"
    ) as caught:
        pretrain.check_here(PretrainConfig(resume="cut"))
    assert caught.value.hint == f"cd {places} && llmctl pretrain --resume {run_of(places, 'cut').path}"


# With smaller batches


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Memory for batches of ``rows`` rows, from batch ``from`` on."""
    room = {"rows": 100, "from": 1, "seen": 0}
    loss = CausalLM.loss

    def limited(self: Any, model: Any, batch: Any, num_items: Any) -> Any:
        room["seen"] += 1
        if len(batch["labels"]) > room["rows"] and room["seen"] >= room["from"]:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 GB\nat 0x"
            )
        return loss(self, model, batch, num_items)

    monkeypatch.setattr(CausalLM, "loss", limited)
    return room


def test_out_of_memory_names_the_batch_and_what_to_change(quick: Any, memory: dict[str, int]) -> None:
    memory["rows"] = 2
    with pytest.raises(OutOfMemoryError) as caught:
        pretrain.run(quick(per_device_train_batch_size=6), progress=Watched())
    assert caught.value.message.startswith(
        "out of memory at step 1 with batches of 6 (--per-device-train-batch-size): "
    )
    assert "\n" not in caught.value.message
    assert "--auto-batch-size" in str(caught.value.hint)


def test_batches_get_smaller_and_the_step_stays(quick: Any, places: Path, memory: dict[str, int]) -> None:
    """6, 3, 1; the same examples a step, and the run goes on by itself with the options that it began with."""
    memory["rows"] = 2
    config = quick(per_device_train_batch_size=6, auto_batch_size=True, resume="auto", run_name="small")
    watched = interrupted_at(6)
    with pytest.raises(StoppedError):
        pretrain.run(config, progress=watched)
    assert "going on with batches of 3, 2 of them a step" in watched.all()
    assert "going on with batches of 1, 6 of them a step" in watched.all()
    run = run_of(places, "small")
    recipe = resolve(PretrainConfig, run.recipe, {})
    assert (recipe.per_device_train_batch_size, recipe.gradient_accumulation_steps) == (1, 6)
    pretrain.run(config, progress=Watched())
    assert run.finished
    whole = quick(per_device_train_batch_size=1, gradient_accumulation_steps=6, run_name="whole")
    pretrain.run(whole, progress=Watched())
    assert outcome(run) == outcome(run_of(places, "whole"))


def test_memory_that_runs_out_late_costs_steps_and_never_the_run(
    quick: Any, places: Path, memory: dict[str, int]
) -> None:
    """At step 7, with a checkpoint of step 5: gone on from there, and kept when the second start is interrupted."""
    memory |= {"rows": 2, "from": 7}

    class Interrupted(Watched):
        def note(self, message: str) -> None:
            super().note(message)
            if message.startswith("model:") and "going on with batches" in self.all():
                raise KeyboardInterrupt

        warn = Watched.note

    config = quick(auto_batch_size=True, run_name="late")
    with pytest.raises(KeyboardInterrupt):
        pretrain.run(config, progress=Interrupted())
    run = run_of(places, "late")
    assert (run.checkpoints / "checkpoint-5").is_dir()
    memory["rows"] = 100
    pretrain.run(PretrainConfig(resume="late"), progress=Watched())
    assert [e["step"] for e in run.events() if "loss" in e] == list(range(1, 11))


def test_events_of_a_start_that_did_not_fit_are_forgotten(
    quick: Any, places: Path, memory: dict[str, int]
) -> None:
    memory |= {"rows": 2, "from": 4}
    pretrain.run(quick(auto_batch_size=True), progress=Watched())
    lines = (places / "runs/quick/metrics.jsonl").read_text().splitlines()
    assert [json.loads(e)["step"] for e in lines if '"loss"' in e] == list(range(1, 11))
