"""Several sources in one training set: shares, rounds, and what is told of them against what is seen."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from llmctl.training import Mixture, Shuffled, order_of


class Words:
    """A training set whose examples say what they are."""

    def __init__(self, name: str, sizes: list[int], *, alike: bool = False, by_epoch: bool = False) -> None:
        self.name = name
        self.sizes = np.array(sizes)
        self.lengths = None if alike else self.sizes
        self.num_tokens = sum(sizes)
        self.changes_by_epoch = by_epoch

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, place: Any) -> tuple[str, Any]:
        return self.name, place


def parts(*, alike: bool = False) -> dict[str, Words]:
    draw = np.random.default_rng(0)
    sizes = {"a": [8] * 99 + [3], "b": [8] * 20} if alike else {}
    sizes = sizes or {"a": draw.integers(2, 40, 300).tolist(), "b": draw.integers(2, 9, 70).tolist()}
    return {name: Words(name, own, alike=alike) for name, own in sizes.items()}


def epoch_of(mixture: Mixture, epoch: int) -> list[tuple[str, Any]]:
    order = order_of(mixture, 4, 0)
    order.set_epoch(epoch)
    return [mixture[epoch, index] for index in order]


def test_without_weights_an_epoch_is_each_example_once() -> None:
    sources = parts()
    mixture = Mixture(sources, None, seed=0)
    everything = {(name, i) for name, own in sources.items() for i in range(len(own))}
    first, second = epoch_of(mixture, 0), epoch_of(mixture, 1)
    assert len(first) == len(mixture) == len(everything)
    assert set(first) == set(second) == everything
    assert first != second
    assert mixture.num_tokens == sum(own.num_tokens for own in sources.values())


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.9, 0.1), (1.0, 9.0), (0.0, 1.0), (3.0, 0.01)])
def test_weights_are_shares_of_the_tokens(weights: tuple[float, float], alike: bool) -> None:
    sources = parts(alike=alike)
    mixture = Mixture(sources, weights, seed=0)
    assert (mixture.lengths is None) == alike
    seen: Counter[tuple[str, Any]] = Counter()
    epochs = 40
    for epoch in range(epochs):
        seen.update(epoch_of(mixture, epoch))
    tokens = {
        name: sum(own.sizes[i] * seen[name, i] for i in range(len(own))) for name, own in sources.items()
    }
    share = weights[0] / sum(weights)
    assert tokens["a"] / sum(tokens.values()) == pytest.approx(share, abs=0.02)
    for name, own in sources.items():
        often = [seen[name, i] for i in range(len(own))]
        assert max(often) - min(often) <= 1, "none is seen twice more often than another"
    wanted = sum(own.num_tokens for own, weight in zip(sources.values(), weights, strict=True) if weight)
    assert sum(tokens.values()) / epochs == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("weights", [None, (0.4, 0.6)])
@pytest.mark.parametrize("further", [0, 1, 17])
def test_what_is_told_is_what_is_seen(weights: Any, alike: bool, further: int) -> None:
    sources = parts(alike=alike)
    mixture = Mixture(sources, weights, seed=3)
    seen = [*epoch_of(mixture, 0), *epoch_of(mixture, 1), *epoch_of(mixture, 2)[:further]]
    expected = [sum(own.sizes[i] for name, i in seen if name == own.name) for own in sources.values()]
    found = mixture.tokens_seen(order_of(mixture, 4, 0), epochs=2, further=further)
    assert found.tolist() == expected


def test_an_example_that_comes_twice_in_an_epoch_is_another_each_time() -> None:
    mixture = Mixture(
        {"a": Words("a", [5] * 4, by_epoch=True), "b": Words("b", [5] * 50)}, (0.5, 0.5), seed=0
    )
    first, second = ([place for name, place in epoch_of(mixture, epoch) if name == "a"] for epoch in (0, 1))
    assert len({*first, *second}) == len(first) + len(second) == 54
    assert {index for _, index in first} == {0, 1, 2, 3}
    assert min(second) == (27 // 4, mixture[1, 0][1][1]), "an epoch goes on where the one before stopped"
    assert {place for name, place in epoch_of(mixture, 0) if name == "b"} <= set(range(50))


def test_order_and_choice_follow_from_seed_and_epoch_alone() -> None:
    one, other = Mixture(parts(), (0.7, 0.3), seed=0), Mixture(parts(), (0.7, 0.3), seed=0)
    epoch_of(one, 5)
    assert epoch_of(one, 2) == epoch_of(other, 2)
    assert epoch_of(one, 0) != epoch_of(Mixture(parts(), (0.7, 0.3), seed=1), 0)


def test_sources_of_blocks_and_of_rows_are_mixed() -> None:
    sources = {"a": Words("a", [8] * 40, alike=True), "b": Words("b", list(range(2, 42)))}
    mixture = Mixture(sources, None, seed=0)
    assert sorted(mixture.lengths_in(0)) == sorted([8] * 40 + list(range(2, 42)))
    assert sorted(epoch_of(mixture, 0)) == sorted((name, i) for name in sources for i in range(40))


def test_examples_of_a_batch_are_of_like_length_in_every_epoch() -> None:
    mixture = Mixture(parts(), (0.5, 0.5), seed=0)
    order = order_of(mixture, 8, 0)
    assert not isinstance(mixture.lengths, type(None))
    for epoch in (0, 3):
        order.set_epoch(epoch)
        lengths = mixture.lengths_in(epoch)[list(order)]
        whole = lengths[: len(lengths) // 8 * 8].reshape(-1, 8)
        mixed = np.random.default_rng(0).permutation(lengths)[: whole.size].reshape(-1, 8)
        assert np.ptp(whole, axis=1).mean() < 0.3 * np.ptp(mixed, axis=1).mean()
    assert isinstance(order, Shuffled)
