"""What the tests of text, tokens and examples share."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from llmctl.config import PretrainConfig
from llmctl.config.data import TaskData
from llmctl.data.documents import Documents
from llmctl.data.examples import Examples, load_examples
from llmctl.data.load import load_text
from llmctl.tasks import find_task

LoadExamples = Callable[..., dict[str, Examples]]


class Told:
    """A Progress that keeps what it is told, and the names of the bars."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.bars: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    warn = note

    def bar(
        self, description: str, total: int | None, unit: str
    ) -> AbstractContextManager[Callable[[int], None]]:
        self.bars.append(description)
        return nullcontext(lambda count: None)

    def training(
        self, total_steps: int, done: int, run: Any
    ) -> AbstractContextManager[Callable[[Mapping[str, Any]], None]]:  # pragma: no cover
        raise AssertionError("loading data trains nothing")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def load(tmp_path: Path, told: Told) -> Callable[..., dict[str, Documents]]:
    """``load_text`` of a source, with a cache of the test's own and nothing held out unless asked."""

    def load_source(source: str | Path | tuple[str, ...], **settings: Any) -> dict[str, Documents]:
        data = source if isinstance(source, tuple) else str(source)
        config = PretrainConfig(**{"validation_fraction": 0.0, "data": data, **settings})
        return load_text(config, progress=told, cache_dir=tmp_path / "cache")

    return load_source


@pytest.fixture
def examples(tmp_path: Path, told: Told) -> LoadExamples:
    """``load_examples`` of a source, with a cache of the test's own and nothing held out unless asked."""

    def load(task: str, source: str | Path, labelled: bool = True, **settings: Any) -> dict[str, Examples]:
        wanted = settings.pop("wanted", ("train", "validation", "test"))
        config = TaskData(**{"validation_fraction": 0.0, "task": task, "data": str(source), **settings})
        return load_examples(
            config,
            find_task(task),
            progress=told,
            cache_dir=tmp_path / "cache",
            wanted=wanted,
            labelled=labelled,
        )

    return load


def rows(found: Examples, *roles: str) -> list[tuple[Any, ...]]:
    return list(zip(*(found.column(role) for role in roles), strict=True))


def jsonl(path: Path, *values: Any) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path
