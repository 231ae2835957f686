"""The batch that several processes come to together."""

import pytest

from llmctl.workflows.asked_processes import fitting_batch


@pytest.mark.parametrize(
    ("wanted", "processes", "most", "expected"),
    [
        (64, 2, 6, 4),
        (64, 1, 6, 4),
        (512, 64, 6, 4),
        (12, 3, 6, 4),
        (12, 2, 6, 6),
        (4, 2, 6, 2),
        (62, 2, 6, None),  # 31 each, a prime: one at once would take six times as long
        (7, 2, 6, None),
    ],
)
def test_the_largest_batch_that_fits_is_taken(
    wanted: int, processes: int, most: int, expected: int | None
) -> None:
    assert fitting_batch(wanted, processes, most) == expected
