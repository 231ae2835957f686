"""Losses and gradients that are not finite, and steps with nothing to learn from."""

import json
import math
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from llmctl.errors import ModelError
from llmctl.runs import RunDir
from llmctl.training import LikeLengths
from llmctl.training.finite import MOST_IN_A_ROW
from tests.line import Fit, Numbers, train

NAN, INF = float("nan"), float("inf")
OPTIMISERS = ("sgd", "adamw_torch_fused", "adamw_torch", "adafactor", "lion")


def order(count: int, epoch: int = 0) -> list[list[int]]:
    """The batches of four, as they are seen."""
    sampler = LikeLengths(Numbers(count).lengths, 4, 0)
    sampler.set_epoch(epoch)
    places = list(sampler)
    return [places[begin : begin + 4] for begin in range(0, count, 4)]


def saved_weights(run: RunDir) -> list[float]:
    return [float(load_file(path / "model.safetensors")["w"]) for path in run.all_checkpoints()]


def named(places: list[int]) -> str:
    return ", ".join(map(str, places))


@pytest.mark.parametrize(("factor", "shown"), [(NAN, "nan"), (INF, "inf"), (-INF, "-inf")])
@pytest.mark.parametrize("bad", [1, 4, 18])
def test_a_loss_that_is_not_finite_ends_the_training_before_the_update(
    run: RunDir, factor: float, shown: str, bad: int
) -> None:
    """Of 64 examples, sixteen batches an epoch; a checkpoint every second step."""
    objective = Fit(factors={bad: factor})
    batches = [*order(64), *order(64, 1)]
    with pytest.raises(ModelError) as caught:
        train(run, objective, count=64, num_train_epochs=2.0, learning_rate=1e-6, save_steps=2)
    told = f"the loss is {shown} at step {bad} (its examples: {named(batches[bad - 1])}, counted from 0)"
    assert caught.value.message == f"{told}; the weights were not changed by it"
    assert "--on-nonfinite skip" in str(caught.value.hint)
    assert len(objective.seen) == bad, "within one step"
    assert objective.seen[-1] == batches[bad - 1]
    assert len(saved_weights(run)) == min((bad - 1) // 2, 2)
    assert all(math.isfinite(weight) for weight in saved_weights(run))


def test_the_batch_is_found_among_those_that_are_accumulated(run: RunDir) -> None:
    batches = order(64)
    with pytest.raises(ModelError) as caught:
        train(run, Fit(factors={6: NAN}), count=64, gradient_accumulation_steps=4, learning_rate=1e-6)
    assert f"at step 2 (its examples: {named(batches[5])}, counted from 0)" in caught.value.message


@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0])
def test_a_gradient_that_is_not_finite_ends_the_training_too(run: RunDir, max_grad_norm: float) -> None:
    """The loss is a number, its derivative is none; whether gradients are clipped or not."""

    class Steep(Fit):
        def loss(self, model: Any, batch: Any, num_items: Any) -> torch.Tensor:
            found = super().loss(model, batch, num_items)
            return found + (model.w * 0).abs().sqrt().sum() if len(self.seen) == 3 else found

    with pytest.raises(ModelError, match="the gradient's norm is nan at step 3") as caught:
        train(run, Steep(), count=64, learning_rate=1e-6, max_grad_norm=max_grad_norm)
    assert named(order(64)[2]) in caught.value.message


@pytest.mark.parametrize("optim", OPTIMISERS)
@pytest.mark.parametrize("max_grad_norm", [0.0, 1e4])
def test_a_step_that_is_skipped_changes_neither_weights_nor_optimiser(
    run: RunDir, optim: str, max_grad_norm: float
) -> None:
    """The third of four steps: what is saved after it is what was saved before it, but for the schedule."""
    _, trainer = train(
        run,
        Fit(factors={3: NAN}),
        count=16,
        optim=optim,
        on_nonfinite="skip",
        save_steps=1,
        save_total_limit=9,
        logging_steps=1,
        max_grad_norm=max_grad_norm,
    )
    _, third, second, first = run.all_checkpoints()
    for name in ("model.safetensors", "optimizer.pt"):
        assert (third / name).read_bytes() == (second / name).read_bytes()
        assert optim == "sgd" or (second / name).read_bytes() != (first / name).read_bytes()
    assert trainer.finite.skipped == 1
    assert math.isfinite(trainer.model.w.item())
    events = [json.loads(line, parse_constant=pytest.fail) for line in run.metrics.read_text().splitlines()]
    assert [event["step"] for event in events if "loss" in event] == [1, 2, 4]
    [skipped] = [event for event in events if "skipped" in event]
    assert skipped["step"] == 3
    assert skipped["skipped"] == "the loss is nan"
    assert skipped["examples"] == order(16)[2]


def test_what_is_skipped_is_no_part_of_the_loss_that_is_told(run: RunDir) -> None:
    """A rate so low that the weight stays near zero: the loss of a batch is the mean of its squared targets."""
    batches = order(64)
    _, trainer = train(
        run,
        Fit(factors={3: NAN, 6: NAN}),
        count=64,
        on_nonfinite="skip",
        learning_rate=1e-12,
        logging_steps=4,
    )
    losses = [sum((2.0 * place) ** 2 for place in batch) / 4 for batch in batches]
    told = [event["loss"] for event in run.events() if "loss" in event]
    assert told[0] == pytest.approx((losses[0] + losses[1] + losses[3]) / 3, rel=1e-4)
    assert told[1] == pytest.approx((losses[4] + losses[6] + losses[7]) / 3, rel=1e-4)
    [all_of_it] = [event["train_loss"] for event in run.events() if "train_loss" in event]
    counted = [loss for number, loss in enumerate(losses, 1) if number not in (3, 6)]
    assert all_of_it == pytest.approx(sum(counted) / 14, rel=1e-4)
    assert trainer.finite.skipped == 2


def test_more_than_ten_in_a_row_end_the_training(run: RunDir) -> None:
    first, last = 3, 3 + MOST_IN_A_ROW
    bad = dict.fromkeys(range(first, last + 1), NAN)
    with pytest.raises(
        ModelError, match=f"at step {last}, the last of {MOST_IN_A_ROW + 1} in a row"
    ) as caught:
        train(run, Fit(factors=bad), count=64, on_nonfinite="skip", learning_rate=1e-6)
    assert str(caught.value.hint).endswith(
        "lower --learning-rate or raise --warmup-steps"
    )  # skipping is in force
    other = RunDir(run.path / "other")
    other.path.mkdir()
    del bad[7]
    train(other, Fit(factors=bad), count=64, on_nonfinite="skip", learning_rate=1e-6)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_step_without_any_target_is_left_out_and_told(run: RunDir, accumulation: int) -> None:
    step = 2
    empty = [place for batch in order(32)[accumulation : 2 * accumulation] for place in batch]
    _, trainer = train(
        run,
        Fit(ignored=frozenset(empty)),
        count=32,
        optim="adamw_torch",
        gradient_accumulation_steps=accumulation,
        save_steps=1,
        save_total_limit=9,
        logging_steps=1,
    )
    after, before = run.all_checkpoints()[-step], run.all_checkpoints()[-step + 1]
    for name in ("model.safetensors", "optimizer.pt"):
        assert (after / name).read_bytes() == (before / name).read_bytes()
    assert trainer.finite.empty == 1
    [event] = [event for event in run.events() if "skipped" in event]
    assert (event["step"], event["skipped"], event["examples"]) == (step, "no target", empty)


def test_targets_of_one_batch_are_enough_for_a_step(run: RunDir) -> None:
    first = order(32)[0]
    _, trainer = train(run, Fit(ignored=frozenset(first)), count=32, gradient_accumulation_steps=2)
    assert trainer.finite.empty == 0
    assert math.isfinite(trainer.model.w.item())


def test_weights_that_are_not_finite_are_not_saved(run: RunDir) -> None:
    """A finite gradient, a step without measure: the update itself ruins the weight."""
    with pytest.raises(
        ModelError, match=r"step 1 has made weights NaN or infinite \(w\); they are not saved"
    ):
        train(run, Fit(), count=64, learning_rate=1e38, save_steps=1)
    assert run.all_checkpoints() == []


def test_schedule_free_leaves_a_step_out_too(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests import schedule_free

    schedule_free.at_hand(monkeypatch)
    train(
        run,
        Fit(factors={3: NAN}),
        count=16,
        optim="schedule_free_adamw",
        on_nonfinite="skip",
        save_steps=1,
        save_total_limit=9,
    )
    _, third, second, _ = run.all_checkpoints()
    for name in ("model.safetensors", "optimizer.pt"):
        assert (third / name).read_bytes() == (second / name).read_bytes()
