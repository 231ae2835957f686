"""Conversations as token ids, with what is learnt of them, and an account of what was cut or left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from llmctl.data.backends import unbounded
from llmctl.data.chat import Message
from llmctl.errors import DataError
from llmctl.objectives.chat_template import ChatTemplate, RefusedError, Rendered
from llmctl.objectives.features import Cut, TokenRows
from llmctl.objectives.next_token import IGNORED
from llmctl.objectives.task import Features
from llmctl.progress import Progress

if TYPE_CHECKING:
    from tokenizers import Encoding

    from llmctl.data.examples import Examples

_AT_ONCE = 512


@dataclass(frozen=True)
class ConversationFeatures(Features):
    """Encoded conversations, N rows of T tokens in all.

    Attributes:
        examples: what they were made of; those that nothing can be learnt of are left out.
        rows: their token ids.
        learnt: (T,) bool, whether a token is a target.
    """

    examples: "Examples"
    rows: TokenRows
    learnt: np.ndarray

    @property
    def num_learnt(self) -> np.ndarray:
        """(N,) int64, targets of each row."""
        return np.add.reduceat(self.learnt, self.rows.ends - self.lengths, dtype=np.int64)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input_ids`` and ``labels``, the token that follows each where that is learnt."""
        ids = self.rows[index]["input_ids"]
        following = torch.cat([ids[1:], ids.new_tensor([IGNORED])])
        learnt = torch.from_numpy(np.append(self.of(index)[1:], False))
        return {"input_ids": ids, "labels": following.masked_fill(~learnt, IGNORED)}

    def of(self, index: int) -> np.ndarray:
        """Which tokens of a row are learnt."""
        end = int(self.rows.ends[index])
        return self.learnt[end - int(self.lengths[index]) : end]


def segments(features: ConversationFeatures, index: int) -> list[tuple[np.ndarray, bool]]:
    """The ids of a row in stretches that are learnt, or not."""
    ids, learnt = features.rows[index]["input_ids"].numpy(), features.of(index)
    borders = [0, *(np.flatnonzero(np.diff(learnt)) + 1).tolist(), len(ids)]
    return [(ids[begin:end], bool(learnt[begin])) for begin, end in pairwise(borders)]


@dataclass
class _Account:
    """What was met on the way; places are indices of examples."""

    refused: list[tuple[int, str]] = field(default_factory=list)
    unlearnt: list[int] = field(default_factory=list)  # nothing to learn within max_length
    special: list[tuple[int, str]] = field(default_factory=list)  # written out in what is said
    unplaced: int = 0
    turns: int = 0
    straddling: int = 0
    ended: int = 0
    cut: Cut = field(default_factory=lambda: Cut(0, 0))

    def tell(
        self, features: ConversationFeatures, examples: "Examples", max_length: int, progress: Progress
    ) -> None:
        name, total = examples.name, len(examples)
        if self.refused:
            first, why = self.refused[0]
            progress.warn(
                f"{name}: the chat template refuses {len(self.refused):,} of {total:,} conversations, "
                f"which are left out (first: {examples.place(first)}: {why})"
            )
        if self.special:
            first, mark = self.special[0]
            progress.warn(
                f"{name}: in {len(self.special):,} of {total:,} conversations a special token is written out in what "
                f"is said, and is read as that token (first: {examples.place(first)}: {mark})"
            )
        self.cut.tell(name, total, max_length, progress)
        if self.unlearnt:
            progress.warn(
                f"{name}: in {len(self.unlearnt):,} of {total:,} conversations the assistant says nothing within "
                f"max_length {max_length}; they are left out (first: {examples.place(self.unlearnt[0])})"
            )
        if self.unplaced:
            progress.warn(
                f"{name}: {self.unplaced:,} turns of the assistant are not learnt: the chat template does not "
                "tell where they are ({% generation %} would)"
            )
        if self.straddling:
            progress.warn(
                f"{name}: {self.straddling:,} of {self.turns:,} turns begin within a token of the prompt: the model "
                "will be prompted otherwise than it is trained"
            )
        if not self.ended:
            progress.warn(f"{name}: no token ends the assistant's turns: the model may not learn to stop")
        tokens, learnt = len(features.learnt), int(features.learnt.sum())
        progress.note(
            f"{name}: {tokens:,} tokens: {learnt:,} learnt ({learnt / tokens:.1%}), {tokens - learnt:,} masked"
        )


def encode_conversations(
    tokenizer: Any, examples: "Examples", *, max_length: int, progress: Progress
) -> ConversationFeatures:
    """Write conversations by the tokenizer's chat template and encode them.

    Args:
        tokenizer: a fast tokenizer; it keeps its settings.
        examples: with the column "messages".
        max_length: longest row, in tokens; what is beyond is cut.

    Raises:
        DataError: there is nothing to learn.
        ModelError: the template cannot be used.
    """
    template = ChatTemplate(tokenizer)
    encoder = _Encoder(
        template, unbounded(tokenizer.backend_tokenizer), _ending(tokenizer, template), max_length
    )
    messages = examples.table.column("messages")
    for begin in range(0, len(examples), _AT_ONCE):
        encoder.add(begin, messages.slice(begin, _AT_ONCE).to_pylist())
    account = encoder.account
    if not encoder.kept:
        if len(account.refused) == len(examples):
            first, why = account.refused[0]
            raise DataError(
                f"{examples.place(first)}: the model's chat template refuses the conversation, as it does all: {why}",
                hint="mend the roles, or choose another --model",
            )
        raise DataError(
            f"{examples.name}: no token to learn: in no conversation the assistant says anything within "
            f"max_length {max_length}" + (" that the chat template tells apart" if account.unplaced else ""),
            hint="raise --max-length, or choose a model with another chat template",
        )
    kept = examples if len(encoder.kept) == len(examples) else examples.select(encoder.kept)
    features = ConversationFeatures(kept, TokenRows.of(encoder.rows), np.concatenate(encoder.learnt))
    account.tell(features, examples, max_length, progress)
    return features


def _ending(tokenizer: Any, template: ChatTemplate) -> frozenset[int]:
    """The ids of the tokens that may end a turn."""
    return frozenset(tokenizer.convert_tokens_to_ids(list(template.marks)))


@dataclass
class _Encoder:
    """Rows of the conversations that are given in, one chunk at a time."""

    template: ChatTemplate
    backend: Any
    ending: frozenset[int]
    max_length: int
    account: _Account = field(default_factory=_Account)
    kept: list[int] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)
    learnt: list[np.ndarray] = field(default_factory=list)

    def add(self, begin: int, conversations: Sequence[list[Message]]) -> None:
        """Encode conversations, the first of which is example ``begin``."""
        rendered: dict[int, Rendered] = {}
        for index, messages in enumerate(conversations, begin):
            try:
                rendered[index] = self.template.render(messages)
            except RefusedError as error:
                self.account.refused.append((index, str(error)))
            if mark := self.template.special_in(messages):
                self.account.special.append((index, mark))
        texts = [found.text for found in rendered.values()]
        encodings = self.backend.encode_batch(texts, add_special_tokens=False)
        for (index, found), encoding in zip(rendered.items(), encodings, strict=True):
            self._add(index, found, encoding)

    def _add(self, index: int, found: Rendered, encoding: "Encoding") -> None:
        account, size = self.account, self.max_length
        ids = np.array(encoding.ids, dtype=np.uint32)
        begins, ends = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2).T
        learnt = np.zeros(len(ids), dtype=bool)
        for first, last in found.turns:
            turn = np.flatnonzero((ends > first) & (begins < last))
            learnt[turn] = True
            account.turns += 1
            if len(turn):
                account.straddling += bool(begins[turn[0]] < first)
                account.ended += int(ids[turn[-1]]) in self.ending
        account.unplaced += found.unplaced
        learnt[:1] = False  # nothing predicts the first token
        if not learnt[:size].any():
            account.unlearnt.append(index)
            return
        if len(ids) > size:
            account.cut = Cut(account.cut.rows + 1, account.cut.tokens + len(ids) - size)
        self.kept.append(index)
        self.rows.append(ids[:size])
        self.learnt.append(learnt[:size])
