"""Texts as rows of token ids: encoded, cut, counted, padded."""

from typing import Any

import numpy as np
import pytest
import torch

from llmctl.errors import ConfigError
from llmctl.objectives.features import Cut, TokenRows, encode_texts, pad, padding_id
from tests.data.conftest import Told
from tests.tiny import byte_tokenizer, word_tokenizer

WORDS = ["the", "film", "was", "good", "bad", "and", "long"]
TEXTS = ["the film was good", "bad", "", "the film was long and the film was bad"]
PAIRS = ["bad", "the film was good and the film was long", "good", ""]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_tokenizer(WORDS)


def ids_of(rows: TokenRows) -> list[list[int]]:
    return [rows[index]["input_ids"].tolist() for index in range(len(rows))]


def test_rows_come_back_as_they_were_given() -> None:
    rows = TokenRows.of([[1, 2, 3], [], [4]], [[0, 0, 1], [], [1]])
    assert len(rows) == 3
    assert rows.lengths.tolist() == [3, 0, 1]
    assert ids_of(rows) == [[1, 2, 3], [], [4]]
    assert rows[0]["token_type_ids"].tolist() == [0, 0, 1]
    assert rows[0]["input_ids"].dtype == torch.int64
    assert "token_type_ids" not in TokenRows.of([[1]])[0]
    assert len(TokenRows.of([])) == 0


@pytest.mark.parametrize(("largest", "dtype"), [(65_535, np.uint16), (65_536, np.uint32)])
def test_ids_take_no_more_room_than_they_need(largest: int, dtype: type) -> None:
    rows = TokenRows.of([[1], [largest]])
    assert rows.ids.dtype == dtype
    assert ids_of(rows) == [[1], [largest]]


@pytest.mark.parametrize("max_length", [3, 4, 6, 64])
@pytest.mark.parametrize("pairs", [None, PAIRS])
def test_texts_are_encoded_and_cut_as_the_tokenizer_itself_does(
    tokenizer: Any, pairs: list[str] | None, max_length: int
) -> None:
    rows, cut = encode_texts(tokenizer, TEXTS, pairs, max_length=max_length)
    given = (TEXTS,) if pairs is None else (TEXTS, pairs)
    expected = tokenizer(*given, truncation="longest_first", max_length=max_length)
    whole = tokenizer(*given)
    assert ids_of(rows) == expected["input_ids"]
    assert [rows[index]["token_type_ids"].tolist() for index in range(4)] == expected["token_type_ids"]
    lost = [len(a) - len(b) for a, b in zip(whole["input_ids"], expected["input_ids"], strict=True)]
    assert cut == Cut(sum(map(bool, lost)), sum(lost))


def test_a_length_without_room_for_the_special_tokens_is_refused(tokenizer: Any) -> None:
    assert encode_texts(tokenizer, TEXTS, None, max_length=2)[0].lengths.tolist() == [2, 2, 2, 2]
    with pytest.raises(ConfigError, match="max_length 2 has no room for the 3 special tokens"):
        encode_texts(tokenizer, TEXTS, PAIRS, max_length=2)


def test_the_tokenizer_keeps_its_settings(tokenizer: Any) -> None:
    encode_texts(tokenizer, TEXTS, None, max_length=3)
    assert tokenizer.backend_tokenizer.truncation is None
    assert len(tokenizer(TEXTS[3])["input_ids"]) == 11


def test_more_texts_than_are_encoded_at_once_keep_their_order(tokenizer: Any) -> None:
    texts = ["good " * (index % 7) for index in range(2500)]
    rows, _ = encode_texts(tokenizer, texts, None, max_length=64)
    assert rows.lengths.tolist() == [index % 7 + 2 for index in range(2500)]


def test_what_was_cut_is_told_once_and_nothing_where_nothing_was() -> None:
    told = Told()
    Cut(0, 0).tell("dev.tsv", 3, 128, told)
    assert told.notes == []
    Cut(2, 1234).tell("dev.tsv", 3000, 128, told)
    assert told.notes == [
        "dev.tsv: 2 of 3,000 examples are longer than max_length 128 and were cut: 1,234 tokens are not read"
    ]


def test_a_batch_is_padded_to_its_own_longest_and_masked() -> None:
    rows = TokenRows.of([[5, 6, 7], [8]], [[0, 1, 1], [0]])
    batch = pad([rows[0], {**rows[1], "labels": np.int64(1)}], 9)
    assert {name: value.tolist() for name, value in batch.items()} == {
        "input_ids": [[5, 6, 7], [8, 9, 9]],
        "token_type_ids": [[0, 1, 1], [0, 0, 0]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
    }


def test_the_mask_follows_the_length_not_the_padding_token() -> None:
    """A text may hold the padding token itself."""
    batch = pad([{"input_ids": torch.tensor([0, 4, 0])}, {"input_ids": torch.tensor([4])}], 0)
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_what_pads(tokenizer: Any) -> None:
    assert padding_id(tokenizer) == tokenizer.pad_token_id
    without = byte_tokenizer()
    assert without.pad_token_id is None
    assert padding_id(without) == without.eos_token_id
