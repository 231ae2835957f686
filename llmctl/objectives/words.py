"""Sentences of words as token ids: each word is answered at its first piece, once, however long its sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from llmctl.data.backends import unbounded
from llmctl.errors import ConfigError
from llmctl.objectives.features import TokenRows
from llmctl.objectives.tags import Tags
from llmctl.objectives.task import IGNORED, Features
from llmctl.progress import Progress

if TYPE_CHECKING:
    from llmctl.data.examples import Examples

_SENTENCES_AT_ONCE = 1024
_OVERLAP = 4  # windows share one part in so many with the next, so that no word is judged at a border

_LETTERS = r"[[\p{L}\p{M}\p{N}_]&&[^\p{Han}]]+"
_APOSTROPHE = r"['\x{2019}]"
# In this order: initials; a word with what joins its parts; a Chinese character; the English 's; any other sign.
_WORD = "|".join(
    (
        r"(?:\p{L}\.){2,}",
        rf"[@#]?{_LETTERS}(?:(?:[-.&]|{_APOSTROPHE}(?!s\b)){_LETTERS})*",
        r"\p{Han}",
        rf"{_APOSTROPHE}s\b",
        r"[^\s\p{C}\p{L}\p{M}\p{N}_]",
    )
)


class Word(NamedTuple):
    """A word and the characters of its text where it stands."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class WordRows:
    """N sentences as rows of token ids: one row each, or several windows.

    Attributes:
        rows: the token ids, a row a window.
        answering: (T,) bool, where a row answers for a word: at its first piece. Read in order, these places are the
            words of all sentences in order.
        ends: (N,) int64, where each sentence ends, counted in words.
    """

    rows: TokenRows
    answering: np.ndarray
    ends: np.ndarray

    @cached_property
    def word_ends(self) -> np.ndarray:
        """(rows,) int64, where the words of each row end."""
        return np.concatenate([[0], np.cumsum(self.answering, dtype=np.int64)])[self.rows.ends]


@dataclass(frozen=True)
class WordFeatures(Features):
    """Encoded sentences; a row is a window of a sentence, mostly all of it.

    Attributes:
        examples: what they were made of.
        words: the rows, and where they answer.
        tags: the gold tags as they are scored; ``None`` unlabelled.
        targets: (W,) int64 indices of the labels of all words; ``None`` unlabelled, or where the model has no output
            for some of the tags.
    """

    examples: "Examples"
    words: WordRows
    tags: Tags | None
    targets: np.ndarray | None

    @property
    def rows(self) -> TokenRows:  # type: ignore[override]
        return self.words.rows

    def __getitem__(self, index: int) -> dict[str, Any]:
        rows = self.rows
        answering = self.words.answering[int(rows.ends[index - 1]) if index else 0 : int(rows.ends[index])]
        row: dict[str, Any] = {**rows[index], "answering": torch.from_numpy(answering)}
        if self.targets is not None:
            ends = self.words.word_ends
            labels = np.full(len(answering), IGNORED, dtype=np.int64)
            labels[answering] = self.targets[int(ends[index - 1]) if index else 0 : int(ends[index])]
            row["labels"] = torch.from_numpy(labels)
        return row


@dataclass
class Mended:
    """What had to be done for sentences and words that do not fit as they are."""

    long_sentences: int = 0
    windows: int = 0
    cut_words: int = 0
    empty_words: int = 0

    def tell(self, name: str, total: int, max_length: int, progress: Progress) -> None:
        if self.long_sentences:
            progress.note(
                f"{name}: {self.long_sentences:,} of {total:,} sentences are longer than max_length {max_length}; "
                f"they are read in {self.windows:,} overlapping windows, each word is answered once"
            )
        if self.cut_words:
            progress.warn(
                f"{name}: {self.cut_words:,} words are longer than max_length {max_length} by themselves: "
                "their beginnings are read"
            )
        if self.empty_words:
            progress.note(
                f"{name}: {self.empty_words:,} words hold nothing that the tokenizer knows; "
                "they are read as its unknown token"
            )


def split_words(text: str) -> list[Word]:
    """The words and signs of plain text, with their places; blanks and control characters are none."""
    from tokenizers import Regex, pre_tokenizers

    splitter = pre_tokenizers.Split(Regex(_WORD), "removed", invert=True)
    return [Word(word, start, end) for word, (start, end) in splitter.pre_tokenize_str(text)]


def encode_words(
    tokenizer: Any, sentences: Sequence[Sequence[str]], *, max_length: int
) -> tuple[WordRows, Mended]:
    """Encode sentences of words, with the special tokens of the tokenizer's family around each row.

    Args:
        tokenizer: a fast tokenizer; it keeps its settings.
        sentences: (N) lists of words.
        max_length: longest row, in tokens, special tokens included.

    Raises:
        ConfigError: ``max_length`` leaves no room for a word.
    """
    encoder = _SentenceEncoder(tokenizer, max_length)
    rows: list[list[int]] = []
    segments: list[list[int]] = []
    answering: list[list[bool]] = []
    for begin in range(0, len(sentences), _SENTENCES_AT_ONCE):
        for row in encoder.encode(sentences[begin : begin + _SENTENCES_AT_ONCE]):
            rows.append(row.ids)
            segments.append(row.segments)
            answering.append(row.answering)
    told_segments = "token_type_ids" in tokenizer.model_input_names
    flat = np.concatenate([np.asarray(row, dtype=bool) for row in answering] or [np.zeros(0, dtype=bool)])
    ends = np.cumsum([len(words) for words in sentences], dtype=np.int64)
    return WordRows(TokenRows.of(rows, segments if told_segments else None), flat, ends), encoder.mended


class _Row(NamedTuple):
    ids: list[int]
    segments: list[int]
    answering: list[bool]


class _SentenceEncoder:
    """Sentences to rows of at most ``max_length`` tokens, counting what had to be mended."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self.backend = unbounded(tokenizer.backend_tokenizer)
        self.max_length = max_length
        self.glued = _glues_words(self.backend)
        unknown = tokenizer.unk_token_id
        self.unknown = (
            unknown if unknown is not None else tokenizer.pad_token_id or tokenizer.eos_token_id or 0
        )
        self.mended = Mended()

    def encode(self, sentences: Sequence[Sequence[str]]) -> list[_Row]:
        """The rows of some sentences, in order."""
        given = [[f" {word}" for word in words] for words in sentences] if self.glued else sentences
        encodings = self.backend.encode_batch([list(words) for words in given], is_pretokenized=True)
        rows: list[_Row] = []
        for words, encoding in zip(sentences, encodings, strict=True):
            owners = encoding.word_ids
            answering = [
                owner is not None and owner != before
                for before, owner in zip([None, *owners[:-1]], owners, strict=True)
            ]
            if len(owners) <= self.max_length and sum(answering) == len(words):
                rows.append(_Row(encoding.ids, encoding.type_ids, answering))
            else:
                rows += self._windows(encoding, len(words))
        return rows

    def _windows(self, encoding: Any, num_words: int) -> list[_Row]:
        """The rows of a sentence that is too long, or has words without pieces."""
        owners, ids, types = encoding.word_ids, encoding.ids, encoding.type_ids
        inner = [place for place, owner in enumerate(owners) if owner is not None]
        # Without any piece there is no telling where the special tokens end: the last is taken for the suffix.
        head = inner[0] if inner else max(len(ids) - 1, 0)
        tail = inner[-1] + 1 if inner else head
        room = self.max_length - head - (len(ids) - tail)
        if room < 1:
            raise ConfigError(
                f"max_length {self.max_length} leaves no room for words beside {len(ids) - len(inner)} special tokens",
                hint="a larger --max-length",
            )
        pieces: list[list[int]] = [[] for _ in range(num_words)]
        for place in inner:
            pieces[owners[place]].append(ids[place])
        self.mended.empty_words += sum(not word for word in pieces)
        self.mended.cut_words += sum(len(word) > room for word in pieces)
        pieces = [word[:room] or [self.unknown] for word in pieces]
        segment = types[inner[0]] if inner else 0
        rows = []
        for window in _plan([len(word) for word in pieces], room):
            words = range(window.begin, window.end)
            body = [piece for word in words for piece in pieces[word]]
            marks = [
                place == 0 and window.first <= word < window.last
                for word in words
                for place in range(len(pieces[word]))
            ]
            rows.append(
                _Row(
                    ids[:head] + body + ids[tail:],
                    types[:head] + [segment] * len(body) + types[tail:],
                    [False] * head + marks + [False] * (len(ids) - tail),
                )
            )
        if len(rows) > 1:
            self.mended.long_sentences += 1
            self.mended.windows += len(rows)
        return rows


class _Window(NamedTuple):
    """Words ``begin`` to ``end - 1`` are read, ``first`` to ``last - 1`` of them are answered for."""

    begin: int
    end: int
    first: int
    last: int


def _plan(sizes: Sequence[int], room: int) -> list[_Window]:
    """Cover words of these sizes (in pieces, each at most ``room``) with windows of at most ``room`` pieces.

    Each word is answered by one window: of those that two windows share, the earlier half by the earlier.
    """
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    num_words = len(sizes)
    windows: list[_Window] = []
    begin = first = 0
    while True:
        end = int(np.searchsorted(starts, starts[begin] + room, side="right")) - 1
        if end >= num_words:
            return [*windows, _Window(begin, num_words, first, num_words)]
        shared = min(
            room // _OVERLAP, room - sizes[end]
        )  # the next window must reach at least one word further
        following = max(begin + 1, int(np.searchsorted(starts, starts[end] - shared)))
        last = (following + end + 1) // 2
        if last > first:
            windows.append(_Window(begin, end, first, last))
            first = last
        begin = following


def _glues_words(backend: Any) -> bool:
    """Whether the tokenizer reads a listed word as if no blank stood before it, which in text there does.

    Byte-level tokenizers do so unless they were made with ``add_prefix_space``.
    """
    in_text = backend.encode("a b", add_special_tokens=False)
    listed = backend.encode(["a", "b"], is_pretokenized=True, add_special_tokens=False)
    return bool(in_text.ids != listed.ids)
