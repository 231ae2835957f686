"""Words to rows of pieces: each word answers once, at its first piece."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from llmctl.errors import ConfigError
from llmctl.models import load_tokenizer
from llmctl.objectives.words import Mended, WordRows, _plan, encode_words, split_words
from tests.data.conftest import Told


@pytest.fixture(scope="module")
def minilm() -> Any:
    return load_tokenizer("builtin:minilm", runs_dir=Path("runs"))


def answered(tokenizer: Any, words: WordRows) -> list[tuple[list[str], list[str]]]:
    """The pieces of each row, and those at which it answers."""
    rows = []
    for begin, end in zip([0, *words.rows.ends[:-1]], words.rows.ends, strict=True):
        pieces = tokenizer.convert_ids_to_tokens(words.rows.ids[begin:end].tolist())
        marks = words.answering[begin:end]
        rows.append((pieces, [piece for piece, mark in zip(pieces, marks, strict=True) if mark]))
    return rows


def test_a_word_answers_at_its_first_piece(minilm: Any) -> None:
    words, mended = encode_words(minilm, [["Lindström", "d'Agoult"], ["a"]], max_length=64)
    assert answered(minilm, words) == [
        (["[CLS]", "lin", "##ds", "##trom", "d", "'", "ago", "##ult", "[SEP]"], ["lin", "d"]),
        (["[CLS]", "a", "[SEP]"], ["a"]),
    ]
    assert mended == Mended()
    assert words.ends.tolist() == words.word_ends.tolist() == [2, 3]
    assert words.rows.segments is not None
    assert not words.rows.segments.any()


def test_ids_are_those_of_transformers_for_listed_words(minilm: Any) -> None:
    sentences = [["Empire", "State", "Building", "=", "ESB", "."], ["http://bit.ly/bgCyZ0"], ["xX", "[UNK]"]]
    words, _ = encode_words(minilm, sentences, max_length=64)
    expected = minilm(sentences, is_split_into_words=True)
    assert words.rows.ids.tolist() == [piece for row in expected["input_ids"] for piece in row]


def test_words_without_pieces_are_read_as_unknown(minilm: Any) -> None:
    words, mended = encode_words(minilm, [["a", "\x00", "", "b"], ["\x07"], []], max_length=64)
    assert answered(minilm, words) == [
        (["[CLS]", "a", "[UNK]", "[UNK]", "b", "[SEP]"], ["a", "[UNK]", "[UNK]", "b"]),
        (["[CLS]", "[UNK]", "[SEP]"], ["[UNK]"]),
        (["[CLS]", "[SEP]"], []),
    ]
    assert mended == Mended(empty_words=3)


def test_a_long_sentence_becomes_overlapping_windows(minilm: Any) -> None:
    sentence = [f"{letter}" for letter in "abcdefghijkl"]
    words, mended = encode_words(minilm, [sentence, ["z"]], max_length=10)
    # 8 pieces a window, 2 of them shared: each window answers for one of the two
    assert answered(minilm, words) == [
        (["[CLS]", *"abcdefgh", "[SEP]"], list("abcdefg")),
        (["[CLS]", *"ghijkl", "[SEP]"], list("hijkl")),
        (["[CLS]", "z", "[SEP]"], ["z"]),
    ]
    assert mended == Mended(long_sentences=1, windows=2)
    assert words.word_ends.tolist() == [7, 12, 13]


def test_a_word_that_is_too_long_keeps_its_beginning(minilm: Any) -> None:
    words, mended = encode_words(minilm, [["a", "lindstromlindstrom", "b"]], max_length=4)
    assert [heads for _, heads in answered(minilm, words)] == [["a"], ["lin"], ["b"]]
    assert mended.cut_words == 1
    assert words.rows.lengths.max() <= 4


def test_a_row_without_room_for_words_is_refused(minilm: Any) -> None:
    with pytest.raises(ConfigError, match="max_length 2 leaves no room for words beside 2 special tokens"):
        encode_words(minilm, [["a"]], max_length=2)


def test_windows_answer_for_every_word_once() -> None:
    draw = random.Random(0)
    for _ in range(500):
        room = draw.randrange(1, 20)
        sizes = [draw.randint(1, room) for _ in range(draw.randrange(1, 40))]
        windows = _plan(sizes, room)
        assert [word for window in windows for word in range(window.first, window.last)] == list(
            range(len(sizes))
        )
        for window in windows:
            assert window.begin <= window.first < window.last <= window.end
            assert sum(sizes[window.begin : window.end]) <= room


def byte_level(*, prefix: bool) -> PreTrainedTokenizerFast:
    """A tokenizer in which ``a`` and `` a`` are different pieces, as in GPT-2 and RoBERTa."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: number for number, piece in enumerate(["<s>", "</s>", *alphabet, "Ġa", "Ġb"])}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[("Ġ", "a"), ("Ġ", "b")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", 1), ("<s>", 0), trim_offsets=True, add_prefix_space=prefix
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize("prefix", [True, False])
def test_byte_level_tokenizers_read_words_as_in_text(prefix: bool) -> None:
    tokenizer = byte_level(prefix=prefix)
    words, _ = encode_words(tokenizer, [["a", "bc", ""]], max_length=16)
    pieces, heads = answered(tokenizer, words)[0]
    assert pieces[:5] == ["<s>", "Ġa", "Ġb", "c", pieces[4]]
    assert heads[:2] == ["Ġa", "Ġb"]
    assert len(heads) == 3


def test_what_was_mended_is_told() -> None:
    told = Told()
    Mended(1, 3, 2, 4).tell("a.conll", 10, 8, told)
    assert told.notes == [
        "a.conll: 1 of 10 sentences are longer than max_length 8; they are read in 3 overlapping windows, "
        "each word is answered once",
        "a.conll: 2 words are longer than max_length 8 by themselves: their beginnings are read",
        "a.conll: 4 words hold nothing that the tokenizer knows; they are read as its unknown token",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mr. O'Neil's AT&T, 3.5%!", ["Mr", ".", "O'Neil", "'s", "AT&T", ",", "3.5", "%", "!"]),
        ("R.H. Saunders (U.S.)", ["R.H.", "Saunders", "(", "U.S.", ")"]),
        ("@paulwalk #ok\tfoo-bar end.", ["@paulwalk", "#ok", "foo-bar", "end", "."]),
        ("中国 हिन्दी\x07", ["中", "国", "हिन्दी"]),
        (" \n", []),
    ],
)
def test_text_is_split_into_words_with_their_places(text: str, words: list[str]) -> None:
    found = split_words(text)
    assert [word.text for word in found] == words
    assert [text[word.start : word.end] for word in found] == words


def test_no_sentence_at_all(minilm: Any) -> None:
    words, _ = encode_words(minilm, [], max_length=8)
    assert len(words.rows) == 0
    assert words.answering.dtype == np.bool_
