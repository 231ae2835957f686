"""SIGTERM and SIGINT at any instant: the right exit code within ten seconds, and the run goes on to the last bit.

``pytest -m soak tests/soak/test_signals.py`` takes some ten minutes.
"""

import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak.conftest import Whole
from tests.soak.forks import Forks
from tests.soak.tiny_runs import outcome

SIGNALS = 30
SECONDS = 10.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("count", [1, pytest.param(SIGNALS, marks=pytest.mark.soak)])
def test_a_signal_ends_the_run_in_order_and_it_goes_on(
    forks: Forks, whole: Callable[[str], Whole], place: Path, number: int, count: int
) -> None:
    run, expected, seconds = whole("causal")
    draw, heard = random.Random(int(number)), 0
    while heard < count:
        ended = run.start(forks, place, number=number, after=draw.uniform(0.1, seconds))
        if ended.code:
            heard += 1
            assert ended.code == 128 + number, ended.stderr
            assert ended.after_signal < SECONDS
            assert "error" not in ended.stderr, ended.stderr
        run.finish(forks, place)
        assert outcome(run.run_in(place)) == expected, ended.stderr
        shutil.rmtree(place)
