"""The steps of a pretraining, before the first: how many, of how much, at what rate; all of it told."""

import math
from typing import Any

from llmctl import training
from llmctl.config import PretrainConfig
from llmctl.progress import Progress, many

EVALUATIONS_A_RUN = 5
# Tokens of a step by which the default learning rates of new models were measured, and how many times more a step has
# where it is told that they are another's.
_MEASURED_TOKENS = 6 * 384
_FAR = 4


def plan_steps(
    config: PretrainConfig, examples: Any, default_rate: float, progress: Progress
) -> training.Plan:
    """What the training comes to.

    Args:
        config: settled.
        examples: the training set, with ``num_tokens``.
        default_rate: the learning rate of the optimiser where none is asked for.
    """
    steps = _count(config, examples, progress)
    tokens = training.examples_a_step(config) * examples.num_tokens // len(examples)
    progress.note(
        f"training: {examples.description}; {many(steps, 'step')} of {training.batch_told(config)}, {tokens:,} tokens; "
        f"{config.optim}, learning rate {config.learning_rate:g}, {config.lr_scheduler_type}"
    )
    if not config.model and config.learning_rate == default_rate and tokens >= _FAR * _MEASURED_TOKENS:
        more = tokens / _MEASURED_TOKENS
        progress.note(
            f"learning rate {default_rate:g} was measured by steps of {_MEASURED_TOKENS:,} tokens; for {more:.0f} "
            f"times as many the rule of the square root gives {default_rate * more**0.5:.2g} (--learning-rate)"
        )
    return training.Plan(
        steps=steps,
        eval_steps=max(1, steps // EVALUATIONS_A_RUN),
        best="loss",
        greater_is_better=False,
        rate="tokens",
        amount=tokens,
        epoch_steps=0 if config.streaming else training.steps_an_epoch(config, len(examples)),
        equal_shapes=examples.lengths is None,
    )


def _count(config: PretrainConfig, examples: Any, progress: Progress) -> int:
    """Optimiser steps of the run; what a number of tokens comes to is told."""
    if not config.max_tokens:
        return training.total_steps(config, len(examples))
    if config.streaming:
        a_step = training.examples_a_step(config) * examples.num_tokens / len(examples)
        steps = math.ceil(config.max_tokens / a_step)
        progress.note(
            f"max_tokens {config.max_tokens:,}: {many(steps, 'step')} by the {a_step:,.0f} tokens of one on average"
        )
        return steps
    steps, seen = training.steps_for_tokens(config, examples, config.max_tokens)
    progress.note(
        f"max_tokens {config.max_tokens:,}: {many(steps, 'step')} see {seen:,} tokens, "
        f"{seen / examples.num_tokens:.3g} epochs of {examples.num_tokens:,}"
    )
    return steps
