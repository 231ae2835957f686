"""Gaps, and what is read and written for them, by hand and against T5's own counts."""

import numpy as np
import pytest

from llmctl.objectives.denoising import Corrupted, gaps


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("length", "missing", "count"), [(100, 15, 5), (512, 77, 26), (2, 1, 1), (5, 1, 1)])
def test_as_many_tokens_in_as_many_gaps_as_t5_has(length: int, missing: int, count: int) -> None:
    for seed in range(20):
        found = gaps(length, 0.15, 3.0, draw(seed))
        assert len(found) == length
        assert found.sum() == missing
        assert (found & ~np.concatenate([[False], found[:-1]])).sum() == count
        assert not found[0]
        assert found[-1]


def test_every_place_but_the_ends_is_missing_about_as_often() -> None:
    times = np.mean([gaps(60, 0.2, 2.0, draw(seed)) for seed in range(4000)], axis=0)
    assert abs(times[6:-6] - 0.2).max() < 0.06


class Halves:
    """Draws that put the gaps at fixed places."""

    def choice(self, total: int, count: int, replace: bool) -> np.ndarray:
        return np.array([total // 2] * count)


def test_sentinels_stand_for_gaps_and_before_what_they_hold() -> None:
    corrupted = Corrupted(sentinels=(90, 91, 92), end=1, share=0.4, mean_span=2.0)
    found = corrupted(np.arange(10, 20), Halves())  # type: ignore[arg-type]
    # 6 tokens stay, in runs of 3 + 3 ending where total // 2 + 1 says; 4 are missing, in gaps of 2 + 2
    assert found["input_ids"].tolist() == [10, 11, 12, 90, 15, 16, 17, 91, 1]
    assert found["labels"].tolist() == [90, 13, 14, 91, 18, 19, 1]


def test_a_mask_stands_for_gaps_and_the_whole_text_is_written() -> None:
    corrupted = Corrupted(sentinels=(4,), end=None, share=0.4, mean_span=2.0)
    found = corrupted(np.arange(10, 20), Halves())  # type: ignore[arg-type]
    assert found["input_ids"].tolist() == [10, 11, 12, 4, 15, 16, 17, 4]
    assert found["labels"].tolist() == list(range(10, 20))


@pytest.mark.parametrize("seed", range(5))
def test_reading_and_writing_together_are_the_text(seed: int) -> None:
    corrupted = Corrupted(sentinels=tuple(range(900, 1000)), end=1, share=0.3, mean_span=3.0)
    text = draw(seed).integers(10, 800, 200)
    found = corrupted(text, draw(seed))
    pieces: dict[int, list[int]] = {}
    for token in found["labels"][:-1]:
        if token >= 900:
            pieces[current := int(token)] = []
        else:
            pieces[current].append(int(token))
    whole = [part for token in found["input_ids"][:-1] for part in pieces.get(int(token), [int(token)])]
    assert whole == text.tolist()


def test_a_row_of_one_token_has_no_gap() -> None:
    found = Corrupted((90,), 1, 0.15, 3.0)(np.array([7]), draw())
    assert found["input_ids"].tolist() == found["labels"].tolist() == [7, 1]
