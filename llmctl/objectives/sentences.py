"""Sentences of a tokenised text, and passages of whole sentences, without looking at the text again."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmctl.data.blocks import TokenizedDocuments

_ENDS = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f")  # then an ellipsis, and those of Chinese
_CLOSES = "\"')]\u201d\u2019\u00bb\u300d"  # quotes and brackets


@dataclass(frozen=True)
class Passages:
    """P passages of two sentences or more, each within one document.

    Attributes:
        tokens: (T,) the stream.
        begins: (S,) int64, where each sentence begins; it ends where the next begins, or its document ends.
        ends: (S,) int64.
        first: (P,) int64, the first sentence of each passage.
        after: (P,) int64, the sentence after its last.
        document: (P,) int64, the document of each passage.
    """

    tokens: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    first: np.ndarray
    after: np.ndarray
    document: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    @property
    def lengths(self) -> np.ndarray:
        """(P,) tokens."""
        return self.ends[self.after - 1] - self.begins[self.first]

    @property
    def num_documents(self) -> int:
        return len(np.unique(self.document))

    def parted(self, index: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The two parts, int64, of a passage that is parted between two sentences."""
        first, after = int(self.first[index]), int(self.after[index])
        middle = self.begins[draw.integers(first + 1, after)]
        found = self.tokens[self.begins[first] : middle], self.tokens[middle : self.ends[after - 1]]
        return found[0].astype(np.int64), found[1].astype(np.int64)


def sentence_endings(tokenizer: Any) -> np.ndarray:
    """(V,) bool: the tokens that end a sentence, which is a full stop, a closing quote behind it, or a line's end."""
    texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
    special = set(tokenizer.all_special_tokens)
    return np.array(
        [
            text not in special and ("\n" in text or text.strip().rstrip(_CLOSES).endswith(_ENDS))
            for text in texts
        ]
    )


def passages_of(documents: TokenizedDocuments, endings: np.ndarray, length: int) -> Passages:
    """Cut documents into passages of as many whole sentences as ``length`` tokens hold, two at least.

    A sentence longer than half of ``length`` is cut, so that any two fit. The last sentence of a document, left alone,
    takes the one before it from its passage; where that has no third, it is left out.

    Args:
        endings: as of :func:`sentence_endings`.
    """
    begins, ends, owner = _sentences(documents, endings, max(1, length // 2))
    first: list[int] = []
    after: list[int] = []
    start = 0
    for sentence in range(1, len(begins) + 1):
        over = sentence == len(begins) or owner[sentence] != owner[start]
        if over or ends[sentence] - begins[start] > length:
            if sentence - start > 1:
                first.append(start)
                after.append(sentence)
            elif after and after[-1] == start and owner[first[-1]] == owner[start] and start - first[-1] > 2:
                after[-1] -= 1
                first.append(start - 1)
                after.append(sentence)
            start = sentence
    chosen = np.array(first, dtype=np.int64)
    return Passages(documents.tokens, begins, ends, chosen, np.array(after, dtype=np.int64), owner[chosen])


def _sentences(
    documents: TokenizedDocuments, endings: np.ndarray, longest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Begin, end and document of each sentence, (S,) int64."""
    starts = np.concatenate([[0], documents.ends[:-1]]).astype(np.int64) + documents.prefix_length
    stops = documents.ends.astype(np.int64) - documents.suffix_length
    ends_here = endings[documents.tokens]
    # Of several endings in a row ('." ' as three tokens) the last one ends the sentence.
    ends_here[:-1] &= ~endings[documents.tokens[1:]]
    cuts = np.flatnonzero(ends_here) + 1
    owner = np.searchsorted(stops, cuts, side="left")
    inside = owner < len(stops)
    inside[inside] = (cuts[inside] > starts[owner[inside]]) & (cuts[inside] < stops[owner[inside]])
    begins = np.concatenate([starts[stops > starts], cuts[inside]])
    begins.sort()
    owner = np.searchsorted(stops, begins, side="right")
    ends = np.minimum(np.append(begins[1:], np.iinfo(np.int64).max), stops[owner])
    pieces = -(-(ends - begins) // longest)
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    size, owner = ends - begins, np.repeat(owner, pieces)
    begins = np.repeat(begins, pieces) + number * np.repeat(size, pieces) // np.repeat(pieces, pieces)
    last = np.append(number[1:] == 0, True)
    ends = np.where(last, np.repeat(ends, pieces), np.append(begins[1:], 0))
    return begins, ends, owner
