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
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch.utils.data import Sampler
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import SaveStrategy

from llmctl.config import Training
from llmctl.errors import ConfigError, ModelError, RunError
from llmctl.objectives import Objective
from llmctl.progress import SILENT
from llmctl.runs import RunDir

LOGS_A_RUN = 100
_BATCHES_GROUPED = (
    50  # examples of like length are looked for among so many batches, as Trainer's own sampler does
)


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
        patience: stop after so many evaluations without a better score; ``None``: never.
    """

    steps: int
    eval_steps: int
    best: str
    greater_is_better: bool
    rate: str
    amount: int
    patience: int | None = None


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
        # Trainer counts the targets of all accumulated batches only for a loss function of the caller's.
        super().__init__(
            data_collator=objective.collate,
            eval_dataset=validation,
            compute_loss_func=objective.loss,
            **kwargs,
        )
        self.objective = objective
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss = self.objective.loss(model, inputs, num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # gradients are averaged over processes
        return (loss, None) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        """Batches of like length where the examples' lengths differ."""
        lengths = getattr(self.train_dataset, "lengths", None)
        if lengths is None:
            return super()._get_train_sampler(train_dataset)
        return LikeLengths(lengths, self.args.train_batch_size, self.args.seed)

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


class LikeLengths(Sampler[int]):
    """A random order in which neighbours are of like length; every example once an epoch.

    The order depends on the seed and the epoch alone, so that a resumed run repeats it.

    Args:
        lengths: (N,) tokens of each example.
        batch_size: examples a batch.
        seed: of the order.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        """Shuffle, sort within stretches of 50 batches, then shuffle the batches; the longest comes first."""
        draw = np.random.default_rng([self.seed, self.epoch])
        order = draw.permutation(len(self.lengths))
        stretch = self.batch_size * _BATCHES_GROUPED
        # The last stretch holds a whole batch at least, so that the batch that is not whole holds short examples.
        cuts = range(stretch, len(order) - self.batch_size + 1, stretch)
        batches = []
        for part in np.split(order, cuts):
            part = part[np.argsort(-self.lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        whole = [batch for batch in batches if len(batch) == self.batch_size]
        rest = [batch for batch in batches if len(batch) < self.batch_size]
        if whole:  # what does not fit in memory fails at the first step
            first = max(range(len(whole)), key=lambda i: self.lengths[whole[i]].max())
            whole[0], whole[first] = whole[first], whole[0]
            shuffled = [whole[0], *(whole[1 + i] for i in draw.permutation(len(whole) - 1))]
        for batch in [*(shuffled if whole else []), *rest]:
            yield from batch.tolist()


class Recorder(TrainerCallback):
    """Appends each event to ``metrics.jsonl`` and tells it to the person who watches.

    Speed is measured over training steps alone: evaluations and saves are left out.
    """

    def __init__(self, path: Path, tell: Callable[[Mapping[str, Any]], None], plan: Plan) -> None:
        self.path = path
        self.tell = tell
        self.plan = plan
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
            done = self._steps * self.plan.amount
            event[f"{self.plan.rate}_per_second"] = round(done / max(self._seconds, 1e-9), 1)
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


def num_processes() -> int:
    """Ranks that train together."""
    return int(PartialState().num_processes)


def total_steps(config: Training, num_examples: int) -> int:
    """Optimiser steps of a whole run on all processes, counted as Trainer counts them."""
    return config.max_steps or math.ceil(steps_an_epoch(config, num_examples) * config.num_train_epochs)


def steps_an_epoch(config: Training, num_examples: int) -> int:
    """Optimiser steps of one pass over the examples."""
    batches = math.ceil(num_examples / (config.per_device_train_batch_size * num_processes()))
    return math.ceil(batches / config.gradient_accumulation_steps)


def make_arguments(config: Training, run: RunDir, plan: Plan, *, validated: bool) -> TrainingArguments:
    """The ``TrainingArguments`` of a run: the config's own words, and what follows from them.

    Args:
        config: every field that is not ``None`` is passed on under its own name.
        run: its ``checkpoints`` is the output directory.
        plan: see :class:`Plan`.
        validated: whether there is a validation split.

    Raises:
        ConfigError: the library refuses a value, ``save_steps`` is no multiple of ``eval_steps``, or nothing is
            evaluated that could stop the training early.
    """
    given = {item.name: getattr(config, item.name) for item in fields(Training)}
    given = {name: value for name, value in given.items() if value is not None}
    given["report_to"] = list(config.report_to) or "none"
    given.setdefault("eval_steps", plan.eval_steps)
    given.setdefault("save_steps", given["eval_steps"])
    given.setdefault("logging_steps", max(1, plan.steps // LOGS_A_RUN))
    given.setdefault("bf16", torch.cuda.is_available() and torch.cuda.is_bf16_supported())
    given["load_best_model_at_end"] = config.load_best_model_at_end and validated
    if plan.patience and not validated:
        raise ConfigError(
            "early_stopping_patience: there is no validation split to judge by",
            hint="leave it out, or --validation-data FILE",
        )
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
            metric_for_best_model=plan.best if validated else None,
            greater_is_better=plan.greater_is_better if validated else None,
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
    return max(complete, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was saved at."""
    return int(checkpoint.name.rpartition("-")[2])


def _restore(trainer: ObjectiveTrainer, checkpoint: Path) -> None:
    """Leave the trainer as the last step left it: Trainer itself would train one step more."""
    trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    trainer._load_from_checkpoint(str(checkpoint.parent / Path(best).name if best else checkpoint))


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
    watch: Callable[[int], Any],
) -> ObjectiveTrainer:
    """Train ``model``, from the run's last checkpoint if it has one; leaves the best weights in it.

    Args:
        watch: ``Progress.training``: given the number of steps, a context that yields a function for events.

    Raises:
        StoppedError: a signal ended the training early; a checkpoint is saved.
        ModelError: the loss became NaN or infinite.
    """
    arguments = make_arguments(config, run, plan, validated=validation is not None)
    stop = StopOnSignal()
    checkpoint = last_checkpoint(run)
    with watch(plan.steps) as tell, stop.listening():
        trainer = ObjectiveTrainer(
            objective=objective,
            model=model,
            args=arguments,
            train_dataset=training,
            validation=validation,
            callbacks=[Recorder(run.metrics, tell, plan), stop],
        )
        if plan.patience:
            trainer.add_callback(EarlyStoppingCallback(plan.patience))
        if checkpoint and step_of(checkpoint) >= plan.steps:
            _restore(trainer, checkpoint)
        else:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if stop.number is not None and trainer.state.global_step < plan.steps:
        raise StoppedError(trainer.state.global_step, run, stop.number, command)
    return trainer
