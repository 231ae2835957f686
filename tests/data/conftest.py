"""What the tests of text and tokens share."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from llmctl.config import PretrainConfig
from llmctl.data.documents import Documents
from llmctl.data.load import load_text


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
        self, total_steps: int
    ) -> AbstractContextManager[Callable[[Mapping[str, Any]], None]]:  # pragma: no cover
        raise AssertionError("loading data trains nothing")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def load(tmp_path: Path, told: Told) -> Callable[..., dict[str, Documents]]:
    """``load_text`` of a source, with a cache of the test's own and nothing held out unless asked."""

    def load_source(source: str | Path, **settings: Any) -> dict[str, Documents]:
        config = PretrainConfig(**{"validation_fraction": 0.0, "data": str(source), **settings})
        return load_text(config, progress=told, cache_dir=tmp_path / "cache")

    return load_source
