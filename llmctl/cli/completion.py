"""What the shell offers for a word that is not whole yet; nothing heavy is imported for it."""

from collections.abc import Callable, Iterable
from dataclasses import Field
from pathlib import Path
from typing import Any

from llmctl.recipe import kind_of

Complete = Callable[[str], list[str]]


def completion_of(item: Field[Any]) -> Complete | None:
    """What completes the values of a config field; ``None``: nothing does."""
    kind = kind_of(item.type)
    if kind.choices:
        return lambda incomplete: _beginning(incomplete, kind.choices)
    if item.name in _NAMES:
        names = _NAMES[item.name]
        return lambda incomplete: [
            *_beginning(incomplete, names()),
            *(paths(incomplete) if item.metadata["path"] else []),
        ]
    return paths if item.metadata["path"] else None


def paths(incomplete: str) -> list[str]:
    """Files and folders; hidden ones where the word begins with a dot."""
    folder, _, start = incomplete.rpartition("/")
    try:
        entries = sorted(Path(folder or ("/" if incomplete.startswith("/") else ".")).iterdir())
    except OSError:
        return []
    prefix = incomplete[: len(incomplete) - len(start)]
    return [
        f"{prefix}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in entries
        if entry.name.startswith(start) and (start or not entry.name.startswith("."))
    ]


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def _runs() -> list[str]:
    from llmctl import runs

    return [run.name for run in runs.list_runs(runs.runs_dir(None))]


def _tasks() -> list[str]:
    from llmctl.tasks import KINDS, TASKS

    return [*KINDS, *TASKS]


def _kinds() -> list[str]:
    from llmctl.tasks import KINDS

    return list(KINDS)


_NAMES = {
    "task": _tasks,
    "name": _tasks,  # of llmctl tasks
    "kind": _kinds,
    "model": _runs,
    "resume": _runs,
    "run": _runs,  # of llmctl runs verify
    "tokenizer": _runs,
}
