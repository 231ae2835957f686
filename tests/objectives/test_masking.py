"""Which tokens are hidden and what stands in their place, on a vocabulary of a few words."""

import numpy as np
import pytest

from llmctl.objectives.masking import Masking, Vocabulary, _begins_word, disguised, hidden_tokens

# 0 pad, 1 mask, 2 cls; 3 to 6 begin words, 7 to 9 go on
SPECIAL = np.array([True] * 3 + [False] * 7)
BEGINS = np.array([True] * 7 + [False] * 3)
WORDS = Vocabulary(mask=1, special=SPECIAL, begins_word=BEGINS, ordinary=np.arange(3, 10))
KINDS: list[Masking] = ["token", "whole_word", "span"]


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def text(length: int, seed: int = 0) -> np.ndarray:
    """Words of one to three tokens."""
    random = draw(seed)
    words = [[random.integers(3, 7), *random.integers(7, 10, random.integers(0, 3))] for _ in range(length)]
    return np.concatenate(words).astype(np.int64)[:length]


@pytest.mark.parametrize("masking", KINDS)
def test_about_the_share_is_hidden_and_never_what_is_no_text(masking: Masking) -> None:
    tokens = np.concatenate([[2], text(200), [0, 0]])
    counts = []
    for seed in range(50):
        hidden = hidden_tokens(tokens, WORDS, masking=masking, probability=0.15, draw=draw(seed))
        assert not hidden[SPECIAL[tokens]].any()
        counts.append(hidden.sum())
    assert max(counts) <= 30
    assert np.mean(counts) > 27
    if masking == "token":
        assert set(counts) == {30}


def test_every_token_is_hidden_as_often_as_any_other() -> None:
    tokens = text(40)
    times = sum(
        hidden_tokens(tokens, WORDS, masking="token", probability=0.25, draw=draw(seed)).astype(int)
        for seed in range(2000)
    )
    assert abs(times / 2000 - 0.25).max() < 0.05


@pytest.mark.parametrize("masking", ["whole_word", "span"])
def test_words_are_hidden_whole(masking: Masking) -> None:
    tokens = text(120)
    begins = np.flatnonzero(BEGINS[tokens])
    for seed in range(20):
        hidden = hidden_tokens(tokens, WORDS, masking=masking, probability=0.2, draw=draw(seed))
        for word in np.split(hidden, begins[1:]):
            assert word.all() or not word.any()


def test_spans_are_longer_than_words() -> None:
    def runs(masking: Masking) -> float:
        found = []
        for seed in range(50):
            hidden = hidden_tokens(text(300), WORDS, masking=masking, probability=0.15, draw=draw(seed))
            starts = hidden & ~np.concatenate([[False], hidden[:-1]])
            found.append(hidden.sum() / starts.sum())
        return float(np.mean(found))

    assert runs("span") > 2 * runs("token")


@pytest.mark.parametrize("masking", KINDS)
@pytest.mark.parametrize(("tokens", "hidden"), [([2, 0], 0), ([2, 3, 0], 1), ([3], 1), ([], 0)])
def test_short_texts(masking: Masking, tokens: list[int], hidden: int) -> None:
    array = np.array(tokens, dtype=np.int64)
    assert hidden_tokens(array, WORDS, masking=masking, probability=0.15, draw=draw()).sum() == hidden


def test_eighty_ten_ten() -> None:
    tokens = np.full(20_000, 5, dtype=np.int64)
    hidden = np.zeros(20_000, dtype=bool)
    hidden[:10_000] = True
    found = disguised(tokens, hidden, WORDS, draw())
    assert (found[10_000:] == 5).all()
    shares = np.bincount(found[:10_000], minlength=10) / 10_000
    assert shares[1] == pytest.approx(0.8, abs=0.02)
    assert shares[5] == pytest.approx(0.1 + 0.1 / 7, abs=0.02)
    assert shares[[3, 4, 6, 7, 8, 9]] == pytest.approx(np.full(6, 0.1 / 7), abs=0.01)
    assert not shares[[0, 2]].any()
    assert (tokens == 5).all(), "the text itself is left as it was"


@pytest.mark.parametrize(
    ("piece", "continued", "begins"),
    [("##ing", True, False), ("go", True, True), (".", True, True), ("Ġgo", False, True), ("ing", False, False),
     ("▁go", False, True), (".", False, True), ("Ċ", False, True)],
)  # fmt: skip
def test_where_words_begin(piece: str, continued: bool, begins: bool) -> None:
    assert _begins_word(piece, continued=continued) is begins
