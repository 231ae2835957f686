"""Schedules as their run has them: the learning rate of each step."""

import math
from typing import Any

import pytest
import torch
from transformers import get_scheduler

from llmctl.config import PretrainConfig
from llmctl.errors import ConfigError
from llmctl.training.schedules import schedule_settings

PEAK, STEPS = 0.5, 20


def rates(**settings: Any) -> list[float]:
    """The rate of each of 20 steps, as a share of the peak."""
    config = PretrainConfig(learning_rate=PEAK, **settings)
    found = schedule_settings(config, STEPS)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    schedule = get_scheduler(
        config.lr_scheduler_type or "", optimizer, found["warmup_steps"], STEPS, found["lr_scheduler_kwargs"]
    )
    seen = []
    for _ in range(STEPS):
        seen.append(optimizer.param_groups[0]["lr"] / PEAK)
        optimizer.step()
        schedule.step()
    return seen


def test_warmup_stable_decay_rises_stays_and_falls() -> None:
    seen = rates(lr_scheduler_type="warmup_stable_decay", warmup_steps=0.2, num_decay_steps=0.25)
    assert seen[:5] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert seen[4:15] == [1.0] * 11
    assert seen[15:] == pytest.approx([1 - math.sqrt(i / 5) for i in range(5)])
    seen = rates(lr_scheduler_type="warmup_stable_decay", warmup_steps=0, min_lr_rate=0.2)
    assert seen[:17] == [1.0] * 17, "a fifth of the steps decays"
    assert seen[18] == pytest.approx(0.2 + 0.8 * (1 - math.sqrt(0.5)))


def test_cosine_ends_at_its_least_rate() -> None:
    seen = rates(lr_scheduler_type="cosine_with_min_lr", warmup_steps=0)
    assert seen[10] == pytest.approx(0.55)
    assert 0.1 < seen[19] < 0.11
    assert rates(lr_scheduler_type="cosine_with_min_lr", warmup_steps=0, min_lr_rate=0.5)[
        10
    ] == pytest.approx(0.75)


def test_polynomial_is_linear_unless_its_power_says_otherwise() -> None:
    assert rates(lr_scheduler_type="polynomial", warmup_steps=0) == pytest.approx(
        [1 - i / 20 for i in range(20)]
    )
    seen = rates(lr_scheduler_type="polynomial", warmup_steps=0, lr_power=2.0, min_lr_rate=0.2)
    assert seen == pytest.approx([0.2 + 0.8 * (1 - i / 20) ** 2 for i in range(20)])


def test_a_warm_up_and_a_decay_that_do_not_fit_are_refused() -> None:
    config = PretrainConfig(lr_scheduler_type="warmup_stable_decay", warmup_steps=10.0, num_decay_steps=11.0)
    with pytest.raises(
        ConfigError, match="10 steps of warm-up and 11 of decay are more than the 20 of the run"
    ):
        schedule_settings(config, STEPS)


@pytest.mark.parametrize(
    ("asked", "whole"), [(0.05, 1), (0.049, 0), (0.051, 2), (0.0, 0), (3.0, 3), (100.0, 100)]
)
def test_a_share_of_the_steps_is_whole_steps(asked: float, whole: int) -> None:
    assert schedule_settings(PretrainConfig(warmup_steps=asked), STEPS)["warmup_steps"] == whole
