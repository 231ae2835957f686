"""Reversed causal language modelling: predict the token before (the backward model of Peters et al., 2018)."""

from dataclasses import replace
from typing import Any

import numpy as np

from llmctl.data.blocks import TokenizedDocuments
from llmctl.objectives.causal_lm import CausalLM


class ReversedTokens:
    """The tokens (T,) of documents, each with its text in reverse; what stands before and behind a text stays there.

    So a reversed document begins and ends as any other, and all that reads documents reads it.
    """

    def __init__(self, documents: TokenizedDocuments) -> None:
        self.documents = documents
        self.dtype = documents.tokens.dtype

    def __len__(self) -> int:
        return len(self.documents.tokens)

    def __getitem__(self, place: int | slice) -> Any:
        places = np.arange(*place.indices(len(self))) if isinstance(place, slice) else place % len(self)
        return self.documents.tokens[self._mirrored(places)]

    def max(self) -> Any:
        return self.documents.tokens.max()

    def _mirrored(self, places: Any) -> Any:
        """Where the tokens for ``places`` (n,) stand in the text as it was written."""
        ends = self.documents.ends
        document = np.searchsorted(ends, places, side="right")
        first = np.where(document > 0, ends[document - 1], 0) + self.documents.prefix_length
        last = ends[document] - self.documents.suffix_length - 1
        return np.where((places >= first) & (places <= last), first + last - places, places)


def reversed_texts(documents: TokenizedDocuments) -> TokenizedDocuments:
    """The documents with their texts in reverse."""
    return replace(documents, tokens=ReversedTokens(documents))  # type: ignore[arg-type]  # read as an array is


class ReversedLM(CausalLM):
    """A causal model of texts that are read from their end; its ``config.json`` says so.

    A reversed document begins with what begins any document, so training, scoring and writing need nothing else.
    """

    what = "reversed causal language model"
    reads_backwards = True
    remark = (
        "It reads backwards: give it the tokens of a text from the last to the first, "
        "and turn round what it writes.\n\n"
    )

    def arranged(self, features: TokenizedDocuments) -> TokenizedDocuments:
        return reversed_texts(features)
