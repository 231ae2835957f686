"""What a training comes to, before it begins."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmctl import ranks
from llmctl.config import Training
from llmctl.progress import many
from llmctl.training.sampling import order_of


@dataclass(frozen=True)
class Plan:
    """What a training comes to, beside its config.

    Attributes:
        steps: optimiser steps of the whole run.
        eval_steps: steps between evaluations, where the config gives none.
        best: the validation score that decides which checkpoint is best, without its ``eval_``.
        greater_is_better: whether a higher one is.
        rate: what speed is measured in: ``tokens`` or ``samples``.
        amount: so many of them a step, on all processes.
        last_amount: so many at the last step of an epoch, which may have fewer; ``None``: as any other.
        epoch_steps: optimiser steps of one pass over the examples; of a stream 0.
        equal_shapes: whether all batches but the last have one shape.
        patience: stop after so many evaluations without a better score; ``None``: never.
    """

    steps: int
    eval_steps: int
    best: str
    greater_is_better: bool
    rate: str
    amount: int
    epoch_steps: int = 0
    equal_shapes: bool = False
    patience: int | None = None
    last_amount: int | None = None

    def amount_at(self, step: int) -> int:
        """What step number ``step``, from 1 on, sees."""
        ends_epoch = self.epoch_steps and step % self.epoch_steps == 0
        return self.amount if self.last_amount is None or not ends_epoch else self.last_amount


def total_steps(config: Training, num_examples: int) -> int:
    """Optimiser steps of a whole run on all processes, counted as Trainer counts them."""
    return config.max_steps or math.ceil(steps_an_epoch(config, num_examples) * config.num_train_epochs)


def steps_an_epoch(config: Training, num_examples: int) -> int:
    """Optimiser steps of one pass over the examples."""
    batches = math.ceil(num_examples / (config.per_device_train_batch_size * ranks.count()))
    return math.ceil(batches / config.gradient_accumulation_steps)


def examples_a_step(config: Training) -> int:
    """The effective batch: examples of one optimiser step, on all processes."""
    return config.per_device_train_batch_size * config.gradient_accumulation_steps * ranks.count()


def batch_told(config: Training) -> str:
    """``48 examples (6 on each of 2 devices, 4 times accumulated)``."""
    each, times, processes = (
        config.per_device_train_batch_size,
        config.gradient_accumulation_steps,
        ranks.count(),
    )
    told = many(examples_a_step(config), "example")
    if examples_a_step(config) == each:
        return told
    where = f"{each} on each of {processes} devices" if processes > 1 else f"{each} at once"
    return f"{told} ({where}{f', {times} times accumulated' if times > 1 else ''})"


def steps_for_tokens(config: Training, examples: Any, wanted: int) -> tuple[int, int]:
    """The optimiser steps that it takes to see ``wanted`` tokens, and how many those steps see.

    Exact, as the order of the examples is known beforehand; examples that do not tell their ``lengths`` are taken to
    be equally long.

    Args:
        examples: with ``num_tokens``, and ``lengths`` where those differ.
    """
    each_epoch = steps_an_epoch(config, len(examples))
    epoch, missing = divmod(wanted, examples.num_tokens)
    if not missing:
        return epoch * each_epoch, wanted
    order = order_of(examples, config.per_device_train_batch_size, config.seed)
    order.set_epoch(epoch)
    lengths = getattr(order, "lengths", None)  # those of this epoch, where epochs differ
    if lengths is None:
        lengths = np.full(len(examples), examples.num_tokens / len(examples))
    seen = np.cumsum(lengths[list(order)])
    a_step = examples_a_step(config)
    steps = min(int(np.searchsorted(seen, missing)) // a_step + 1, each_epoch)
    last = min(steps * a_step, len(examples)) - 1
    return epoch * each_epoch + steps, epoch * examples.num_tokens + round(float(seen[last]))
