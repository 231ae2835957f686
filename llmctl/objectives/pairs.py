"""Pairs of texts as token ids: what is read, and what is to be written for it."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from llmctl.objectives.features import Cut, TokenRows
from llmctl.objectives.task import Features

if TYPE_CHECKING:
    from llmctl.data.examples import Examples

_TEXTS_AT_ONCE = 1024


@dataclass(frozen=True)
class PairFeatures(Features):
    """Encoded texts, and the texts to write for them.

    Attributes:
        examples: what they were made of.
        rows: token ids of the texts to read.
        targets: token ids of the texts to write, with the token that ends them; ``None`` unlabelled.
    """

    examples: "Examples"
    rows: TokenRows
    targets: TokenRows | None

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = self.rows[index]
        return row if self.targets is None else {**row, "labels": self.targets[index]["input_ids"]}


@dataclass(frozen=True)
class LearntPairs(PairFeatures):
    """The same, in batches alike on both sides.

    Sorted by source alone, Multi30k pads half as many target tokens again as there are; by the longer side, a tenth
    on either side.
    """

    @cached_property
    def lengths(self) -> np.ndarray:
        """(N,) float64: tokens of the longer side, and as a fraction those of the shorter."""
        assert self.targets is not None
        sources, targets = self.rows.lengths, self.targets.lengths
        longer = np.maximum(sources, targets)
        return longer + np.minimum(sources, targets) / (1 + longer.max(initial=0))


def encode_side(
    tokenizer: Any, texts: Sequence[str], max_length: int, *, target: bool = False
) -> tuple[TokenRows, Cut]:
    """Encode texts to read, or to write, with the special tokens of their side.

    The tokenizer's own call does it, which alone knows the marks of a target; slow tokenizers have no other.

    Args:
        tokenizer: it keeps its settings.
        texts: (N).
        max_length: longest row, in tokens, special tokens included.
        target: the texts are to be written.
    """
    tokenizer = copy.deepcopy(tokenizer)  # it remembers its last call's truncation, and would be saved so

    def call(batch: Sequence[str], **settings: Any) -> list[list[int]]:
        side = {"text_target": list(batch)} if target else {"text": list(batch)}
        ids: list[list[int]] = tokenizer(
            **side, padding=False, return_attention_mask=False, verbose=False, **settings
        )["input_ids"]
        return ids

    rows: list[list[int]] = []
    cut_rows = cut_tokens = 0
    for begin in range(0, len(texts), _TEXTS_AT_ONCE):
        part = call(texts[begin : begin + _TEXTS_AT_ONCE], truncation=False)
        if long := [place for place, row in enumerate(part) if len(row) > max_length]:
            cut_rows += len(long)
            short = call([texts[begin + place] for place in long], truncation=True, max_length=max_length)
            for place, row in zip(long, short, strict=True):
                cut_tokens += len(part[place]) - len(row)
                part[place] = row
        rows += part
    return TokenRows.of(rows), Cut(cut_rows, cut_tokens)
