"""What a fine-tuning is asked for: checked, and completed by what the task, its kind and the method say."""

from dataclasses import replace
from typing import Any

from llmctl import runs
from llmctl.config import FinetuneConfig
from llmctl.errors import ConfigError
from llmctl.limits import check_length
from llmctl.metrics.names import check_names, on_hub
from llmctl.tasks import KINDS, Task, best_metric_of, defaults_of, find_task, metrics_of
from llmctl.workflows import asked_model, asked_optimiser
from llmctl.workflows.train import shape_given

# a new model's architecture where only its size is asked for; encoders of one text are BERTs
NEW_ARCHITECTURES = {"seq2seq": "marian", "chat": "llama"}
# options that only some kinds' losses know
_OPTIONS_OF_LOSSES = {
    "packing": ("chat",),
    "class_weights": ("classification", "ner"),
    "label_smoothing_factor": ("classification", "multilabel", "ner", "summarization", "translation", "chat"),
}


def task_of(config: Any) -> Task:
    """The task that ``config`` asks for.

    Raises:
        ConfigError: none is named, or a kind of problem without data.
    """
    if not config.task:
        raise ConfigError(
            "no task is named",
            hint="--task sst2 (llmctl tasks lists them), or --task classification --data FILE",
        )
    task = find_task(config.task)
    if not task.data and not config.data:
        raise ConfigError(
            f"--task {task.name} names a kind of problem: whose data?",
            hint="--data FILE, or a task of the catalogue: llmctl tasks",
        )
    return task


def check_asked(config: FinetuneConfig) -> None:
    """Find what is wrong without importing the heavy libraries.

    Raises:
        ConfigError: naming the option or path.
    """
    from llmctl import heads, methods, models

    task = task_of(config)
    methods.check(config, task.kind)
    _check_loss(config, task.kind)
    check_names(config.metric, task.kind)
    if config.metric_for_best_model not in (None, "loss"):
        if on_hub(config.metric_for_best_model):
            raise ConfigError(
                f"metric_for_best_model: {config.metric_for_best_model} is computed at the end, not during a training",
                hint="a score of llmctl's own, or loss; --metric takes those of the Hub",
            )
        check_names((config.metric_for_best_model,), task.kind)
    objective = KINDS[task.kind].objective
    if config.model:
        heads.check_base(models.find_source(config.model, runs.runs_dir(config.runs_dir)))
        check_lengths(config, asked_model.check_loaded(config, objective))
    elif architecture := settled(config).architecture:
        asked_model.check_new(config, objective, architecture, block_size=config.max_length or 1)


def check_lengths(config: FinetuneConfig, positions: int | None) -> None:
    """Refuse texts longer than the model's positions, of which the method may take some.

    Raises:
        ConfigError: naming the option.
    """
    from llmctl import methods

    check_length("max_length", config.max_length, positions and positions - methods.virtual_tokens(config))
    if KINDS[task_of(config).kind].objective == "seq2seq":
        check_length("max_target_length", config.max_target_length, positions)


def settled(config: FinetuneConfig) -> FinetuneConfig:
    """What the task's kind and the method say where nothing is asked for."""
    from llmctl import methods

    task = task_of(config)
    defaults = defaults_of(task)
    scratch = not config.model and shape_given(config)
    if scratch:
        architecture = config.architecture or NEW_ARCHITECTURES.get(KINDS[task.kind].objective, "bert")
        config = replace(config, architecture=architecture, model_size=config.model_size or "tiny")
    adamw = methods.default_learning_rate(config.method, defaults.learning_rate, scratch=bool(scratch))
    return replace(
        config,
        model=None if scratch else config.model or defaults.model,
        data=config.data or task.data,
        max_target_length=config.max_target_length or defaults.max_target_length,
        metric=config.metric or metrics_of(task),
        metric_for_best_model=config.metric_for_best_model or best_metric_of(task),
        num_train_epochs=config.num_train_epochs or defaults.num_train_epochs,
        per_device_train_batch_size=config.per_device_train_batch_size
        or defaults.per_device_train_batch_size,
        lr_scheduler_type=asked_optimiser.schedule_of(config),
        learning_rate=config.learning_rate or asked_optimiser.rate_of(config.optim, adamw),
    )


def _check_loss(config: FinetuneConfig, kind: str) -> None:
    """Refuse what the kind's loss does not know, or not with that method.

    Raises:
        ConfigError: naming the option.
    """
    for name, kinds in _OPTIONS_OF_LOSSES.items():
        if getattr(config, name) not in (False, "none", 0.0) and kind not in kinds:
            raise ConfigError(
                f"{name} means nothing for {kind} (--task {config.task})",
                hint=f"leave --{name.replace('_', '-')} out: it is for {', '.join(kinds)}",
            )
    if config.packing and config.method in ("prefix", "prompt"):
        raise ConfigError(
            f"packing: with --method {config.method} conversations of one row would see each other",
            hint="leave --packing out, or use --method lora",
        )


def judged_as_asked(config: FinetuneConfig, objective: Any) -> Any:
    """The objective with the metrics that are asked for, else with its own, which fit the labels."""
    task = task_of(config)
    best = config.metric_for_best_model
    if config.metric == metrics_of(task) and best == best_metric_of(task):
        return objective
    asked = replace(objective.task, metrics=config.metric, metric_for_best_model=best)
    return replace(objective, task=asked)


def check_best(objective: Any, validation: Any) -> None:
    """Refuse a score that can decide nothing because these data do not yield it.

    Raises:
        ConfigError: naming those that they do.
    """
    from llmctl.workflows.judge import baseline

    best = best_metric_of(objective.task)
    scores = {} if best == "loss" else baseline(objective, validation, (best,))
    if scores and best not in scores:
        raise ConfigError(
            f"metric_for_best_model: {best} is no single score of these data",
            hint=f"there are {', '.join(scores)}, and loss",
        )
