"""How the examples of an epoch are dealt out to several ranks: each exactly once, whatever their number."""

import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from torch.utils.data import DataLoader, Dataset, Sampler

from llmctl.training.sampling import Shuffled

STAND_IN = "stand_in"
"""The key of a batch that stands in for none: it takes part in the step and counts nothing."""


class _StandIn(NamedTuple):
    place: Any


class Dealt(Sampler[list[Any]]):
    """The batches of one rank: every N-th of an order, so that N ranks see in a step what one sees in N batches.

    What is left at the end of an epoch is shared out evenly. A rank for which nothing is left stands in with an example
    of another's, as all ranks must take part in a step.

    Args:
        order: of the examples, the same on all ranks.
        batch_size: examples a batch.
    """

    def __init__(self, order: Shuffled, batch_size: int, *, rank: int, num_ranks: int) -> None:
        self.order = order
        self.batch_size = batch_size
        self.rank = rank
        self.num_ranks = num_ranks

    def set_epoch(self, epoch: int) -> None:
        self.order.set_epoch(epoch)

    def __len__(self) -> int:
        return -(-len(self.order) // (self.batch_size * self.num_ranks))

    def __iter__(self) -> Iterator[list[Any]]:
        places, together = list(self.order), self.batch_size * self.num_ranks
        for begin in range(0, len(places), together):
            part = places[begin : begin + together]
            size = -(-len(part) // self.num_ranks)
            yield part[self.rank * size : (self.rank + 1) * size] or [_StandIn(part[0])]


class _WithStandIns(Dataset[Any]):
    def __init__(self, examples: Any) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, _StandIn):
            return _StandIn(self.examples[place.place])
        return self.examples[place]


def _collate(collate: Callable[[list[Any]], dict[str, Any]], examples: list[Any]) -> dict[str, Any]:
    if isinstance(examples[0], _StandIn):
        return {**collate([example.place for example in examples]), STAND_IN: True}
    return collate(examples)


def hear_no_signal(worker: int, begin: Callable[[int], None] | None = None) -> None:
    """Begin a process that loads data, as a ``worker_init_fn``: signals are for the rank, which still needs it then.

    Terminals and launchers send them to all processes, and torch ends the rank whose loader was ended by one.

    Args:
        begin: what else is to be done.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if begin:
        begin(worker)


def dealt_loader(
    examples: Any, collate: Callable[[list[Any]], dict[str, Any]], dealt: Dealt, **how: Any
) -> DataLoader[Any]:
    """The batches of one rank; ``how``: as ``DataLoader`` takes it."""
    loader = DataLoader(
        _WithStandIns(examples),
        batch_sampler=dealt,
        collate_fn=partial(_collate, collate),
        worker_init_fn=hear_no_signal,
        **how,
    )
    loader.set_epoch = dealt.set_epoch  # Trainer tells it the epoch
    return loader
