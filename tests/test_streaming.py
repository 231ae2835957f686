"""A stream of examples across sessions: nothing is learnt from twice, nothing is left out."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmctl import ranks
from llmctl.data.stream import Buffer, Place, Position
from llmctl.training.streaming import STATE, Stream

BUFFERS = (20, 31, 7, 26, 44, 9, 40, 40, 40)
START = Place({"text": Position()}, {"text": 0})


class Numbered:
    """Examples that are their own numbers, of one to five tokens."""

    changes_by_epoch = False

    def __init__(self, numbers: range) -> None:
        self.numbers = numbers
        self.sizes = self.lengths = np.array([size_of(number) for number in numbers])
        self.num_tokens = int(self.sizes.sum())

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> int:
        return self.numbers[index]


def size_of(number: int) -> int:
    return number * number % 5 + 1


def buffers(place: Place) -> Generator[Buffer, None, None]:
    """The numbers from 0 on, in buffers of several sizes; how many were read is the place's."""
    for which in range(place.drawn["text"], len(BUFFERS)):
        begin = sum(BUFFERS[:which])
        documents: Any = {"text": range(begin, begin + BUFFERS[which])}
        yield Buffer(documents, Place(place.positions, {"text": which + 1}), False)


def session(
    file: Path, monkeypatch: pytest.MonkeyPatch, *, batch_size: int, world_size: int, steps: int
) -> list[int]:
    """What a session of so many ranks learns from in so many steps, from where the one before it was saved."""
    monkeypatch.setenv("WORLD_SIZE", str(world_size))
    monkeypatch.setattr(ranks, "beside", lambda: ThreadPoolExecutor(1))
    learnt: list[int] = []
    for rank in reversed(range(world_size)):  # the first saves last
        monkeypatch.setenv("RANK", str(rank))
        learn: Any = Numbered
        stream = Stream(buffers, learn, START, batch_size=batch_size, seed=3, fingerprint="", lost={})
        if file.exists():
            stream.go_to(file)
        before = stream.num_tokens
        mine = list(islice(stream, steps))
        assert len(mine) == steps
        learnt += [number for batch in mine for number in batch]
    stream.reach(steps * world_size)
    assert stream.num_tokens - before == sum(map(size_of, learnt))
    stream.save(file)
    return learnt


@pytest.mark.parametrize(
    "sessions",
    [
        [(6, 2, 5), (6, 1, 8), (6, 3, 3)],  # (batch size, ranks, steps)
        [(8, 1, 1), (4, 1, 9), (16, 2, 2), (1, 1, 10)],
        [(20, 1, 1), (3, 2, 4), (3, 2, 6)],  # the first ends with its buffer
    ],
)
def test_sessions_of_other_batches_and_ranks_go_on_at_the_very_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sessions: list[tuple[int, int, int]]
) -> None:
    learnt: list[int] = []
    for batch_size, world_size, steps in sessions:
        learnt += session(
            tmp_path / STATE, monkeypatch, batch_size=batch_size, world_size=world_size, steps=steps
        )
    assert len(set(learnt)) == len(learnt)
    ends = np.cumsum(BUFFERS)
    whole = int(ends[np.searchsorted(ends, len(learnt), side="right") - 1])
    assert whole <= len(learnt)
    assert set(range(whole)) <= set(learnt), "all of each buffer that was learnt from to its end"
    assert len(learnt) > max(BUFFERS)
