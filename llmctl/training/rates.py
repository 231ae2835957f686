"""The learning-rate range test: one short run of ever higher rates, and what it tells.

L. Smith, 2017, arXiv:1506.01186.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback
from transformers.trainer_utils import SaveStrategy

from llmctl.config import Training
from llmctl.objectives import Objective
from llmctl.runs import RunDir
from llmctl.training import speed
from llmctl.training.arguments import make_arguments
from llmctl.training.fitting import memory_told
from llmctl.training.plan import Plan
from llmctl.training.trainer import ObjectiveTrainer

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 100
FALL = 0.75
"""The suggestion is the rate at which the loss has come down by this share of all that it comes down."""
_AVERAGED = 9  # losses behind each point of the smooth curve
_DIVERGED = 1.5  # times the first losses, and the test is over
_NOISE = 6.0  # a fall of fewer standard errors of the first losses is none


@dataclass(frozen=True)
class RateCurve:
    """The training loss of each step of the test.

    Attributes:
        rates: (N,) the learning rates, rising.
        losses: (N,) finite.
    """

    rates: list[float]
    losses: list[float]

    @property
    def smooth(self) -> list[float]:
        """(N,) means of the losses around each step."""
        half = _AVERAGED // 2
        around = [self.losses[max(i - half, 0) : i + half + 1] for i in range(len(self.losses))]
        return [float(np.mean(part)) for part in around]

    @property
    def suggestion(self) -> float | None:
        """The rate to train with; ``None`` where no rate brought the loss down."""
        if len(self.losses) < 2 * _AVERAGED:
            return None
        smooth, first = self.smooth, self.losses[: 2 * _AVERAGED]
        began, fall = float(np.mean(first)), float(np.mean(first)) - min(smooth)
        if fall <= _NOISE * float(np.std(first)) / _AVERAGED**0.5:
            return None
        reached = next(i for i, loss in enumerate(smooth) if loss <= began - FALL * fall)
        return float(f"{self.rates[reached]:.2g}")


def rate_curve(
    config: Training,
    run: RunDir,
    plan: Plan,
    *,
    model: Any,
    objective: Objective,
    training: Any,
    advance: Callable[[int], None],
) -> RateCurve:
    """Train ``model``, whose weights are of no use afterwards, for at most 100 steps, from 1e-6 to 10.

    Args:
        run: a directory that nobody needs; next to nothing is written.
        advance: called after each step.
    """
    test = replace(config, learning_rate=LOWEST, logging_steps=1, report_to=(), load_best_model_at_end=False)
    # Its own schedule takes the place of the run's, whose warm-up some optimisers have within.
    test = replace(test, lr_scheduler_type="constant", warmup_steps=0)
    test = replace(test, num_decay_steps=None, min_lr_rate=None, lr_power=None)
    plan = replace(plan, steps=STEPS, patience=None)
    test = speed.for_this_machine(test, plan)
    speed.prepare(model, test)
    arguments = make_arguments(test, run, plan, validated=False)
    arguments.save_strategy = SaveStrategy.NO
    watch = _Watch(advance)
    trainer = _RisingTrainer(
        objective=objective,
        optim=config.optim,
        run=run,
        model=model,
        args=arguments,
        train_dataset=training,
        validation=None,
        callbacks=[watch],
    )
    with memory_told(trainer, test):
        trainer.train()
    return RateCurve(watch.rates, watch.losses)


class _RisingTrainer(ObjectiveTrainer):
    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        growth = (HIGHEST / LOWEST) ** (1 / (STEPS - 1))
        self.lr_scheduler = LambdaLR(self.optimizer, lambda step: growth**step)
        return self.lr_scheduler


class _Watch(TrainerCallback):
    """Keeps what is logged, and ends the test where the loss has diverged."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.advance = advance

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" not in logs:
            return
        self.advance(1)
        if not math.isfinite(logs["loss"]):
            control.should_training_stop = True
            return
        self.rates.append(logs["learning_rate"])
        self.losses.append(logs["loss"])
        now = np.mean(self.losses[-_AVERAGED:])
        if now > _DIVERGED * np.mean(self.losses[:_AVERAGED]):
            control.should_training_stop = True
