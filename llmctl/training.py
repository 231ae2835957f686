"""The Trainer we use, and the only place that builds ``TrainingArguments``.

Trainer's loop is used as it is. What it does not do is added in one named place each: the objective's loss and
evaluation, ``metrics.jsonl``, and an orderly end on SIGINT and SIGTERM.
"""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from llmctl.config import PretrainConfig, Training
from llmctl.errors import ConfigError, ModelError, RunError
from llmctl.objectives import Objective
from llmctl.progress import SILENT
from llmctl.runs import RunDir

EVALUATIONS_A_RUN = 5
LOGS_A_RUN = 100


class StoppedError(RunError):
    """The training ended early, in order, on a signal; its checkpoint is saved."""

    label = ""

    def __init__(self, step: int, run: RunDir, number: int, command: str) -> None:
        super().__init__(
            f"stopped at step {step}, checkpoint saved in {run.checkpoints}",
            hint=f"go on: llmctl {command} --resume {run.path}",
        )
        self.exit_code = 128 + number


class ObjectiveTrainer(Trainer):
    """Trainer whose loss and evaluation are the objective's."""

    def __init__(self, *, objective: Objective, validation: Any, **kwargs: Any) -> None:
        super().__init__(data_collator=objective.collate, eval_dataset=validation, **kwargs)
        self.objective = objective
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss = self.objective.loss(model, inputs, num_items_in_batch)
        return (loss, None) if return_outputs else loss

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        started = time.perf_counter()
        with self.accelerator.autocast():
            scores = self.objective.evaluate(self.model, self.eval_dataset, progress=SILENT)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        metrics[f"{metric_key_prefix}_runtime"] = round(time.perf_counter() - started, 3)
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class Recorder(TrainerCallback):
    """Appends each event to ``metrics.jsonl`` and tells it to the person who watches.

    Speed is measured over training steps alone: evaluations and saves are left out.
    """

    def __init__(self, path: Path, tell: Callable[[Mapping[str, Any]], None], tokens_a_step: int) -> None:
        self.path = path
        self.tell = tell
        self.tokens_a_step = tokens_a_step
        self._steps = 0
        self._seconds = 0.0
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._seconds += time.perf_counter() - self._began
        self._steps += 1

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        event = {"step": state.global_step, "time": round(time.time(), 3), **logs}
        if "loss" in event:
            if not math.isfinite(event["loss"]):
                raise ModelError(
                    f"the loss is {event['loss']} at step {state.global_step}; no later checkpoint is kept",
                    hint="lower --learning-rate, or raise --warmup-steps",
                )
            event["tokens_per_second"] = round(self._steps * self.tokens_a_step / max(self._seconds, 1e-9), 1)
            self._steps, self._seconds = 0, 0.0
        if state.is_world_process_zero:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")
            self.tell(event)


class StopOnSignal(TrainerCallback):
    """SIGINT and SIGTERM finish the step and save; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            signal.signal(number, self._heard)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heard(self, number: int, frame: Any) -> None:
        if self.number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.number is not None:
            control.should_save = True
            control.should_training_stop = True


def total_steps(config: Training, num_examples: int) -> int:
    """Optimiser steps of a whole run on all processes, counted as Trainer counts them."""
    if config.max_steps:
        return config.max_steps
    batches = math.ceil(num_examples / (config.per_device_train_batch_size * PartialState().num_processes))
    a_epoch = math.ceil(batches / config.gradient_accumulation_steps)
    return math.ceil(a_epoch * config.num_train_epochs)


def make_arguments(config: Training, run: RunDir, *, steps: int, validated: bool) -> TrainingArguments:
    """The ``TrainingArguments`` of a run: the config's own words, and what follows from them.

    Args:
        config: every field that is not ``None`` is passed on under its own name.
        run: its ``checkpoints`` is the output directory.
        steps: optimiser steps of the whole run.
        validated: whether there is a validation split.

    Raises:
        ConfigError: the library refuses a value, or ``save_steps`` is no multiple of ``eval_steps``.
    """
    given = {item.name: getattr(config, item.name) for item in fields(Training)}
    given = {name: value for name, value in given.items() if value is not None}
    given["report_to"] = list(config.report_to) or "none"
    given.setdefault("eval_steps", max(1, steps // EVALUATIONS_A_RUN))
    given.setdefault("save_steps", given["eval_steps"])
    given.setdefault("logging_steps", max(1, steps // LOGS_A_RUN))
    given.setdefault("bf16", torch.cuda.is_available() and torch.cuda.is_bf16_supported())
    given["load_best_model_at_end"] = config.load_best_model_at_end and validated
    if given["load_best_model_at_end"] and given["save_steps"] % given["eval_steps"]:
        raise ConfigError(
            f"save_steps {given['save_steps']} is no multiple of eval_steps {given['eval_steps']}, "
            "so the best model could not be kept",
            hint="make it one, or --no-load-best-model-at-end",
        )
    try:
        return TrainingArguments(
            output_dir=str(run.checkpoints),
            run_name=run.name,
            eval_strategy="steps" if validated else "no",
            save_strategy=SaveStrategy.STEPS,
            metric_for_best_model="loss" if validated else None,
            greater_is_better=False if validated else None,
            logging_nan_inf_filter=False,
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=torch.cuda.is_available(),
            **given,
        )
    except (ValueError, ImportError) as error:
        raise ConfigError(f"the training's settings are refused: {error}") from error


def last_checkpoint(run: RunDir) -> Path | None:
    """The newest complete checkpoint: the one of the highest step whose state, written last, is there."""
    complete = [path.parent for path in run.checkpoints.glob("checkpoint-*/trainer_state.json")]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def fit(
    config: PretrainConfig,
    run: RunDir,
    *,
    model: Any,
    objective: Objective,
    training: Any,
    validation: Any | None,
    command: str,
    watch: Callable[[int], Any],
) -> ObjectiveTrainer:
    """Train ``model``, from the run's last checkpoint if it has one; leaves the best weights in it.

    Args:
        watch: ``Progress.training``: given the number of steps, a context that yields a function for events.

    Raises:
        StoppedError: a signal ended the training early; a checkpoint is saved.
        ModelError: the loss became NaN or infinite.
    """
    steps = total_steps(config, len(training))
    arguments = make_arguments(config, run, steps=steps, validated=validation is not None)
    a_device = config.per_device_train_batch_size * config.gradient_accumulation_steps * config.block_size
    tokens_a_step = a_device * PartialState().num_processes
    stop = StopOnSignal()
    checkpoint = last_checkpoint(run)
    with watch(steps) as tell, stop.listening():
        trainer = ObjectiveTrainer(
            objective=objective,
            model=model,
            args=arguments,
            train_dataset=training,
            validation=validation,
            callbacks=[Recorder(run.metrics, tell, tokens_a_step), stop],
        )
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if stop.number is not None and trainer.state.global_step < steps:
        raise StoppedError(trainer.state.global_step, run, stop.number, command)
    return trainer
