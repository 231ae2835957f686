"""Training: the plan, the order of the examples, the Trainer we use, and what happens at its steps."""

from llmctl.training.arguments import make_arguments
from llmctl.training.callbacks import Recorder, StopOnSignal, StoppedError
from llmctl.training.checkpoints import Checkpoint, CheckpointError, check_space, clean_up
from llmctl.training.checkpoints import newest as newest_checkpoint
from llmctl.training.checkpoints import remove_all as remove_checkpoints
from llmctl.training.finite import bad_weight
from llmctl.training.fitting import OutOfMemoryError, fit, free_memory
from llmctl.training.mixture import Mixture
from llmctl.training.plan import (
    Plan,
    batch_told,
    examples_a_step,
    steps_an_epoch,
    steps_for_tokens,
    total_steps,
)
from llmctl.training.rates import FALL, HIGHEST, LOWEST, STEPS, RateCurve, rate_curve
from llmctl.training.sampling import LikeLengths, Shuffled, order_of
from llmctl.training.speed import describe, for_this_machine
from llmctl.training.strategies import check_strategy, whole_weights
from llmctl.training.streaming import Pass, Stream, counted
from llmctl.training.trainer import ObjectiveTrainer

__all__ = [
    "FALL",
    "HIGHEST",
    "LOWEST",
    "STEPS",
    "Checkpoint",
    "CheckpointError",
    "LikeLengths",
    "Mixture",
    "ObjectiveTrainer",
    "OutOfMemoryError",
    "Pass",
    "Plan",
    "RateCurve",
    "Recorder",
    "Shuffled",
    "StopOnSignal",
    "StoppedError",
    "Stream",
    "bad_weight",
    "batch_told",
    "check_space",
    "check_strategy",
    "clean_up",
    "counted",
    "describe",
    "examples_a_step",
    "fit",
    "for_this_machine",
    "free_memory",
    "make_arguments",
    "newest_checkpoint",
    "order_of",
    "rate_curve",
    "remove_checkpoints",
    "steps_an_epoch",
    "steps_for_tokens",
    "total_steps",
    "whole_weights",
]
