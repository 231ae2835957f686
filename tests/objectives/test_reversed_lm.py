"""Texts from their end to their beginning."""

import numpy as np
import pytest

from llmctl.data.blocks import Blocks, TokenizedDocuments
from llmctl.objectives.reversed_lm import reversed_texts


def documents(tokens: list[int], *ends: int, prefix: int = 0, suffix: int = 0) -> TokenizedDocuments:
    counts = np.ones(len(ends), dtype=np.int64)
    return TokenizedDocuments(
        np.array(tokens, dtype=np.uint16), np.array(ends), counts, counts, prefix, suffix
    )


@pytest.mark.parametrize(
    ("prefix", "suffix", "expected"),
    [
        (0, 0, [3, 2, 1, 0, 6, 5, 4, 7]),
        (0, 1, [2, 1, 0, 3, 5, 4, 6, 7]),
        (1, 1, [0, 2, 1, 3, 4, 5, 6, 7]),
    ],
)
def test_each_text_is_reversed_and_what_frames_it_stays(
    prefix: int, suffix: int, expected: list[int]
) -> None:
    straight = documents([*range(8)], 4, 7, 8, prefix=prefix, suffix=suffix)
    turned = reversed_texts(straight).tokens
    assert turned[:].tolist() == expected
    assert [turned[i : i + 3].tolist() for i in range(8)] == [expected[i : i + 3] for i in range(8)]
    assert [int(turned[i]) for i in range(-8, 8)] == expected * 2
    assert turned.max() == 7
    assert turned[3:3].tolist() == []


def test_blocks_of_reversed_texts() -> None:
    blocks = Blocks(reversed_texts(documents([*range(8)], 4, 8, suffix=1)), 3)
    read = [(blocks[i]["input_ids"].tolist(), blocks[i]["labels"].tolist()) for i in range(len(blocks))]
    assert read == [([2, 1, 0], [1, 0, 3]), ([3, 6, 5], [6, 5, 4]), ([4, 7], [7, -100])]
