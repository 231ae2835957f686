"""Which tokens are hidden from a masked language model, and what stands in their place."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Masking = Literal["token", "whole_word", "span"]

# Of the hidden tokens so many become the mask, so many of the rest another token; the others stay (arXiv:1810.04805).
MASKED, REPLACED = 0.8, 0.5
# Lengths of spans in words, drawn from a geometric distribution that is cut: 3.8 on average (arXiv:1907.10529).
_SPAN_END, _LONGEST_SPAN = 0.2, 10


@dataclass(frozen=True)
class Vocabulary:
    """What masking must know of V tokens.

    Attributes:
        mask: id of the mask token.
        special: (V,) bool, tokens that stand for no text and are never hidden.
        begins_word: (V,) bool, tokens that a word begins with; punctuation marks are words.
        ordinary: ids that a hidden token is replaced by.
    """

    mask: int
    special: np.ndarray
    begins_word: np.ndarray
    ordinary: np.ndarray

    @classmethod
    def of(cls, tokenizer: Any) -> "Vocabulary":
        """That of a tokenizer with a mask token."""
        size = len(tokenizer)
        special = np.zeros(size, dtype=bool)
        special[[number for number in tokenizer.all_special_ids if number < size]] = True
        pieces = tokenizer.convert_ids_to_tokens(range(size))
        continued = any(piece.startswith("##") for piece in pieces)
        begins = np.array([_begins_word(piece, continued=continued) for piece in pieces])
        return cls(tokenizer.mask_token_id, special, begins | special, np.flatnonzero(~special))


def _begins_word(piece: str, *, continued: bool) -> bool:
    """Whether a word begins with a piece as its vocabulary spells it.

    Args:
        continued: the vocabulary marks pieces that go on (WordPiece), not those that begin.
    """
    if continued:
        return not piece.startswith("##")
    return piece.startswith(("Ġ", "Ċ", "▁")) or not piece[:1].isalnum()


def hidden_tokens(
    tokens: np.ndarray, vocabulary: Vocabulary, *, masking: Masking, probability: float, draw: Any
) -> np.ndarray:
    """Which of the tokens (L,) are hidden, bool (L,): a fixed share of those that are text, at least one.

    Args:
        masking: hide single tokens, whole words, or runs of words. Words that would exceed the share are left.
        probability: the share.
        draw: ``numpy.random.Generator``.
    """
    hidden = np.zeros(len(tokens), dtype=bool)
    text = np.flatnonzero(~vocabulary.special[tokens])
    if not len(text):
        return hidden
    wanted = max(1, round(probability * len(text)))
    if masking == "token":
        hidden[draw.choice(text, wanted, replace=False)] = True
        return hidden
    words = _words(tokens, text, vocabulary)
    order = draw.permutation(len(words)) if masking == "whole_word" else _spans(len(words), draw)
    found = 0
    for word in order:
        size = len(words[word])
        if hidden[words[word][0]] or (found and found + size > wanted):
            continue
        hidden[words[word]] = True
        found += size
        if found >= wanted:
            break
    return hidden


def _words(tokens: np.ndarray, text: np.ndarray, vocabulary: Vocabulary) -> list[np.ndarray]:
    """Indices of the tokens of each word; a special token parts words as well."""
    parted = np.diff(text) > 1
    begins = vocabulary.begins_word[tokens[text[1:]]] | parted
    return np.split(text, np.flatnonzero(begins) + 1)


def _spans(count: int, draw: Any) -> np.ndarray:
    """Numbers of words, run by run, until all have come up or could have: more than will be taken."""
    lengths = np.minimum(draw.geometric(_SPAN_END, size=count), _LONGEST_SPAN)
    starts = draw.integers(0, count, size=count)
    runs = [
        np.arange(start, min(start + length, count)) for start, length in zip(starts, lengths, strict=True)
    ]
    return np.concatenate(runs)


def disguised(tokens: np.ndarray, hidden: np.ndarray, vocabulary: Vocabulary, draw: Any) -> np.ndarray:
    """The tokens (L,) as the model reads them: of the hidden 80 % the mask, 10 % any other token, 10 % themselves."""
    found = tokens.copy()
    places = np.flatnonzero(hidden)
    masked = draw.random(len(places)) < MASKED
    replaced = ~masked & (draw.random(len(places)) < REPLACED)
    found[places[masked]] = vocabulary.mask
    found[places[replaced]] = draw.choice(vocabulary.ordinary, int(replaced.sum()))
    return found
