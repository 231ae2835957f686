"""Evaluations within a training."""

import random

import numpy as np
import pytest
import torch

from llmctl.training.evaluating import CutShortError, UntilStopped, undrawn


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def test_what_is_drawn_within_changes_nothing_that_is_drawn_after() -> None:
    seed()
    expected = drawn()
    seed()
    with undrawn():
        drawn()
    assert drawn() == expected
    seed()
    with pytest.raises(ZeroDivisionError), undrawn():
        raise ZeroDivisionError(drawn())
    assert drawn() == expected


def test_it_ends_at_the_next_advance_when_it_is_to_stop() -> None:
    stop = False
    with UntilStopped(lambda: stop).bar("judging", 3, "rows") as advance:
        advance(1)
        stop = True
        with pytest.raises(CutShortError):
            advance(1)
