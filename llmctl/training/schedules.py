"""How the learning rate rises and falls, in the words of ``transformers.get_scheduler``."""

import math
from typing import Any

from llmctl.config import Training
from llmctl.errors import ConfigError

DECAY_STEPS = 0.2
"""Steps of decay of ``warmup_stable_decay``, as a share of all (arXiv:2405.18392)."""
MIN_LR_RATE = 0.1
"""Where ``cosine_with_min_lr`` ends, as a share of the peak."""


def schedule_settings(config: Training, steps: int) -> dict[str, Any]:
    """The keywords of ``TrainingArguments`` that make up the schedule; warm-up and decay are whole steps.

    Args:
        steps: optimiser steps of the whole run.

    Raises:
        ConfigError: warm-up and decay take more steps than there are.
    """
    warmup = whole_steps(config.warmup_steps, steps)
    given: dict[str, Any] = {"warmup_steps": warmup, "lr_scheduler_kwargs": {}}
    least = config.min_lr_rate
    if config.lr_scheduler_type == "cosine_with_min_lr":
        given["lr_scheduler_kwargs"] = {"min_lr_rate": MIN_LR_RATE if least is None else least}
    elif config.lr_scheduler_type == "polynomial":
        end = (config.learning_rate or 0.0) * (least or 0.0)
        given["lr_scheduler_kwargs"] = {"lr_end": end, "power": config.lr_power or 1.0}
    elif config.lr_scheduler_type == "warmup_stable_decay":
        asked = DECAY_STEPS if config.num_decay_steps is None else config.num_decay_steps
        decay = whole_steps(asked, steps)
        if warmup + decay > steps:
            raise ConfigError(
                f"{warmup:,} steps of warm-up and {decay:,} of decay are more than the {steps:,} of the run",
                hint="lower --warmup-steps or --num-decay-steps",
            )
        given["lr_scheduler_kwargs"] = {
            "num_decay_steps": decay,
            "decay_type": "1-sqrt",
            "min_lr_ratio": least or 0.0,
        }
    return given


def whole_steps(asked: float, steps: int) -> int:
    """A number of steps, or below 1 a share of all, as steps; a share of under one step is none.

    Trainer would round up, and the first step of a warm-up learns nothing.
    """
    if asked >= 1:
        return int(asked)
    return math.ceil(asked * steps) if asked * steps >= 1 else 0
