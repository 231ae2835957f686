"""What is told: counts in words."""

import pytest

from llmctl.progress import many


@pytest.mark.parametrize(
    ("count", "nouns", "told"),
    [
        (1, ("step",), "1 step"),
        (0, ("step",), "0 steps"),
        (1234, ("training example",), "1,234 training examples"),
        (1, ("entity", "entities"), "1 entity"),
        (2, ("entity", "entities"), "2 entities"),
    ],
)
def test_one_is_singular(count: int, nouns: tuple[str, ...], told: str) -> None:
    assert many(count, *nouns) == told
