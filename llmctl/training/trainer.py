"""The Trainer we use, and the only place that builds ``TrainingArguments``.

Trainer's loop is used as it is. What it does not do is added in one named place each: the objective's loss and
evaluation, ``metrics.jsonl``, batches of like length, and an orderly end on SIGINT and SIGTERM.
"""

import json
import math
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import SaveStrategy

from llmctl.config import Training
from llmctl.errors import ConfigError
from llmctl.objectives import Objective
from llmctl.progress import SILENT
from llmctl.runs import RunDir
from llmctl.training import muon, speed
from llmctl.training.callbacks import NOT_FINISHED, Recorder, StopOnSignal, StoppedError
from llmctl.training.deadline import Deadline
from llmctl.training.lion import Lion
from llmctl.training.plan import Plan
from llmctl.training.sampling import WithEpoch, order_of
from llmctl.training.schedules import schedule_settings
from llmctl.training.streaming import STATE, Pass, Reached, Stream

LOGS_A_RUN = 100
MUON = "muon"
LION = "lion"
_OURS = (
    "time_limit",
    "num_decay_steps",
    "min_lr_rate",
    "lr_power",
)  # what ``TrainingArguments`` does not know


class ObjectiveTrainer(Trainer):
    """Trainer whose loss and evaluation are the objective's."""

    optimizer: Any

    def __init__(self, *, objective: Objective, validation: Any, optim: str, **kwargs: Any) -> None:
        # Trainer counts the targets of all accumulated batches only for a loss function of the caller's.
        super().__init__(
            data_collator=objective.collate,
            eval_dataset=validation,
            compute_loss_func=objective.loss,
            **kwargs,
        )
        self.objective = objective
        self.optim = optim
        self._clipped: list[torch.Tensor] = []
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss = self.objective.loss(model, inputs, num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # gradients are averaged over processes
        return (loss, None) if return_outputs else loss

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Muon and Lion, which the library does not know, where they are asked for."""
        if self.optim == LION:
            self.optimizer_cls_and_kwargs = (Lion, {"lr": self.args.learning_rate})
        if self.optim == MUON and self.optimizer is None:
            chosen = self.model if model is None else model
            decayed = set(self.get_decay_parameter_names(chosen))
            _, settings = self.get_optimizer_cls_and_kwargs(self.args, chosen)
            groups = muon.parameter_groups(chosen, decayed, self.args.weight_decay)
            self.optimizer = muon.Muon(groups, **settings)
        found: torch.optim.Optimizer = super().create_optimizer(model)
        return found

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[Any] | None:
        """Batches of like length where the examples' lengths differ; the epoch too for examples that change with it."""
        examples: Any = self.train_dataset
        order = order_of(examples, self.args.train_batch_size, self.args.seed)
        return WithEpoch(order) if getattr(examples, "changes_by_epoch", False) else order

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        self._clipped.append(norm > self.args.max_grad_norm)  # a tensor: the device is not waited for
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As Trainer's, with the share of the steps since the last time whose gradients were clipped."""
        if "grad_norm" in logs and self._clipped:
            logs["clipped"] = round(float(torch.stack(self._clipped).float().mean()), 3)
            self._clipped = []
        super().log(logs, start_time)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """As Trainer's; of a stream, which makes its batches itself, a plain one."""
        if not isinstance(self.train_dataset, Stream):
            loader: DataLoader[Any] = super().get_train_dataloader()
            return loader
        return DataLoader(
            self.train_dataset,
            batch_size=None,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
            # Its start draws a number, which must not come of the numbers that dropout draws from: after a resume
            # these would be others.
            generator=torch.Generator(),
        )

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        started = time.perf_counter()
        self._show_kept_weights()
        with self.accelerator.autocast():
            scores = self.objective.evaluate(self.model, self.eval_dataset, progress=SILENT)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        metrics[f"{metric_key_prefix}_runtime"] = round(time.perf_counter() - started, 3)
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._show_kept_weights()
        super()._save_checkpoint(model, trial)

    def _finalize_training(self, *args: Any) -> Any:
        self._show_kept_weights()
        return super()._finalize_training(*args)

    def _show_kept_weights(self) -> None:
        """Schedule-Free trains other weights than those to be judged and kept; each step of training switches back."""
        if hasattr(self.optimizer, "eval"):
            self.optimizer.eval()


def make_arguments(config: Training, run: RunDir, plan: Plan, *, validated: bool) -> TrainingArguments:
    """The ``TrainingArguments`` of a run: the config's own words, and what follows from them.

    Args:
        config: every field that is not ``None`` and that the library knows is passed on under its own name.
        run: its ``checkpoints`` is the output directory.
        plan: see :class:`Plan`.
        validated: whether there is a validation split.

    Raises:
        ConfigError: the library refuses a value, ``save_steps`` is no multiple of ``eval_steps``, nothing is
            evaluated that could stop the training early, or warm-up and decay are longer than the run.
    """
    given = {item.name: getattr(config, item.name) for item in fields(Training)}
    given = {name: value for name, value in given.items() if value is not None and name not in _OURS}
    given["max_steps"] = plan.steps
    if config.optim in (MUON, LION):
        given["optim"] = "adamw_torch_fused"  # with Muon the rule of the weights that are no matrices
    given["report_to"] = list(config.report_to) or "none"
    given.setdefault("eval_steps", plan.eval_steps)
    given.setdefault("save_steps", given["eval_steps"])
    given.setdefault("logging_steps", max(1, plan.steps // LOGS_A_RUN))
    given |= schedule_settings(config, plan.steps)
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


def counted_before(run: RunDir) -> Pass | None:
    """What an earlier session of a run counted of its stream."""
    checkpoint = last_checkpoint(run)
    if checkpoint is None or not (checkpoint / STATE).exists():
        return None
    found = json.loads((checkpoint / STATE).read_text())["pass"]
    return Pass(*found) if found else None


def remove_checkpoints(run: RunDir) -> int:
    """Remove the checkpoints of a finished run; what a tracker wrote beside them stays.

    Returns:
        How many bytes that freed.
    """
    freed = 0
    for checkpoint in run.checkpoints.glob("checkpoint-*"):
        freed += sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())
        shutil.rmtree(checkpoint, ignore_errors=True)
    with suppress(OSError):  # not empty
        run.checkpoints.rmdir()
    return freed


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was saved at."""
    return int(checkpoint.name.rpartition("-")[2])


def _restore(trainer: ObjectiveTrainer, checkpoint: Path) -> None:
    """Leave the trainer as the last step left it: Trainer itself would train one step more."""
    trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    trainer._load_from_checkpoint(str(checkpoint.parent / Path(best).name if best else checkpoint))


def _follow(trainer: ObjectiveTrainer, stream: Stream, checkpoint: Path | None) -> None:
    """Have a stream know how far the training is, and begin where its last checkpoint was written."""
    arguments = trainer.args
    arguments.ignore_data_skip = True
    trainer.add_callback(Reached(stream))
    if checkpoint:
        stream.go_to(step_of(checkpoint) * arguments.gradient_accumulation_steps, checkpoint / STATE)


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
    watch: Callable[[int, int], Any],
    sample: Callable[[Any], str] | None = None,
) -> ObjectiveTrainer:
    """Train ``model``, from the run's last checkpoint if it has one; leaves the best weights in it.

    Args:
        began: when the run began on the monotonic clock; of a resumed run as if it had never been interrupted.
        ends: when the session's time is over, on the monotonic clock; ``None``: never.
        watch: ``Progress.training``: given the number of steps, and how many are done, a context that yields a
            function for events.
        sample: given the model, a text for a person to read at each evaluation.

    Raises:
        StoppedError: a signal or the time limit ended the training early; a checkpoint is saved.
        ModelError: the loss became NaN or infinite.
    """
    arguments = make_arguments(config, run, plan, validated=validation is not None)
    speed.prepare(model, config)
    stop, deadline = StopOnSignal(), Deadline(math.inf if ends is None else ends)
    checkpoint = last_checkpoint(run)
    done = step_of(checkpoint) if checkpoint else 0
    with watch(plan.steps, done) as tell, stop.listening():
        trainer = ObjectiveTrainer(
            objective=objective,
            optim=config.optim,
            model=model,
            args=arguments,
            train_dataset=training,
            validation=validation,
            callbacks=[Recorder(run.metrics, tell, plan, began, sample), stop, deadline],
        )
        if plan.patience:
            trainer.add_callback(EarlyStoppingCallback(plan.patience))
        if isinstance(training, Stream):
            _follow(trainer, training, checkpoint)
        if checkpoint and done >= plan.steps:
            _restore(trainer, checkpoint)
        else:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    step = trainer.state.global_step
    if stop.number is not None and step < plan.steps:
        raise StoppedError(f"stopped at step {step:,}", run, command, exit_code=128 + stop.number)
    if deadline.reached and step < plan.steps:
        place = f"time limit reached: stopped at step {step:,} of {plan.steps:,}"
        raise StoppedError(place, run, command, exit_code=NOT_FINISHED)
    return trainer
