"""What ranks do together, tried with threads that take each other for processes."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import pytest

from llmctl import ranks
from llmctl.data.encode import Encoder
from llmctl.data.readers import Piece
from llmctl.errors import DataError, LlmctlError
from tests.tiny import EOS, byte_tokenizer

Together = Callable[[int, Callable[[], Any]], list[Any]]


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> Together:
    """What each of so many ranks returns, or raises."""
    mine = threading.local()

    def run(count: int, work: Callable[[], Any]) -> list[Any]:
        barrier = threading.Barrier(count, timeout=20)
        board: list[Any] = [None] * count

        def gather(value: Any) -> list[Any]:
            board[mine.index] = value
            barrier.wait()
            found = list(board)
            barrier.wait()
            return found

        def be(index: int) -> Any:
            mine.index = index
            try:
                return work()
            except Exception as error:
                return error

        monkeypatch.setattr(ranks, "count", lambda: count)
        monkeypatch.setattr(ranks, "index", lambda: mine.index)
        monkeypatch.setattr(ranks, "gather", gather)
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(be, range(count)))

    return run


def doubled(numbers: Iterator[int]) -> Iterator[int]:
    """Each twice, reading one ahead."""
    before = next(numbers, None)
    for number in chain(numbers, [None]):
        if before is not None:
            yield 2 * before
        before = number


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("items", [0, 1, 4, 5, 6, 11])
def test_pooled_work_comes_in_order_on_every_rank(together: Together, count: int, items: int) -> None:
    found = together(count, lambda: list(ranks.pooled(range(items), doubled)))
    assert found == [[2 * number for number in range(items)]] * count


def failing(error: Exception) -> Callable[[Iterator[int]], Iterator[int]]:
    def work(numbers: Iterator[int]) -> Iterator[int]:
        for number in numbers:
            if number == 4:
                raise error
            yield number

    return work


def test_an_error_of_one_rank_is_raised_on_all(together: Together) -> None:
    for error in (DataError("a broken shard", hint="mend it"), MemoryError("no more")):
        learnt: list[int] = []

        def take(error: Exception = error, learnt: list[int] = learnt) -> None:
            learnt.extend(ranks.pooled(range(9), failing(error)))

        raised = together(3, take)
        assert raised[1] is error
        others = [raised[0], raised[2]]
        assert all(isinstance(other, LlmctlError) for other in others)
        assert sorted(learnt) == sorted(3 * [0, 1, 2, 3])
    assert [other.message for other in others] == ["rank 1: MemoryError: no more"] * 2


def test_ranks_that_read_other_text_are_told_so(together: Together) -> None:
    """A shard that one of them cannot read, and leaves out: its own pieces would stand in wrong places."""
    encoder = Encoder(byte_tokenizer().backend_tokenizer, EOS)

    def read(lost: int) -> list[int]:
        pieces = [Piece(f"document {number}", True) for number in range(9)]
        if ranks.index() == 1:
            del pieces[4 : 4 + lost]
        batches = encoder.batches(iter(pieces), documents=2, together=True)
        return [int(token) for batch in batches for token in batch.tokens]

    [alone] = together(1, lambda: read(0))
    assert together(2, lambda: read(0)) == [alone, alone]
    for lost in (1, 2, 3):
        errors = [
            found for found in together(2, lambda lost=lost: read(lost)) if isinstance(found, DataError)
        ]
        assert errors
        assert errors[0].message.startswith("the processes do not read the same text")
