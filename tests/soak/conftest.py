"""Processes to fork from, and what uninterrupted runs come to: made once."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.soak.forks import Forks
from tests.soak.tiny_runs import TinyRun, outcome, tiny_run


class Whole(NamedTuple):
    """An uninterrupted run: what it came to, and in how many seconds."""

    run: TinyRun
    outcome: dict[str, Any]
    seconds: float


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    served = Forks(tmp_path_factory.mktemp("forks"))
    yield served
    served.close()


@pytest.fixture(scope="session")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Whole]:
    """The uninterrupted run of a kind."""

    @cache
    def found(kind: str) -> Whole:
        place = tmp_path_factory.mktemp(kind)
        run = tiny_run(kind, place)
        ended = run.start(forks, place)
        assert ended.code == 0, ended.stderr
        return Whole(run, outcome(run.run_in(place)), ended.seconds)

    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the runs and prepared data of one trial are."""
    return tmp_path / "trial"
