"""kill -9 at any instant: the run goes on by itself, and is the run that was never killed, to the last bit.

``pytest -m soak tests/soak/test_kills.py`` takes some forty minutes; a few cases are in every run of the tests.
"""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak.conftest import Whole
from tests.soak.forks import COUNTED, Fault, Forks
from tests.soak.tiny_runs import KINDS, outcome

KILLS = 50
BOUNDARIES = {"causal": "/runs/"}
"""Whose changes are the boundaries: all of the run's; of the other kinds those of one checkpoint."""


@pytest.mark.parametrize(
    ("kind", "kills"),
    [("causal", 2), *(pytest.param(kind, KILLS, marks=pytest.mark.soak) for kind in KINDS)],
)
def test_killed_at_any_instant_it_goes_on_by_itself(
    forks: Forks, whole: Callable[[str], Whole], place: Path, kind: str, kills: int
) -> None:
    """Some are killed again, and again, while they go on."""
    run, expected, seconds = whole(kind)
    draw, struck, trials = random.Random(0), 0, 0
    while struck < kills:
        ended = run.start(forks, place, after=draw.uniform(0, seconds))
        while ended.code < 0:
            struck += 1
            again = draw.uniform(0, seconds) if draw.random() < 0.3 else 600.0
            ended = run.start(forks, place, after=again)
        assert ended.code == 0, ended.stderr
        assert outcome(run.run_in(place)) == expected, f"trial {trials}"
        shutil.rmtree(place)
        trials += 1


@pytest.mark.parametrize(
    ("kind", "every"),
    [("causal", 45), *(pytest.param(kind, 1, marks=pytest.mark.soak) for kind in KINDS)],
)
def test_killed_between_two_changes_it_goes_on_by_itself(
    forks: Forks, whole: Callable[[str], Whole], place: Path, kind: str, every: int
) -> None:
    """Before each file that is written, moved or removed."""
    run, expected, _ = whole(kind)
    under = BOUNDARIES.get(kind, "checkpoint-6")
    counted = run.start(forks, place, fault=Fault("kill", 0, under)).stderr
    changes = [line for line in counted.splitlines() if line.startswith(COUNTED)]
    assert len(changes) > 10
    for number in range(every // 2 + 1, len(changes) + 1, every):
        shutil.rmtree(place)
        ended = run.start(forks, place, fault=Fault("kill", number, under))
        assert ended.code < 0, changes[number - 1]
        run.finish(forks, place)
        assert outcome(run.run_in(place)) == expected, changes[number - 1]
