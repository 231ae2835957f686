"""The catalogue of tasks: which data, which columns, which metrics. Pure data.

A *kind* is a kind of problem (``classification``, ``ner``, ...); a *task* is a kind with its data. A kind's own name is
a task too: it takes the data from ``--data``.
"""

from llmctl.errors import ConfigError
from llmctl.tasks.catalogue import TASKS
from llmctl.tasks.kinds import KINDS, Defaults, Kind, Task

__all__ = [
    "KINDS",
    "TASKS",
    "Defaults",
    "Kind",
    "Task",
    "best_metric_of",
    "defaults_of",
    "find_kind",
    "find_task",
    "metrics_of",
]


def find_task(name: str) -> Task:
    """The task called ``name``; for a kind's name, that kind without data.

    Case and punctuation do not matter: ``SST-2`` is ``sst2``, ``STS-B`` is ``stsb``.

    Raises:
        ConfigError: there is no such task; the hint names the nearest.
    """
    of_own_data = (Task(kind.name, kind.name, summary=kind.summary) for kind in KINDS.values())
    for task in (*of_own_data, *TASKS.values()):
        if _squashed(task.name) == _squashed(name):
            return task
    from llmctl.recipe import suggestion

    near = suggestion(name, [*TASKS, *KINDS])
    raise ConfigError(
        f"no task {name!r}",
        hint=near or "llmctl tasks lists them; your own data: --task classification --data FILE",
    )


def find_kind(name: str) -> Kind:
    """The kind of problem called ``name``.

    Raises:
        ConfigError: there is no such kind; the hint lists them.
    """
    if name not in KINDS:
        raise ConfigError(f"no kind {name!r}", hint=f"the kinds: {', '.join(KINDS)}")
    return KINDS[name]


def metrics_of(task: Task) -> tuple[str, ...]:
    """The metrics that the task is judged by, the first matters most."""
    return task.metrics or KINDS[task.kind].metrics


def best_metric_of(task: Task) -> str:
    """The score that decides which checkpoint is best."""
    return task.metric_for_best_model or KINDS[task.kind].metric_for_best_model


def defaults_of(task: Task) -> Defaults:
    """What is chosen where nothing is asked for."""
    return task.defaults or KINDS[task.kind].defaults


def _squashed(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
