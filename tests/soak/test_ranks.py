"""kill -9 and SIGSTOP of a rank: all ends within 30 seconds, and what goes on is the run that was never cut.

``pytest -m soak tests/soak/test_ranks.py`` takes some ten minutes.
"""

import hashlib
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_several_processes import LONG, Started, data, errors_in, started

__all__ = ["data", "started"]
KILLS, STOPS = 20, 5
SECONDS = 30.0


def outcome(training: Started) -> list[str]:
    """SHA-256 of the final weights and optimiser, and the losses."""
    last = training.run.checkpoints / f"checkpoint-{LONG}"
    files = [training.run.model / "model.safetensors", last / "optimizer.pt", last / "rng_state_1.pth"]
    losses = [str((event["step"], event["loss"])) for event in training.run.events() if "loss" in event]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] + losses


@pytest.mark.soak
def test_whatever_becomes_of_a_rank_the_run_goes_on_to_the_same_end(
    started: Callable[..., Started], data: Path, tmp_path: Path
) -> None:
    whole = started()
    code, said = whole.ended(120)
    assert code == 0, said
    expected, draw = outcome(whole), random.Random(0)
    whole.run.path.rename(tmp_path / "whole")
    for kind in draw.sample(["kill"] * KILLS + ["suspend"] * STOPS, KILLS + STOPS):
        training = started().learnt(draw.randrange(30, LONG - 30))
        time.sleep(draw.uniform(0, 0.2))
        began = time.monotonic()
        getattr(training.rank(draw.randrange(2)), kind)()
        code, said = training.ended(SECONDS)
        assert time.monotonic() - began < SECONDS
        assert code == 1, said
        [told] = errors_in(said)
        assert ("was killed (SIGKILL)" if kind == "kill" else "has not answered for") in told
        training.process = training.go_on("--resume", "auto")
        code, said = training.ended(120)
        assert code == 0, said
        assert outcome(training) == expected
        training.run.path.rename(tmp_path / f"done-{time.monotonic()}")
