"""The story of ``llmctl runs list``: what was trained."""

from dataclasses import asdict, dataclass
from typing import Any

from llmctl import runs
from llmctl.config import RunsListConfig
from llmctl.errors import LlmctlError
from llmctl.metrics.names import greater_is_better
from llmctl.runs import RunDir
from llmctl.tasks import best_metric_of
from llmctl.workflows.asked import task_of
from llmctl.workflows.judged import recipe_of


@dataclass(frozen=True)
class Listed:
    """One run.

    Attributes:
        state: ``finished``, ``running`` (a process trains it now), ``unfinished``, or ``damaged`` where its records
            cannot be read.
        created: when, by ISO 8601.
        step: of the last event.
        metric, score: the best validation score of all steps; ``None``: it was never validated.
    """

    name: str
    command: str
    state: str
    created: str
    step: int
    metric: str | None = None
    score: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run(config: RunsListConfig) -> list[Listed]:
    """All runs, the newest first; those that cannot be read are among them."""
    return [_listed(run_dir) for run_dir in runs.list_runs(runs.runs_dir(config.runs_dir))]


def _listed(run_dir: RunDir) -> Listed:
    try:
        environment = run_dir.read_environment()
        metric = _metric(run_dir)
    except LlmctlError:
        return Listed(run_dir.name, "", "damaged", "", 0)
    step, scores = 0, []
    for event in run_dir.events():
        step = event["step"]
        scores += [value] if isinstance(value := event.get(f"eval_{metric}"), float) else []
    best = (max if greater_is_better(metric) else min)(scores, default=None)
    return Listed(
        name=run_dir.name,
        command=str(environment.get("command", "")),
        state=_state(run_dir),
        created=str(environment.get("created", "")),
        step=step,
        metric=None if best is None else metric,
        score=best,
    )


def _state(run_dir: RunDir) -> str:
    if run_dir.finished:
        return "finished"
    return "running" if run_dir.in_training else "unfinished"


def _metric(run_dir: RunDir) -> str:
    """The validation score that decided which model was best."""
    recipe = recipe_of(run_dir)
    if recipe is None:
        return "loss"
    return recipe.metric_for_best_model or best_metric_of(task_of(recipe))
