"""Questions with their contexts, cut into overlapping windows that a model can read (Devlin et al., 2019)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from llmctl.config import TaskSettings
from llmctl.data.backends import unbounded
from llmctl.errors import ConfigError, ModelError
from llmctl.objectives.features import TokenRows
from llmctl.objectives.task import IGNORED, Features
from llmctl.progress import Progress, many

if TYPE_CHECKING:
    from llmctl.data.examples import Examples

_TEXTS_AT_ONCE = 1024
_PROBE = "a 1 ."  # what shows where the tokenizer puts its special tokens
_NOT_READ = (IGNORED, IGNORED)  # the place of an answer that no token holds any of


@dataclass(frozen=True)
class WindowFeatures(Features):
    """N questions as W windows; an example's windows stand one behind the other, in the order of its context.

    Attributes:
        examples: what they were made of.
        rows: token ids of the windows: the question, then a part of the context.
        example: (W,) int64, which example a window belongs to.
        context: (W, 2) int64, where the context's tokens begin and end in a window.
        first: (W,) int64, the first of these tokens in ``offsets``.
        offsets: (T, 2) int32, where each token begins and ends in its context, in characters; a context that
            several questions share is there once.
        labels: (W, 2) int64, places of the answer's first and last token; 0 and 0 in windows without it,
            ``IGNORED`` where the answer has no token at all; ``None`` unlabelled.
    """

    examples: "Examples"
    rows: TokenRows
    example: np.ndarray
    context: np.ndarray
    first: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray | None

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = {**self.rows[index], "context": self.context[index]}
        return row if self.labels is None else {**row, "labels": self.labels[index]}

    def windows_of(self, example: int) -> range:
        """The windows of one example; there is at least one."""
        begin, end = np.searchsorted(self.example, [example, example + 1])
        return range(int(begin), int(end))

    def characters(self, window: int, places: np.ndarray) -> np.ndarray:
        """(..., 2) where the tokens at ``places`` (...) of a window begin and end in the context."""
        return self.offsets[self.first[window] + places - self.context[window, 0]]


@dataclass(frozen=True)
class Frame:
    """What a tokenizer puts before, between and behind a question and its context.

    Attributes:
        ids: the special tokens at the three places.
        segments: the segments of five parts: the three places, with question and context in between.
    """

    ids: tuple[list[int], list[int], list[int]]
    segments: tuple[list[int], list[int], list[int], list[int], list[int]]

    @classmethod
    def of(cls, tokenizer: Any) -> Self:
        """See what the tokenizer makes of two short texts.

        Raises:
            ModelError: its classification token, which stands for "not here", is not the first.
        """
        probe = unbounded(tokenizer.backend_tokenizer).encode(_PROBE, _PROBE)
        sides = probe.sequence_ids
        question, context = sides.index(0), sides.index(1)
        behind_question, behind_context = question + sides.count(0), context + sides.count(1)
        ids, types = probe.ids, probe.type_ids
        if tokenizer.cls_token_id is not None and ids[0] != tokenizer.cls_token_id:
            raise ModelError(
                f"{type(tokenizer).__name__} puts its classification token behind the text, "
                "which question answering needs before it",
                hint="choose a model such as BERT, RoBERTa or DeBERTa",
            )
        return cls(
            (ids[:question], ids[behind_question:context], ids[behind_context:]),
            (
                types[:question],
                types[question : question + 1],
                types[behind_question:context],
                types[context : context + 1],
                types[behind_context:],
            ),
        )

    @property
    def num_tokens(self) -> int:
        return sum(map(len, self.ids))

    def row(self, question: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Ids and segments of a window, and where the context begins in it."""
        before, between, behind = self.ids
        ids = np.concatenate([before, question, between, part, behind]).astype(np.uint32)
        opening, asking, middle, telling, closing = self.segments
        segments = np.array(
            opening + asking * len(question) + middle + telling * len(part) + closing, dtype=np.uint8
        )
        return ids, segments, len(before) + len(question) + len(between)


@dataclass
class Account:
    """What became of the questions; those of each kind are counted."""

    windows: int = 0
    questions_cut: int = 0
    overlaps_less: int = 0
    answers_widened: int = 0
    answers_too_long: int = 0
    answers_not_read: int = 0

    def tell(self, name: str, total: int, settings: TaskSettings, progress: Progress) -> None:
        progress.note(
            f"{name}: {many(total, 'question')} became {many(self.windows, 'window')} "
            f"of at most {settings.max_length} tokens"
        )
        if self.overlaps_less:
            progress.note(
                f"{name}: doc_stride {settings.doc_stride} leaves the windows of {self.overlaps_less:,} questions "
                "too little to move on by; they overlap by less"
            )
        if self.answers_widened:
            progress.note(
                f"{name}: {self.answers_widened:,} answers begin or end inside of a token; the whole token is learnt"
            )
        if self.questions_cut:
            progress.warn(
                f"{name}: {self.questions_cut:,} questions are longer than half a window and were cut"
            )
        if self.answers_too_long:
            progress.warn(
                f"{name}: {self.answers_too_long:,} answers are longer than max_answer_length "
                f"{settings.max_answer_length} tokens and cannot be given whole"
            )
        if self.answers_not_read:
            progress.warn(
                f"{name}: {self.answers_not_read:,} answers consist of characters that the tokenizer leaves out; "
                "they are not learnt"
            )


def encode_windows(
    tokenizer: Any, examples: "Examples", settings: TaskSettings
) -> tuple[WindowFeatures, Account]:
    """Cut each context into windows of at most ``max_length`` tokens, question and special tokens included.

    A question keeps at most half of a window. Neighbours share ``doc_stride`` tokens of the context, or three
    quarters of what a window holds of it, if that is less. Every token of a context is in some window.

    Raises:
        ConfigError: ``max_length`` leaves no room for question and context.
        ModelError: see :meth:`Frame.of`.
    """
    frame = Frame.of(tokenizer)
    room = _room(frame, settings)
    backend = unbounded(tokenizer.backend_tokenizer)
    contexts = examples.column("context")
    known = {text: number for number, text in enumerate(dict.fromkeys(contexts))}
    tokens, offsets = [], []
    for encoding in _encoded(backend, list(known)):
        tokens.append(np.array(encoding.ids, dtype=np.uint32))
        offsets.append(np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2))
    firsts = np.cumsum([0, *map(len, tokens)])
    golds = examples.column("answers") if examples.labelled else None
    account = Account()
    made = _Windows(frame)
    for index, encoding in enumerate(_encoded(backend, examples.column("question"))):
        number = known[contexts[index]]
        question = np.array(encoding.ids[: room // 2], dtype=np.uint32)
        account.questions_cut += len(encoding) > room // 2
        left = room - len(question)
        overlap = min(settings.doc_stride, left * 3 // 4)
        account.overlaps_less += overlap < settings.doc_stride and len(tokens[number]) > left
        answer = None
        if golds is not None and golds[index]:
            answer = _answer_tokens(offsets[number], golds[index][0])
            _count(account, answer, golds[index][0], offsets[number], contexts[index], settings)
        spans = windows(len(tokens[number]), left, overlap)
        made.add(index, question, tokens[number], int(firsts[number]), answer, spans)
    account.windows = len(made.rows)
    return made.features(tokenizer, examples, offsets), account


def windows(num_tokens: int, room: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Begin and end of windows of at most ``room`` tokens that cover all; neighbours share ``overlap`` of them."""
    begin = 0
    while begin + room < num_tokens:
        yield begin, begin + room
        begin += room - overlap
    yield begin, num_tokens


@dataclass
class _Windows:
    """Windows in the making."""

    frame: Frame
    rows: list[np.ndarray] = field(default_factory=list)
    segments: list[np.ndarray] = field(default_factory=list)
    places: list[tuple[int, int, int, int]] = field(default_factory=list)
    labels: list[tuple[int, int]] = field(default_factory=list)

    def add(
        self,
        example: int,
        question: np.ndarray,
        context: np.ndarray,
        first: int,
        answer: tuple[int, int] | None,
        spans: Iterator[tuple[int, int]],
    ) -> None:
        """Add an example's windows, whose parts of the context are ``spans``.

        Args:
            first: where the context's tokens begin among those of all contexts.
            answer: its first and last token; ``None`` without an answer.
        """
        for begin, end in spans:
            ids, segments, at = self.frame.row(question, context[begin:end])
            self.rows.append(ids)
            self.segments.append(segments)
            self.places.append((example, at, at + end - begin, first + begin))
            if answer is None or (answer != _NOT_READ and (answer[0] < begin or answer[1] >= end)):
                self.labels.append((0, 0))
            elif answer == _NOT_READ:
                self.labels.append(_NOT_READ)
            else:
                self.labels.append((answer[0] - begin + at, answer[1] - begin + at))

    def features(self, tokenizer: Any, examples: "Examples", offsets: list[np.ndarray]) -> WindowFeatures:
        told_segments = "token_type_ids" in tokenizer.model_input_names
        places = np.array(self.places, dtype=np.int64).reshape(-1, 4)
        return WindowFeatures(
            examples=examples,
            rows=TokenRows.of(self.rows, self.segments if told_segments else None),
            example=places[:, 0],
            context=places[:, 1:3],
            first=places[:, 3],
            offsets=np.concatenate([*offsets, np.zeros((0, 2), dtype=np.int32)]),
            labels=np.array(self.labels, dtype=np.int64).reshape(-1, 2) if examples.labelled else None,
        )


def _room(frame: Frame, settings: TaskSettings) -> int:
    """Tokens of question and context that a window holds."""
    assert settings.max_length
    room = settings.max_length - frame.num_tokens
    if room < 2:
        raise ConfigError(
            f"max_length {settings.max_length} leaves no room for question and context beside "
            f"{frame.num_tokens} special tokens",
            hint="raise --max-length; 384 is usual",
        )
    return room


def _encoded(backend: Any, texts: Sequence[str]) -> Iterator[Any]:
    """The ``tokenizers.Encoding`` of each text, without special tokens."""
    for begin in range(0, len(texts), _TEXTS_AT_ONCE):
        yield from backend.encode_batch(texts[begin : begin + _TEXTS_AT_ONCE], add_special_tokens=False)


def _answer_tokens(offsets: np.ndarray, gold: dict[str, Any]) -> tuple[int, int]:
    """First and last token of a context that hold some of an answer; ``_NOT_READ`` when none does."""
    begin, end = gold["start"], gold["start"] + len(gold["text"])
    first = int(np.searchsorted(offsets[:, 1], begin, side="right"))
    last = int(np.searchsorted(offsets[:, 0], end, side="left")) - 1
    return (first, last) if first <= last else _NOT_READ


def _count(
    account: Account,
    answer: tuple[int, int],
    gold: dict[str, Any],
    offsets: np.ndarray,
    context: str,
    settings: TaskSettings,
) -> None:
    """Count what is odd about an answer."""
    if answer == _NOT_READ:
        account.answers_not_read += 1
        return
    first, last = answer
    account.answers_too_long += last - first >= settings.max_answer_length
    account.answers_widened += context[offsets[first, 0] : offsets[last, 1]].strip() != gold["text"].strip()
