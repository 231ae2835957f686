"""The story of ``llmctl eval``: a task's scores where there is a task, else the perplexity of text."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmctl import ranks, runs
from llmctl.config import EvalConfig, FinetuneConfig, TaskData, options
from llmctl.errors import ConfigError
from llmctl.metrics.names import check_names
from llmctl.progress import Progress
from llmctl.tasks import Task, find_task, metrics_of
from llmctl.workflows import perplexity
from llmctl.workflows.judged import (
    SPLITS,
    load_judged,
    one_split,
    place_of_scores,
    read_alike,
    recipe_of,
    with_given,
)
from llmctl.workflows.perplexity import TextResult

if TYPE_CHECKING:
    from llmctl.data.examples import Examples
    from llmctl.models import Source
    from llmctl.objectives.task import TaskObjective
    from llmctl.workflows.judge import Judgement


def check(config: EvalConfig) -> None:
    """Find what is wrong without importing the heavy libraries.

    Raises:
        ConfigError, RunError: naming the option or path.
    """
    from llmctl import heads
    from llmctl.models import find_source

    root = runs.runs_dir(config.runs_dir)
    if config.split not in (None, *SPLITS):
        raise ConfigError(f"no split {config.split!r}", hint=f"--split takes {', '.join(SPLITS)}")
    if config.task:
        find_task(config.task)
    if not config.task and (config.model is None or not runs.find(config.model, root)):
        newest = None if config.model else runs.latest_finished(root)
        if newest is None or newest.command() != "finetune":
            perplexity.check(config)
            return
    source = config.model or str(runs.latest_finished(root).path)
    found = find_source(source, root)
    task, settings = _settings(config, recipe_of(found.run))
    if task is None:
        perplexity.check(config)
        return
    from llmctl.data.examples import check_examples_source

    check_examples_source(settings, task)
    check_names(settings.metric, task.kind)
    heads.check_head(
        found, task.kind, hint=f"train one that can: llmctl finetune --task {task.name} --model {found.name}"
    )


def run(config: EvalConfig, *, progress: Progress) -> "Judgement | TextResult":
    """Judge a model; the scores of a run are kept in its ``eval/``.

    Raises:
        ConfigError, RunError, DataError, ModelError: as :func:`check`, and what only data and model tell.
    """
    check(config)
    from llmctl import models

    root = runs.runs_dir(config.runs_dir)
    source = models.find_source(config.model or str(runs.latest_finished(root).path), root)
    task, settings = _settings(config, recipe_of(source.run))
    if task is None:
        return perplexity.run(config, progress=progress)
    if not config.model:
        progress.note(f"model: {source.name} (the newest run)")
    return _judge_task(config, task, settings, source, progress)


def _judge_task(
    config: EvalConfig, task: Task, settings: FinetuneConfig, source: "Source", progress: Progress
) -> "Judgement":
    run_dir, recipe = source.run, recipe_of(source.run)
    own = config.data is None and run_dir is not None and (recipe is None or task.name == recipe.task)
    split, examples = ranks.first_then_others(lambda: _examples(config, task, settings, own, progress))

    from llmctl.workflows.judge import judge

    model, objective = load_judged(source, task, settings, config)
    objective = objective.aligned(examples, progress)
    path = None
    if run_dir:
        as_trained = bool(recipe and not config.max_eval_samples and read_alike(settings, recipe, TaskData))
        path = place_of_scores(run_dir, split, examples, as_trained=as_trained, progress=progress)
    return judge(
        objective,
        model,
        ranks.first_then_others(lambda: objective.encode(examples, progress=progress)),
        split=split,
        name=source.name,
        metrics=_metrics(settings, task, objective),
        num_resamples=settings.num_resamples,
        seed=config.seed,
        path=path,
        progress=progress,
    )


_OF_DATA = ("data", "header", "validation_data", "validation_split")


def _settings(config: EvalConfig, recipe: FinetuneConfig | None) -> tuple[Task | None, FinetuneConfig]:
    """The task, if there is one, and how its examples are read: the run's way, overridden by what is asked for.

    Data of one's own is read with nothing held out of it; the run's columns are not asked of it, nor of another
    task's data.
    """
    name = config.task or (recipe.task if recipe else None)
    if name is None:
        return None, FinetuneConfig()
    task = find_task(name)
    base = recipe or FinetuneConfig(task=name)
    if recipe and (config.data or (task.data and name != recipe.task)):
        elsewhere: dict[str, Any] = {
            item.name: item.default
            for item in options(type(base))
            if item.name.endswith("_column") or item.name in _OF_DATA
        }
        base = replace(base, **elsewhere)
    if config.data and config.split is None:
        base = replace(base, validation_fraction=0.0)
    settings = with_given(base, config)
    if not settings.data and not task.data:
        raise ConfigError(f"--task {task.name} names a kind of problem: whose data?", hint="--data FILE")
    return task, settings


def _examples(
    config: EvalConfig, task: Task, settings: FinetuneConfig, own: bool, progress: Progress
) -> "tuple[str | None, Examples]":
    from llmctl.data.examples import load_examples
    from llmctl.workflows.account import first_examples

    split, examples = one_split(
        load_examples,
        settings,
        config.split,
        name=settings.data or task.data,
        own=own,
        progress=progress,
        task=task,
    )
    limit = config.max_eval_samples
    if limit is None and split and own:  # what the run learnt from and was judged by
        limits = {"train": settings.max_train_samples, "validation": settings.max_eval_samples}
        limit = limits.get(split)
    return split, first_examples(examples, limit, progress)


def _metrics(settings: FinetuneConfig, task: Task, objective: "TaskObjective") -> tuple[str, ...]:
    """Those asked for, of this command or of the run, else the objective's own, which fit the labels."""
    if settings.metric in ((), metrics_of(task)):
        return metrics_of(objective.task)
    return settings.metric
