"""Rows filled with examples."""

import numpy as np
import pytest

from llmctl.objectives.packing import pack


def test_the_longest_come_first_and_each_goes_where_it_fits_best() -> None:
    assert pack(np.array([3, 6, 4, 2, 5]), 10) == [[1, 2], [4, 0, 3]]
    assert pack(np.array([10, 10]), 10) == [[0], [1]]
    assert pack(np.array([], dtype=np.int64), 10) == []


@pytest.mark.parametrize("size", [16, 100, 1024])
def test_every_example_is_in_one_row_and_no_row_is_too_long(size: int) -> None:
    lengths = np.random.default_rng(size).integers(1, size + 1, 2000)
    rows = pack(lengths, size)
    assert sorted(example for row in rows for example in row) == list(range(2000))
    sums = [int(lengths[row].sum()) for row in rows]
    assert max(sums) <= size
    assert len(rows) <= np.ceil(lengths.sum() / size) * 11 / 9 + 1, "the bound of best fit decreasing"
