"""Sentences and passages of tokens, by hand: token 1 ends a sentence, 2 closes a quotation behind it."""

import numpy as np

from llmctl.data.blocks import TokenizedDocuments
from llmctl.objectives.sentences import Passages, passages_of, sentence_endings
from tests import tiny

ENDINGS = np.array([False, True, True] + [False] * 20)


def documents(*rows: list[int], prefix: int = 0, suffix: int = 0) -> TokenizedDocuments:
    ends = np.cumsum([len(row) for row in rows])
    counts = np.ones(len(rows), dtype=np.int64)
    return TokenizedDocuments(np.concatenate(rows).astype(np.uint16), ends, counts, counts, prefix, suffix)


def texts(passages: Passages) -> list[list[int]]:
    return [
        passages.tokens[passages.begins[a] : passages.ends[b - 1]].tolist()
        for a, b in zip(passages.first, passages.after, strict=True)
    ]


def test_passages_hold_as_many_whole_sentences_as_fit() -> None:
    found = passages_of(documents([5, 1, 6, 7, 1, 8, 1, 9, 9, 1]), ENDINGS, 7)
    assert found.begins.tolist() == [0, 2, 5, 7]
    assert texts(found) == [[5, 1, 6, 7, 1], [8, 1, 9, 9, 1]]


def test_prefix_and_suffix_of_a_document_are_no_text_and_a_quotation_ends_its_sentence() -> None:
    found = passages_of(
        documents([20, 5, 1, 2, 6, 1, 21], [20, 7, 1, 8, 21], prefix=1, suffix=1), ENDINGS, 20
    )
    assert texts(found) == [[5, 1, 2, 6, 1], [7, 1, 8]]
    assert found.begins.tolist() == [1, 4, 8, 10]
    assert found.document.tolist() == [0, 1]
    assert found.num_documents == 2


def test_a_document_of_one_sentence_makes_no_passage() -> None:
    found = passages_of(documents([5, 6, 1], [5, 1, 6, 1]), ENDINGS, 20)
    assert texts(found) == [[5, 1, 6, 1]]
    assert found.document.tolist() == [1]


def test_the_last_sentence_takes_company_from_the_passage_before() -> None:
    found = passages_of(documents([3, 1, 4, 1, 5, 1, 6, 7, 8, 1]), ENDINGS, 8)
    assert texts(found) == [[3, 1, 4, 1], [5, 1, 6, 7, 8, 1]]


def test_long_sentences_are_cut_so_that_two_fit() -> None:
    found = passages_of(documents([*[5] * 15, 1]), ENDINGS, 8)
    assert (found.ends - found.begins).max() <= 4
    assert sum(map(len, texts(found))) == 16
    assert max(map(len, texts(found))) <= 8


def test_parts_meet_between_two_sentences() -> None:
    found = passages_of(documents([5, 1, 6, 7, 1, 8, 1]), ENDINGS, 20)
    seen = set()
    for seed in range(20):
        first, second = found.parted(0, np.random.default_rng(seed))
        assert [*first, *second] == [5, 1, 6, 7, 1, 8, 1]
        seen.add(len(first))
    assert seen == {2, 5}


def test_what_ends_a_sentence() -> None:
    tokenizer = tiny.byte_tokenizer()
    endings = sentence_endings(tokenizer)
    ending = {tokenizer.decode([number]) for number in np.flatnonzero(endings)}
    assert ending == {".", "!", "?", "\n"}
