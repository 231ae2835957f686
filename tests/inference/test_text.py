from collections.abc import Sequence

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmctl.inference.text import Detokenizer, StopCutter
from tests.tiny import byte_tokenizer

TEXT = "naïve “日本”\n 🙂 end"


def cut(pieces: Sequence[str], *stop: str) -> tuple[str, bool]:
    cutter, out = StopCutter(stop), ""
    for piece in pieces:
        out += cutter.push(piece)
        if cutter.stopped:
            return out, True
    return out + cutter.flush(), False


def test_pieces_are_whole_characters_and_join_to_the_text() -> None:
    tokenizer = byte_tokenizer()
    decoder = Detokenizer(tokenizer, tokenizer("Once").input_ids)
    pieces = [decoder.push(token) for token in tokenizer(TEXT).input_ids]
    assert [piece for piece in pieces if piece] == list(TEXT)
    assert decoder.flush() == ""


def test_a_character_that_stays_incomplete_is_left_out() -> None:
    tokenizer = byte_tokenizer()
    decoder = Detokenizer(tokenizer, tokenizer("x").input_ids)
    *ids, _ = tokenizer("a🙂").input_ids
    assert "".join(decoder.push(token) for token in ids) + decoder.flush() == "a"


def test_bytes_that_are_no_character_do_not_hold_the_rest_back() -> None:
    tokenizer = byte_tokenizer()
    decoder = Detokenizer(tokenizer, [])
    broken = tokenizer("é").input_ids[0]
    ids = [broken, *tokenizer("ab").input_ids]
    assert [decoder.push(token) for token in ids] == ["", "\ufffda", "b"]


def test_leading_spaces_of_metaspace_tokens_are_kept() -> None:
    words = ["▁Once", "▁upon", "▁a", "▁time"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="▁a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    decoder = Detokenizer(PreTrainedTokenizerFast(tokenizer_object=tokenizer), [0])
    assert [decoder.push(token) for token in (1, 2, 3)] == [" upon", " a", " time"]


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_the_text_ends_before_the_first_stop_string_wherever_it_is_cut(size: int) -> None:
    def pieces(text: str) -> list[str]:
        return [text[i : i + size] for i in range(0, len(text), size)]

    assert cut(pieces("one. two. THE END"), "THE END", "three") == ("one. two. ", True)
    assert cut(pieces("aab then aaab"), "aaab") == ("aab then ", True)
    assert cut(pieces("ends with a beginning: THE E"), "THE END") == ("ends with a beginning: THE E", False)
    assert cut(pieces("no stop"), *()) == ("no stop", False)


def test_only_what_may_begin_a_stop_string_is_held_back() -> None:
    cutter = StopCutter(["END"])
    assert [cutter.push(piece) for piece in ("an E", "N", "ORM", "E", "END")] == ["an ", "", "ENORM", "", "E"]
    assert cutter.stopped
