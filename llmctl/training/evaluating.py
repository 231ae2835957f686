"""An evaluation within a training: it ends when a signal comes, and leaves the random numbers to the training."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from llmctl.progress import Silent


class CutShortError(Exception):
    """A signal came while the model was evaluated."""


class UntilStopped(Silent):
    """Tells nobody anything, and ends the work at hand when it is to stop.

    Raises:
        CutShortError: at the next advance of a bar, then.
    """

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self.stopped = stopped

    def bar(self, description: str, total: int | None, unit: str) -> Any:
        def advance(count: int) -> None:
            if self.stopped():
                raise CutShortError

        return nullcontext(advance)


@contextmanager
def undrawn() -> Iterator[None]:
    """Whatever is drawn meanwhile, be it at an import: what is drawn afterwards is the same.

    A run that goes on evaluates other than at first: with all its libraries imported anew, or from the middle on.
    """
    python, numpy = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
