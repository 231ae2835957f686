"""Trainer as we use it: the order of examples, early stopping, the best model, what is counted and recorded."""

import json
import signal
import time
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from transformers import Trainer, TrainerControl
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled, set_hf_deepspeed_config

from llmctl.errors import ConfigError
from llmctl.runs import RunDir
from llmctl.training import (
    LikeLengths,
    Plan,
    StoppedError,
    batch_told,
    make_arguments,
    steps_for_tokens,
)
from llmctl.training.checkpoints import step_of
from llmctl.training.deadline import Deadline
from tests import schedule_free
from tests.line import Fit, Line, Numbers, Shown, plan_of, settings, stopped_after, train

# The order of examples


def lengths_of(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(2, 120, count)


@pytest.mark.parametrize("count", [1, 3, 4, 7, 200, 201, 203, 399, 400, 401, 999])
def test_every_example_comes_once_and_the_longest_in_the_first_batch(count: int) -> None:
    lengths = np.arange(count)
    for seed in range(100):
        sampler = LikeLengths(lengths, 4, seed)
        order = list(sampler)
        assert len(sampler) == count
        assert sorted(order) == list(range(count))
        assert count - 1 in order[:4]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = lengths_of(500)

    def order(seed: int, epoch: int) -> list[int]:
        sampler = LikeLengths(lengths, 8, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
    sampler = LikeLengths(lengths, 8, 0)
    assert list(sampler) == list(sampler), "without another epoch the same again"


def test_examples_of_a_batch_are_of_like_length() -> None:
    lengths = lengths_of(3200)
    batches = lengths[list(LikeLengths(lengths, 16, 0))].reshape(-1, 16)
    padded = (batches.max(axis=1) * 16).sum()
    assert padded < 1.03 * lengths.sum()
    shuffled = np.random.default_rng(0).permutation(lengths).reshape(-1, 16)
    assert (shuffled.max(axis=1) * 16).sum() > 1.5 * lengths.sum()


def test_batches_are_not_sorted_among_themselves() -> None:
    lengths = lengths_of(3200)
    means = lengths[list(LikeLengths(lengths, 16, 0))].reshape(-1, 16).mean(axis=1)
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.2


# A training in miniature


def test_each_epoch_has_an_order_of_its_own_and_every_example(run: RunDir) -> None:
    objective = Fit()
    train(run, objective, count=64, num_train_epochs=3.0, learning_rate=1e-6)
    seen = [index for batch in objective.seen for index in batch]
    epochs = [seen[begin : begin + 64] for begin in (0, 64, 128)]
    assert all(sorted(epoch) == list(range(64)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    sampler = LikeLengths(Numbers(64).lengths, 4, 0)
    for number, epoch in enumerate(epochs):
        sampler.set_epoch(number)
        assert list(sampler) == epoch


def test_accumulated_batches_step_as_one_big_batch(run: RunDir, tmp_path: Path) -> None:
    """Batches of unlike size, too: 7 examples are 4 and 3."""
    whole, _ = train(run, Fit(), count=7, per_device_train_batch_size=7)
    other = RunDir(tmp_path / "other")
    other.path.mkdir()
    parts, trainer = train(other, Fit(), count=7, gradient_accumulation_steps=2)
    assert trainer.state.global_step == 1
    assert parts.w.item() == pytest.approx(whole.w.item(), rel=1e-6)
    squares = sum(index**2 for index in range(7))
    assert whole.w.item() == pytest.approx(1e-3 * 2 * 2 * squares / 7)


@pytest.mark.parametrize(
    ("greater_is_better", "scores", "best"),
    [(True, [0.5, 0.9, 0.7, 0.8], 1), (False, [0.5, 0.9, 0.2, 0.8], 2), (True, [0.5, 0.9, 0.9, 0.1], 1)],
)
def test_the_best_model_is_kept(run: RunDir, greater_is_better: bool, scores: list[float], best: int) -> None:
    objective = Fit(scores)
    model, trainer = train(
        run, objective, num_train_epochs=2.0, plan={"greater_is_better": greater_is_better}
    )
    assert trainer.state.best_global_step == best + 1
    assert trainer.state.best_metric == scores[best]
    assert len(set(objective.weights)) == 4
    assert model.w.item() == objective.weights[best]


def test_the_last_model_is_kept_where_that_is_asked_for(run: RunDir) -> None:
    objective = Fit([0.9, 0.1])
    model, _ = train(run, objective, load_best_model_at_end=False)
    assert model.w.item() == objective.weights[-1]


@pytest.mark.parametrize("steps", [1, 5, 19])
def test_every_step_of_a_short_run_learns(run: RunDir, steps: int) -> None:
    """A warm-up of under one step is none: its first step would have a learning rate of 0."""
    _, trainer = train(run, Fit(), max_steps=steps, warmup_steps=0.05, lr_scheduler_type="linear")
    rates = [event["learning_rate"] for event in trainer.state.log_history if "learning_rate" in event]
    assert len(rates) == steps
    assert rates[0] == 1e-3
    assert all(rates)


def test_a_warm_up_of_a_step_and_more_is_kept(run: RunDir) -> None:
    config = settings(max_steps=20, warmup_steps=0.05)
    arguments = make_arguments(config, run, plan_of(config, 8), validated=False)
    assert arguments.get_warmup_steps(20) == 1
    config = settings(max_steps=1, warmup_steps=3.0)
    assert make_arguments(config, run, plan_of(config, 8), validated=False).get_warmup_steps(1) == 3


def test_one_process_uses_one_gpu(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainer would put the model on all of them, and multiply the batch."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    config = settings()
    arguments = make_arguments(config, run, plan_of(config, 8), validated=False)
    assert arguments.n_gpu == 1
    assert arguments.train_batch_size == config.per_device_train_batch_size


def test_the_environment_may_not_ask_for_another_precision(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``accelerate launch`` sets it; the recipe says what ``--bf16`` says."""
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)
    config = settings()
    plan = plan_of(config, 8)
    for asked, bf16 in [("bf16", True), ("no", True), ("no", False), ("no", None)]:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", asked)
        arguments = make_arguments(replace(config, bf16=bf16), run, plan, validated=False)
        assert arguments.mixed_precision == ("bf16" if bf16 else "no")
    for asked, bf16 in [("bf16", False), ("bf16", None), ("fp16", True), ("fp8", False)]:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", asked)
        with pytest.raises(
            ConfigError, match=f"ACCELERATE_MIXED_PRECISION is '{asked}'.* but llmctl computes"
        ):
            make_arguments(replace(config, bf16=bf16), run, plan, validated=False)


def test_a_finished_training_of_deepspeed_is_taken_up_without_its_engine(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights, and the best, are read into the plain model: no engine is made for want of a step to train."""
    objective = Fit([0.9, 0.5])
    train(run, objective, max_steps=2)
    made = Trainer.__init__

    def by_deepspeed(trainer: Any, *args: Any, **given: Any) -> None:
        made(trainer, *args, **given)
        trainer.is_deepspeed_enabled = True

    monkeypatch.setattr(Trainer, "__init__", by_deepspeed)
    for best in (True, False):
        model, trainer = train(run, objective, max_steps=2, load_best_model_at_end=best)
        assert trainer.state.global_step == 2
        assert model.w.item() == objective.weights[0 if best else 1]


def test_what_only_a_further_step_needs_is_given_back(run: RunDir) -> None:
    """The model is read back beside what is left of the training."""

    class Zero3:
        def is_zero3(self) -> bool:
            return True

    shared = Zero3()
    set_hf_deepspeed_config(shared)
    model, trainer = train(run, Fit([0.5, 0.9]), max_steps=2, optim="adamw_torch")
    inner = weakref.ref(trainer.optimizer.optimizer)
    assert inner() is not None
    trainer.put_down()
    assert inner() is None
    assert not is_deepspeed_zero3_enabled(), "models that are loaded are whole"
    assert trainer.model is model


def test_patience_ends(run: RunDir) -> None:
    """The second score is the best; two evaluations later it is over."""
    objective = Fit([0.5, 0.9, 0.7, 0.8, 1.0, 1.0])
    model, trainer = train(run, objective, num_train_epochs=3.0, plan={"patience": 2})
    assert trainer.state.global_step == 4
    assert model.w.item() == objective.weights[1]


def test_patience_without_validation_is_refused(run: RunDir) -> None:
    config = settings()
    with pytest.raises(ConfigError, match="early_stopping_patience: there is no validation split"):
        make_arguments(config, run, plan_of(config, 8, patience=2), validated=False)


def test_speed_counts_the_examples_that_the_last_step_of_an_epoch_has() -> None:
    """Ten examples by four: 4, 4, 2, and again."""
    plan = Plan(6, 3, "loss", False, "samples", 4, epoch_steps=3, last_amount=2)
    assert [plan.amount_at(step) for step in range(1, 7)] == [4, 4, 2, 4, 4, 2]
    assert [replace(plan, last_amount=None).amount_at(step) for step in (3, 6)] == [4, 4]


def test_every_event_is_recorded_and_told(run: RunDir) -> None:
    told: list[Mapping[str, Any]] = []
    train(run, Fit([0.5, 0.9]), shown=Shown(told.append))
    events = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [event["step"] for event in events if "loss" in event] == [1, 2]
    assert [event["eval_skill"] for event in events if "eval_skill" in event] == [0.5, 0.9]
    assert all(event["samples_per_second"] > 0 for event in events if "loss" in event)
    assert all(0 < event["seconds"] < 60 for event in events)
    assert [dict(event) for event in told] == events


def test_a_signal_finishes_the_step_and_saves(run: RunDir) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError, match="stopped at step 3, checkpoint saved") as stopped:
        train(run, Fit(), count=64, shown=stopped_after(2))
    assert stopped.value.exit_code == 128 + signal.SIGTERM
    assert stopped.value.hint == f"go on: llmctl finetune --resume {run.path}"
    assert (run.checkpoints / "checkpoint-3" / "trainer_state.json").is_file()
    assert signal.getsignal(signal.SIGTERM) is before

    objective = Fit()
    _, trainer = train(run, objective, count=64)
    assert trainer.state.global_step == 16
    order = list(LikeLengths(Numbers(64).lengths, 4, 0))
    assert [index for batch in objective.seen for index in batch] == order[12:], "goes on where it stopped"


def test_the_time_limit_ends_the_training_with_a_checkpoint_and_the_next_session_goes_on(run: RunDir) -> None:
    ends = time.monotonic() + 3
    with pytest.raises(StoppedError, match=r"time limit reached: stopped at step \d+ of 5,000") as stopped:
        train(run, Fit(), count=20_000, learning_rate=1e-12, ends=ends)
    assert stopped.value.exit_code == 75
    assert stopped.value.hint == f"go on: llmctl finetune --resume {run.path}"
    done = max(step_of(path) for path in run.checkpoints.glob("checkpoint-*"))
    with pytest.raises(StoppedError, match=f"stopped at step {done + 1} "):
        train(
            run, Fit(), count=20_000, learning_rate=1e-12, ends=time.monotonic()
        )  # a session gets on by a step at least


@pytest.mark.parametrize(
    ("evaluation", "save", "last"),
    [
        (0.0, 0.0, 10),  # ten steps of ten seconds
        (0.0, 10.0, 7),  # a save at step 4; 15 seconds stay free for the last one
        (20.0, 0.0, 7),  # evaluated at step 4; with the next at step 8 it would be too late
        (0.0, 40.0, 4),
    ],
)
def test_room_is_left_for_evaluating_and_saving(
    monkeypatch: pytest.MonkeyPatch, evaluation: float, save: float, last: int
) -> None:
    """Every fourth step is evaluated and saved."""
    now = 0.0
    monkeypatch.setattr("llmctl.training.deadline.time.monotonic", lambda: now)
    deadline, control = Deadline(100.0), TrainerControl()
    arguments = SimpleNamespace(eval_strategy="steps")
    state = SimpleNamespace(global_step=0, eval_steps=4, log_history=[])
    deadline.on_train_begin(arguments, state, control, model=Line())
    while not control.should_training_stop:
        now += 10
        state.global_step += 1
        control.should_evaluate = control.should_save = state.global_step % 4 == 0
        deadline.on_step_end(arguments, state, control)
        if control.should_evaluate:
            now += evaluation
            deadline.on_evaluate(arguments, state, control)
        if control.should_save:
            now += save
            deadline.on_save(arguments, state, control)
    assert state.global_step == last
    assert deadline.reached
    assert now <= 100


# Steps that a number of tokens takes


@pytest.mark.parametrize("wanted", [1, 3, 12, 13, 59, 60, 61, 120, 150, 999])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_tokens_are_counted_in_the_order_in_which_they_are_seen(wanted: int, accumulation: int) -> None:
    """21 examples of 1 to 5 tokens, 61 together, in six batches of four or fewer an epoch."""
    config = settings(gradient_accumulation_steps=accumulation)
    examples: Any = Numbers(21)
    examples.num_tokens = int(examples.lengths.sum())
    each: list[int] = []  # tokens of each step
    for epoch in range(20):
        order = LikeLengths(examples.lengths, 4, 0)
        order.set_epoch(epoch)
        sizes = examples.lengths[list(order)]
        each += [int(sizes[i : i + 4 * accumulation].sum()) for i in range(0, 21, 4 * accumulation)]
    steps, seen = steps_for_tokens(config, examples, wanted)
    assert seen == sum(each[:steps])
    assert sum(each[: steps - 1]) < wanted <= seen


# Schedule-Free


FREE: dict[str, Any] = {
    "optim": "schedule_free_adamw",
    "learning_rate": 0.01,
    "warmup_steps": 0.5,
    "num_train_epochs": 2.0,
    "eval_steps": 4,
    "save_steps": 4,
}


def saved_weight(run: RunDir, step: int) -> float:
    return float(load_file(run.checkpoints / f"checkpoint-{step}" / "model.safetensors")["w"])


@pytest.mark.parametrize("best", [True, False])
def test_schedule_free_is_judged_saved_and_kept_by_its_average(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, best: bool
) -> None:
    schedule_free.at_hand(monkeypatch)
    objective = Fit([0.5, 0.9, 0.7, 0.6])
    model, trainer = train(
        run,
        objective,
        count=32,
        plan={"eval_steps": 4},
        load_best_model_at_end=best,
        save_total_limit=9,
        **FREE,
    )
    group = trainer.optimizer.param_groups[0]
    state = trainer.optimizer.state_dict()["state"][0]
    assert group["warmup_steps"] == 8, "whole steps: a share would multiply the first rate by its inverse"
    assert not group["train_mode"]
    assert objective.weights == [saved_weight(run, step) for step in (4, 8, 12, 16)]
    assert model.w.item() == objective.weights[1 if best else 3]
    assert state["z"].item() != objective.weights[3], "the average lags behind"


def test_schedule_free_goes_on_where_it_stopped(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule_free.at_hand(monkeypatch)
    whole, _ = train(run, Fit(), count=32, **FREE)
    cut = RunDir(tmp_path / "cut")
    cut.path.mkdir()
    with pytest.raises(StoppedError, match="stopped at step 8"):
        train(cut, Fit(), count=32, shown=stopped_after(7), **FREE)
    resumed, _ = train(cut, Fit(), count=32, **FREE)
    assert resumed.w.item() == whole.w.item()


# Gradients


def test_the_norm_of_the_gradient_is_recorded_and_how_often_it_was_clipped(run: RunDir) -> None:
    """The gradient of example i is -4 i^2: of 8 examples, one a step, it is above 20 for those from 3 on."""
    settings: dict[str, Any] = {"per_device_train_batch_size": 1, "learning_rate": 1e-9, "logging_steps": 4}
    objective = Fit()
    train(run, objective, max_grad_norm=20.0, **settings)
    events = [event for event in run.events() if "loss" in event]
    seen = [batch[0] for batch in objective.seen]
    for event, part in zip(events, (seen[:4], seen[4:]), strict=True):
        assert event["grad_norm"] == pytest.approx(4 * part[-1] ** 2, rel=1e-3)
        assert event["clipped"] == pytest.approx(np.mean([4 * index**2 > 20 for index in part]))


def test_nothing_is_called_clipped_where_nothing_is(run: RunDir) -> None:
    train(run, Fit(), max_grad_norm=0.0)
    assert all("grad_norm" in event and "clipped" not in event for event in run.events() if "loss" in event)


@pytest.mark.parametrize(
    ("times", "processes", "told"),
    [
        (1, 1, "6 examples"),
        (4, 1, "24 examples (6 at once, 4 times accumulated)"),
        (1, 2, "12 examples (6 on each of 2 devices)"),
        (4, 2, "48 examples (6 on each of 2 devices, 4 times accumulated)"),
    ],
)
def test_the_effective_batch_is_told(
    monkeypatch: pytest.MonkeyPatch, times: int, processes: int, told: str
) -> None:
    monkeypatch.setattr("llmctl.ranks.count", lambda: processes)
    config = settings(per_device_train_batch_size=6, gradient_accumulation_steps=times)
    assert batch_told(config) == told
