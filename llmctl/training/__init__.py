"""Training: the plan, the order of the examples, the Trainer we use, and what happens at its steps."""

from llmctl.training.callbacks import Recorder, StopOnSignal, StoppedError
from llmctl.training.plan import Plan, num_processes, steps_an_epoch, steps_for_tokens, total_steps
from llmctl.training.sampling import LikeLengths, Shuffled, WithEpoch
from llmctl.training.speed import describe, for_this_machine
from llmctl.training.trainer import (
    ObjectiveTrainer,
    fit,
    last_checkpoint,
    make_arguments,
    remove_checkpoints,
)

__all__ = [
    "LikeLengths",
    "ObjectiveTrainer",
    "Plan",
    "Recorder",
    "Shuffled",
    "StopOnSignal",
    "StoppedError",
    "WithEpoch",
    "describe",
    "fit",
    "for_this_machine",
    "last_checkpoint",
    "make_arguments",
    "num_processes",
    "remove_checkpoints",
    "steps_an_epoch",
    "steps_for_tokens",
    "total_steps",
]
