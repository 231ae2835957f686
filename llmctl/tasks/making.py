"""How the entries of the catalogue are written."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from llmctl.tasks.kinds import KINDS, Defaults, Task

CONVERTED = "refs/convert/parquet"
"""Where the Hub keeps its own conversion of a data set whose main branch is a loading script."""

MULTILINGUAL_ENCODER = "distilbert/distilbert-base-multilingual-cased"


def of(kind: str, **columns: str) -> Callable[..., Task]:
    """A maker of tasks of one kind whose data sets have these columns.

    What it makes takes the name, the data, the number of training examples, the licence and a summary, and by name
    any other field of :class:`Task`; ``columns`` are put over those given here.
    """

    def make(name: str, data: str, examples: int, licence: str, summary: str, **more: Any) -> Task:
        merged = columns | more.pop("columns", {})
        return Task(name, kind, data, merged, examples=examples, licence=licence, summary=summary, **more)

    return make


def defaults(kind: str, **changes: Any) -> Defaults:
    """The kind's defaults but for ``changes``."""
    return replace(KINDS[kind].defaults, **changes)
