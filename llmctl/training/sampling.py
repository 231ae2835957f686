"""The order in which examples are seen."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Sampler

# Examples of like length are looked for among so many batches, as Trainer's own sampler does.
_BATCHES_GROUPED = 50


class Shuffled(Sampler[Any]):
    """A random order, every example once an epoch.

    The order depends on the seed and the epoch alone, so that a resumed run repeats it.

    Args:
        count: examples.
        seed: of the order.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        yield from np.random.default_rng([self.seed, self.epoch]).permutation(self.count).tolist()


class LikeLengths(Shuffled):
    """A random order in which neighbours are of like length.

    Args:
        lengths: (N,) tokens of each example.
        batch_size: examples a batch.
        seed: of the order.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        super().__init__(len(lengths), seed)
        self.lengths = lengths
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[Any]:
        """Shuffle, sort within stretches of 50 batches, then shuffle the batches; the longest comes first."""
        draw = np.random.default_rng([self.seed, self.epoch])
        order = draw.permutation(len(self.lengths))
        stretch = self.batch_size * _BATCHES_GROUPED
        # The last stretch holds a whole batch at least, so that the batch that is not whole holds short examples.
        cuts = range(stretch, len(order) - self.batch_size + 1, stretch)
        batches = []
        for part in np.split(order, cuts):
            part = part[np.argsort(-self.lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        whole = [batch for batch in batches if len(batch) == self.batch_size]
        rest = [batch for batch in batches if len(batch) < self.batch_size]
        if whole:  # what does not fit in memory fails at the first step
            first = max(range(len(whole)), key=lambda i: self.lengths[whole[i]].max())
            whole[0], whole[first] = whole[first], whole[0]
            shuffled = [whole[0], *(whole[1 + i] for i in draw.permutation(len(whole) - 1))]
        for batch in [*(shuffled if whole else []), *rest]:
            yield from batch.tolist()


class LikeLengthsIn(LikeLengths):
    """As :class:`LikeLengths`, of examples that are others in each epoch.

    Args:
        examples: a data set with ``lengths_in(epoch)``.
    """

    def __init__(self, examples: Any, batch_size: int, seed: int) -> None:
        super().__init__(examples.lengths_in(0), batch_size, seed)
        self.examples = examples

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.lengths = self.examples.lengths_in(epoch)


def order_of(examples: Any, batch_size: int, seed: int) -> Shuffled:
    """The order of a training set: batches of like length where the examples tell their ``lengths``."""
    lengths = getattr(examples, "lengths", None)
    if lengths is None:
        return Shuffled(len(examples), seed)
    if hasattr(examples, "lengths_in"):
        return LikeLengthsIn(examples, batch_size, seed)
    return LikeLengths(lengths, batch_size, seed)


class WithEpoch(Shuffled):
    """The order of another sampler, each index together with its epoch: for examples that differ by epoch."""

    def __init__(self, order: Shuffled) -> None:
        super().__init__(len(order), order.seed)
        self.order = order

    def __iter__(self) -> Iterator[Any]:
        self.order.set_epoch(self.epoch)
        for index in self.order:
            yield self.epoch, index
