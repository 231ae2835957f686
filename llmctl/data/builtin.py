"""The catalogue of data sets that are generated on the spot: no download, no files, the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Builtin:
    """What the catalogue says of one generated data set.

    Attributes:
        name: what follows ``builtin:`` in a source.
        description: one line for listings.
        default_size: how many documents there are when no size is asked for.
        columns: the names of what a document consists of, in the order the generator yields it.
    """

    name: str
    description: str
    default_size: int
    columns: tuple[str, ...]


CATALOGUE: dict[str, Builtin] = {
    entry.name: entry
    for entry in (
        Builtin("stories", "small children's stories in simple English", 3_200, ("text",)),
        Builtin(
            "reviews",
            "short English reviews, labelled 1 (positive) or 0 (negative)",
            4_000,
            ("text", "label"),
        ),
    )
}


def stories(size: int, *, seed: int = 0) -> Iterator[str]:
    """Yield `size` stories; number i depends on (`seed`, i) alone: a longer run begins like a shorter one."""
    from llmctl.data.stories import stories as generate

    return generate(size, seed=seed)


def reviews(size: int, *, seed: int = 0) -> Iterator[tuple[str, int]]:
    """Yield `size` (text, label) reviews, half of them positive (1); see `stories` for `seed`."""
    from llmctl.data.reviews import reviews as generate

    return generate(size, seed=seed)
