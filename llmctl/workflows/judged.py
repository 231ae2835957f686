"""What is judged: the data that an evaluation reads, and where its scores go."""

import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llmctl import runs
from llmctl.config import EvalConfig, FinetuneConfig, PredictConfig, options
from llmctl.errors import ConfigError
from llmctl.progress import Progress
from llmctl.recipe import resolve
from llmctl.runs import RunDir
from llmctl.tasks import Task, defaults_of

if TYPE_CHECKING:
    from llmctl.models import Source
    from llmctl.objectives.task import TaskObjective

SPLITS = ("train", "validation", "test")
SettingsT = TypeVar("SettingsT")


def recipe_of(run_dir: RunDir | None) -> FinetuneConfig | None:
    """The recipe of a run of ``llmctl finetune``; ``None`` for other runs and for what is none."""
    if run_dir is None or run_dir.command() != "finetune":
        return None
    return resolve(FinetuneConfig, run_dir.recipe, {})


def with_given(settings: SettingsT, config: EvalConfig | PredictConfig) -> SettingsT:
    """``settings``, a config, with every option of the same name that ``config`` asks for."""
    names = {item.name for item in fields(settings)}  # type: ignore[arg-type]
    given = {
        item.name: getattr(config, item.name)
        for item in options(type(config))
        if item.name in names and config.asks_for(item.name)
    }
    return replace(settings, **given)  # type: ignore[type-var]


def read_alike(one: Any, other: Any, kind: type) -> bool:
    """Whether two configs agree in every field of ``kind``."""
    return all(getattr(one, item.name) == getattr(other, item.name) for item in fields(kind))


def one_split(
    load: Callable[..., dict[str, Any]],
    settings: Any,
    split: str | None,
    *,
    name: str,
    own: bool,
    progress: Progress,
    **options: Any,
) -> tuple[str | None, Any]:
    """Return the name and the content of the split that is asked for; else validation, else all there is.

    Other data than a run's own that has no splits has no name of one either.

    Args:
        load: ``load_text`` or ``load_examples``.
        settings: what it reads.
        name: of the data, for messages.
        own: whether it is the data that a run was trained with.
        options: passed on to ``load``.

    Raises:
        ConfigError: there is no such split.
    """
    for wanted in [split] if split else ["validation", "train"]:
        found = load(settings, **options, progress=progress, cache_dir=runs.cache_dir(), wanted={wanted})
        if wanted in found:
            return wanted if own or found[wanted].name != name else None, found[wanted]
    raise ConfigError(
        f"{name} has no {split or 'validation'} split", hint="leave --split out, or name another"
    )


def place_of_scores(
    run_dir: RunDir, split: str | None, judged: Any, *, as_trained: bool, progress: Progress
) -> Path:
    """Where a run's scores go: ``eval/<split>.json`` for the data it was trained with.

    Other data gets a name of its own, so that no score takes the place of another's.

    Args:
        judged: documents or examples.
        as_trained: whether they were read just as the run read its own.
    """
    recorded = run_dir.read_environment().get("data", {}).get(split, {}).get("fingerprint")
    if recorded == judged.fingerprint:
        return run_dir.eval / f"{split}.json"
    if as_trained and recorded:
        progress.warn(
            f"the {split} data is not the one that {run_dir.name} was trained with: it has changed since"
        )
    name = re.sub(r"[^\w.]+", "-", Path(judged.name).name).strip("-.")[:60]
    return run_dir.eval / f"{name}-{judged.fingerprint[:8]}.json"


def load_judged(
    source: "Source", task: Task, settings: FinetuneConfig, config: EvalConfig | PredictConfig
) -> "tuple[Any, TaskObjective]":
    """Return a model with its trained head, and the objective that it was trained for.

    Args:
        settings: how examples become tensors; what it leaves open is the kind's, at most what the model can read.

    Raises:
        ModelError: it has no such head, or not a trained one.
    """
    from llmctl import heads
    from llmctl.inference import num_positions
    from llmctl.objectives import task_objective

    objective = task_objective(task)
    root = runs.runs_dir(config.runs_dir)
    loaded = heads.load_with_head(source, objective.model_class, runs_dir=root, bf16=config.bf16)
    wanted = settings.max_length or defaults_of(task).max_length
    settings = replace(settings, max_length=min(wanted, num_positions(loaded.model) or wanted))
    return loaded.model, objective.for_model(task, settings, loaded.tokenizer, loaded.model.config)
