"""Training sets of several sources as one, in which each has its share of the tokens."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, NamedTuple

import numpy as np

from llmctl.training.sampling import Shuffled


class _Part(NamedTuple):
    """A source's examples, and how many of them an epoch of the mixture takes."""

    examples: Any
    quota: int


class Mixture:
    """A map-style data set over the training sets of several sources.

    With weights an epoch has as many tokens as its sources have together, each source its share of them. Each source
    is passed through again and again, in another random order each time, and an epoch goes on where the one before
    it stopped: so no example is seen twice more often than another of its source. Without weights an epoch is each
    example of every source, once.

    What is seen, and in which order, follows from the seed and the epoch alone.

    Args:
        parts: source -> its training set, with ``sizes`` and ``num_tokens``.
        weights: shares of the tokens, 0 or more, one above 0, in the order of ``parts``; ``None``: no weights.
        seed: of the orders in which the sources are passed through.
    """

    changes_by_epoch: ClassVar[bool] = True

    def __init__(self, parts: Mapping[str, Any], weights: Sequence[float] | None, seed: int) -> None:
        self.sources = tuple(parts)
        quotas = (
            [len(examples) for examples in parts.values()] if weights is None else _quotas(parts, weights)
        )
        self.parts = [_Part(examples, quota) for examples, quota in zip(parts.values(), quotas, strict=True)]
        self.seed = seed
        self._ends = np.cumsum(quotas)
        self._drawn: tuple[int, list[tuple[np.ndarray, np.ndarray]]] | None = None

    def __len__(self) -> int:
        """Examples of an epoch."""
        return int(self._ends[-1])

    @property
    def lengths(self) -> np.ndarray | None:
        """Of the first epoch, as :meth:`lengths_in`; ``None`` where the examples of no source differ in length."""
        return None if all(part.examples.lengths is None for part in self.parts) else self.lengths_in(0)

    @property
    def num_tokens(self) -> int:
        """Tokens of the first epoch; those of others differ by some examples' lengths."""
        return int(self.tokens_in(0).sum())

    @property
    def description(self) -> str:
        return f"{len(self):,} examples of {len(self.parts)} sources an epoch"

    def lengths_in(self, epoch: int) -> np.ndarray:
        """(N,) how long each example of an epoch is, in tokens."""
        found = []
        for part, (_, places) in zip(self.parts, self._chosen(epoch), strict=True):
            lengths = part.examples.lengths
            found.append((part.examples.sizes if lengths is None else lengths)[places])
        return np.concatenate(found)

    def tokens_in(self, epoch: int, indices: np.ndarray | None = None) -> np.ndarray:
        """(S,) tokens of each source in an epoch, or in those of its examples."""
        found = np.zeros(len(self.parts), dtype=np.int64)
        for number, (part, (_, places)) in enumerate(zip(self.parts, self._chosen(epoch), strict=True)):
            if indices is not None:
                end = self._ends[number]
                places = places[indices[(indices >= end - part.quota) & (indices < end)] - (end - part.quota)]
            found[number] = part.examples.sizes[places].sum()
        return found

    def tokens_seen(self, order: Shuffled, epochs: int, further: int) -> np.ndarray:
        """(S,) tokens that are seen of each source in whole epochs and in ``further`` examples of the next."""
        order.set_epoch(epochs)
        rest = np.fromiter(islice(order, further), dtype=np.int64)
        return sum((self.tokens_in(epoch) for epoch in range(epochs)), self.tokens_in(epochs, rest))

    def __getitem__(self, place: tuple[int, int]) -> Any:
        """Example ``index`` of ``epoch``; its source's own rounds count how often that was passed through."""
        epoch, index = place
        number = int(np.searchsorted(self._ends, index, side="right"))
        part = self.parts[number]
        rounds, places = self._chosen(epoch)[number]
        at = index - (int(self._ends[number]) - part.quota)
        chosen = int(places[at])
        if getattr(part.examples, "changes_by_epoch", False):
            return part.examples[int(rounds[at]), chosen]
        return part.examples[chosen]

    def _chosen(self, epoch: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each source the rounds (quota,) and the places (quota,) of its examples in an epoch."""
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = epoch, [self._choice(number, epoch) for number in range(len(self.parts))]
        return self._drawn[1]

    def _choice(self, number: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        examples, quota = self.parts[number]
        rounds, places = np.divmod(np.arange(epoch * quota, (epoch + 1) * quota), len(examples))
        if quota in (0, len(examples)):  # an epoch is a round, whose order is the sampler's
            return rounds, places
        passed = range(int(rounds[0]), int(rounds[-1]) + 1)
        draws = (np.random.default_rng([self.seed, number, one]) for one in passed)
        orders = np.concatenate([draw.permutation(len(examples)) for draw in draws])
        return rounds, orders[int(places[0]) :][:quota]


def _quotas(parts: Mapping[str, Any], weights: Sequence[float]) -> list[int]:
    """Examples of each source an epoch."""
    sets = list(parts.values())
    total = sum(examples.num_tokens for examples, weight in zip(sets, weights, strict=True) if weight)
    shares = [weight / sum(weights) for weight in weights]
    return [
        max(round(share * total * len(examples) / examples.num_tokens), 1) if share else 0
        for examples, share in zip(sets, shares, strict=True)
    ]
