"""A training from its beginning, or from a checkpoint, to its end."""

import math
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache
from transformers import EarlyStoppingCallback

from llmctl import ranks
from llmctl.config import Training
from llmctl.data.splits import NOTES_TOLD
from llmctl.errors import NOT_FINISHED, ModelError
from llmctl.objectives import Objective
from llmctl.progress import Progress
from llmctl.runs import RunDir
from llmctl.training import speed
from llmctl.training.arguments import make_arguments
from llmctl.training.callbacks import Recorder, StopOnSignal, StoppedError
from llmctl.training.checkpoints import Checkpoint, CheckpointError
from llmctl.training.deadline import Deadline
from llmctl.training.finite import Finite
from llmctl.training.plan import Plan
from llmctl.training.strategies import check_strategy
from llmctl.training.streaming import STATE, Reached, Stream
from llmctl.training.trainer import ObjectiveTrainer

# torch says RuntimeError where it is no accelerator's
_NO_MEMORY = ("can't allocate memory", "out of memory")


class OutOfMemoryError(ModelError):
    """A step did not fit into memory."""

    def __init__(self, config: Training, step: int, reason: str) -> None:
        batch, accumulation = config.per_device_train_batch_size, config.gradient_accumulation_steps
        super().__init__(
            f"out of memory at step {step:,} with batches of {batch} (--per-device-train-batch-size): {reason}",
            hint="--auto-batch-size makes them smaller and sums more of them up"
            + (f"; now --gradient-accumulation-steps is {accumulation}" if accumulation > 1 else "")
            + ("" if config.activation_checkpointing else "; --activation-checkpointing needs less memory"),
        )


def fit(
    config: Training,
    run: RunDir,
    plan: Plan,
    *,
    model: Any,
    objective: Objective,
    training: Any,
    validation: Any | None,
    command: str,
    began: float,
    ends: float | None,
    checkpoint: Checkpoint | None,
    progress: Progress,
    sample: Callable[[Any], str] | None = None,
) -> ObjectiveTrainer:
    """Train ``model``, from a checkpoint if there is one; leaves the best weights in it.

    Args:
        began: when the run began on the monotonic clock; of a resumed run as if it had never been interrupted.
        ends: when the session's time is over, on the monotonic clock; ``None``: never.
        sample: given the model, a text for a person to read at each evaluation.

    Raises:
        StoppedError: a signal or the time limit ended the training early; a checkpoint is saved.
        ConfigError: the processes share the model otherwise than ``--strategy`` says.
        ModelError: a loss or gradient became NaN or infinite.
        OutOfMemoryError: a step did not fit into memory.
        CheckpointError: a checkpoint could not be written.
    """
    arguments = make_arguments(config, run, plan, validated=validation is not None, model=model)
    speed.prepare(model, config)
    stop, deadline = StopOnSignal(), Deadline(math.inf if ends is None else ends)
    with progress.training(plan.steps, checkpoint.step if checkpoint else 0, run) as tell, stop.listening():
        # Rank 0 alone would wait for ever for the weights that the others hold.
        recorder = Recorder(run.metrics, tell, plan, began, sample if config.strategy == "ddp" else None)
        finite = Finite(
            config.on_nonfinite,
            recorder.note,
            lambda batch: trainer.examples_of(batch, plan.epoch_steps),
            lambda: trainer.leave_out(),
        )
        trainer = ObjectiveTrainer(
            objective=objective,
            optim=config.optim,
            run=run,
            resume=f"llmctl {command} --resume {run.path}",
            finite=finite,
            stopped=stop.asked,
            progress=progress,
            model=model,
            args=arguments,
            train_dataset=training,
            validation=validation,
            callbacks=[recorder, finite, stop, deadline],
        )
        check_strategy(trainer.accelerator, config)
        if plan.patience:
            trainer.add_callback(EarlyStoppingCallback(plan.patience))
        if isinstance(training, Stream):
            _follow(trainer, training, checkpoint)
        with trainer.saves:
            _train(trainer, config, checkpoint, plan)
    _tell_skipped(finite, progress)
    step = trainer.state.global_step
    if stop.asked() and stop.number:
        raise StoppedError(f"stopped at step {step:,}", run, command, exit_code=128 + stop.number)
    if deadline.reached and step < plan.steps:
        place = f"time limit reached: stopped at step {step:,} of {plan.steps:,}"
        raise StoppedError(place, run, command, exit_code=NOT_FINISHED)
    return trainer


def _train(trainer: ObjectiveTrainer, config: Training, checkpoint: Checkpoint | None, plan: Plan) -> None:
    try:
        if checkpoint and checkpoint.step >= plan.steps:
            trainer.restore(checkpoint.path)
        else:
            with memory_told(trainer, config):
                trainer.train(resume_from_checkpoint=str(checkpoint.path) if checkpoint else None)
    except pickle.UnpicklingError as error:  # the libraries read weights only
        assert checkpoint
        raise CheckpointError(
            f"{checkpoint.path} holds more than numbers, which could run code: it is not read",
            hint="go on only with runs of your own",
        ) from error


@contextmanager
def memory_told(trainer: ObjectiveTrainer, config: Training) -> Iterator[None]:
    """Have a step that does not fit into memory say so.

    Raises:
        OutOfMemoryError: one does not.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        step = trainer.state.global_step + 1
        raise OutOfMemoryError(config, step, str(error).partition("\n")[0]) from error


def free_memory() -> None:
    """Give back what a training that did not fit into memory held, on the device too."""
    clear_device_cache(garbage_collection=True)


def _follow(trainer: ObjectiveTrainer, stream: Stream, checkpoint: Checkpoint | None) -> None:
    """Have a stream know how far the training is, and begin where its last checkpoint was written."""
    run, progress = trainer.run, trainer.progress

    def lost(lines: list[str]) -> None:
        environment = run.read_environment()
        known = environment.get("bad_shards", [])
        for line in lines[: max(NOTES_TOLD - len(known), 0)]:
            progress.warn(line)
        if ranks.is_first():
            environment["bad_shards"] = [*known, *lines]
            run.write_environment(environment)

    trainer.args.ignore_data_skip = True
    trainer.add_callback(Reached(stream, checkpoint.step if checkpoint else 0, lost))
    if checkpoint:
        stream.go_to(checkpoint.path / STATE)


def _tell_skipped(finite: Finite, progress: Progress) -> None:
    if finite.skipped:
        progress.warn(f"{finite.skipped:,} steps were left out: their loss or gradient was not finite")
    if finite.empty:
        progress.warn(f"{finite.empty:,} steps were left out: their batches had no target to learn from")


def _is_out_of_memory(error: BaseException) -> bool:
    told = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        part in told for part in _NO_MEMORY
    )
