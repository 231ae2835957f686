"""A text in rows of a bounded length: packed one document behind the other, or each document for itself."""

from dataclasses import dataclass

import numpy as np

from llmctl.data.blocks import TokenizedDocuments


@dataclass(frozen=True)
class Rows:
    """Every token of a text, once, in the order of the text.

    Attributes:
        tokens: (T,) the stream.
        begins: (R,) int64, where each row begins; a row ends where the next begins.
        lengths: (R,) int64, tokens in each row; ``None`` where all but the last are equally long.
    """

    tokens: np.ndarray
    begins: np.ndarray
    lengths: np.ndarray | None

    @property
    def description(self) -> str:
        longest = int(np.diff(self.begins, append=len(self.tokens)).max(initial=0))
        if self.lengths is None:
            return f"{len(self):,} rows of {longest} tokens, nothing padded or dropped"
        return f"{len(self):,} rows of {self.lengths.mean():.0f} tokens on average, at most {longest}"

    def __len__(self) -> int:
        return len(self.begins)

    def __getitem__(self, index: int) -> np.ndarray:
        """Row ``index``, int64 (n,)."""
        end = self.begins[index + 1] if index + 1 < len(self.begins) else len(self.tokens)
        return self.tokens[self.begins[index] : end].astype(np.int64)


@dataclass(frozen=True)
class RowExamples:
    """What all data sets of training examples that are made of rows have; each makes its examples in its own way."""

    rows: Rows

    @property
    def lengths(self) -> np.ndarray | None:
        return self.rows.lengths

    @property
    def num_tokens(self) -> int:
        return len(self.rows.tokens)

    @property
    def sizes(self) -> np.ndarray:
        """(N,) int64, tokens of the text in each row."""
        return np.diff(self.rows.begins, append=len(self.rows.tokens))

    @property
    def description(self) -> str:
        return self.rows.description

    def __len__(self) -> int:
        return len(self.rows)


def rows_of(documents: TokenizedDocuments, length: int, *, packing: bool) -> Rows:
    """Cut a text into rows of at most ``length`` tokens.

    Args:
        packing: let rows run over the borders of documents, so that all but the last are full; else each document
            begins a row, and takes as many as it needs, of about equal length.
    """
    tokens = documents.tokens
    if packing:
        return Rows(tokens, np.arange(0, len(tokens), length), None)
    starts = np.concatenate([[0], documents.ends[:-1]]).astype(np.int64)
    sizes = documents.ends - starts
    starts, sizes = starts[sizes > 0], sizes[sizes > 0]
    counts = -(-sizes // length)
    row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = np.repeat(starts, counts) + row * np.repeat(sizes, counts) // np.repeat(counts, counts)
    return Rows(tokens, begins, np.diff(begins, append=len(tokens)))
