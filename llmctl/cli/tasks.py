"""``llmctl tasks``."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llmctl.cli.options import Verb
from llmctl.config import TasksConfig
from llmctl.errors import ConfigError
from llmctl.tasks import KINDS, TASKS, Task, best_metric_of, defaults_of, find_kind, find_task, metrics_of

if TYPE_CHECKING:
    from llmctl.cli.console import Console

_HEADERS = ("task", "examples", "data", "judged by", "licence")
_NEEDED = 3  # columns that stay however narrow the terminal is


def _check(config: TasksConfig) -> None:
    if config.name and config.kind:
        raise ConfigError(
            "a task's name and --kind exclude each other",
            hint=f"llmctl tasks {config.name} shows one task, llmctl tasks --kind {config.kind} lists a kind",
        )
    if config.name:
        find_task(config.name)
    if config.kind:
        find_kind(config.kind)


def _run(config: TasksConfig, console: "Console") -> None:
    if config.name:
        task = find_task(config.name)
        console.result(_as_json(task), _in_full(task))
        return
    from llmctl.cli.console import fitted, width_of

    kinds = [find_kind(config.kind)] if config.kind else list(KINDS.values())
    blocks, listed = [], []
    for kind in kinds:
        tasks = [task for task in TASKS.values() if task.kind == kind.name]
        heading = fitted(f"{kind.name}: {kind.summary}", sys.stdout)
        blocks.append(f"{heading}\n{_columns([_HEADERS, *map(_row, tasks)], width_of(sys.stdout))}")
        listed += tasks
    console.result({"tasks": [_as_json(task) for task in listed]}, "\n\n".join(blocks))
    console.hint("\none in full:", f"llmctl tasks {listed[0].name}")
    console.hint("your own data:", _command(find_task(kinds[0].name)))


def _row(task: Task) -> tuple[str, ...]:
    return task.name, _rounded(task.examples), task.data, best_metric_of(task), task.licence


def _rounded(count: int) -> str:
    """67349 -> 67k, 3600000 -> 3.6M."""
    if count < 1_000:
        return str(count)
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:
            return f"{count / size:.{1 if count < 9.95 * size else 0}f}{unit}"
    raise AssertionError


def _columns(rows: Sequence[Sequence[str]], room: int | None) -> str:
    """Rows in aligned columns, the second of them numbers; where ``room`` is short, without the last ones."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while room and len(widths) > _NEEDED and sum(widths) + 2 * len(widths) > room:
        widths.pop()
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place == 1 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        line = "  " + "  ".join(cells).rstrip()
        lines.append(line if not room or len(line) <= room else f"{line[: room - 1]}…")
    return "\n".join(lines)


def _command(task: Task) -> str:
    """The command that fine-tunes for the task."""
    return f"llmctl finetune --task {task.name}" + ("" if task.data else " --data FILE")


def _as_json(task: Task) -> dict[str, Any]:
    """The task with all that follows from its kind."""
    return {
        **asdict(task),
        "metrics": list(metrics_of(task)),
        "metric_for_best_model": best_metric_of(task),
        "defaults": asdict(defaults_of(task)),
        "command": _command(task),
    }


def _in_full(task: Task) -> str:
    from llmctl.cli.console import width_of, wrapped

    kind, defaults = KINDS[task.kind], defaults_of(task)
    epochs = f"{defaults.num_train_epochs:g} epoch{'' if defaults.num_train_epochs == 1 else 's'}"
    facts = {
        "kind": f"{kind.name}: {kind.summary}" if task.data else None,
        "data": f"{task.data} ({task.examples:,} training examples)" if task.data else "your own: --data",
        "revision": task.revision,
        "licence": task.licence,
        "columns": _columns_of(task),
        "training split": task.train_split,
        "validation split": task.validation_split,
        "metrics": ", ".join(metrics_of(task)),
        "best model by": best_metric_of(task),
        "default model": defaults.model,
        "training": (
            f"{epochs}, batches of {defaults.per_device_train_batch_size}, "
            f"learning rate {defaults.learning_rate:g} (method full), at most {defaults.max_length:,} tokens"
        ),
        "run": _command(task),
    }
    rows = [f"  {name:<18}{text}" for name, text in facts.items() if text]
    if width := width_of(sys.stdout):
        rows = [wrapped(row, width, " " * 20) for row in rows]
    return "\n".join([f"{task.name}: {task.summary}", *rows])


def _columns_of(task: Task) -> str:
    if task.source_lang and task.target_lang:
        return f"text: {task.source_lang}, target: {task.target_lang}"
    if task.columns:
        return ", ".join(f"{role}: {column}" for role, column in task.columns.items())
    needed = (role for role, needed in KINDS[task.kind].roles.items() if needed)
    return f"{', '.join(needed)}, by their usual names"


LIST = Verb(
    TasksConfig,
    _run,
    check=_check,
    examples=(
        "llmctl tasks",
        "llmctl tasks sst2                 # one in full, with the command to run",
        "llmctl tasks --kind ner --json",
    ),
)
