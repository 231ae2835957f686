"""The text of labelled examples as a stream of documents: what a tokenizer of their own is trained on."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial

from llmctl.data.documents import Documents
from llmctl.data.examples import Examples
from llmctl.data.readers import Piece

_ROWS_AT_ONCE = 10_000


def text_of(examples: Examples, roles: Sequence[str]) -> Documents:
    """The texts of some columns, each a document: those of an example one behind the other.

    Args:
        examples: of one split.
        roles: columns of text, e.g. ``("text", "target")`` for a vocabulary that both sides share.
    """
    number = size = 0
    digest = hashlib.sha256()
    for text, _ in _texts(examples, roles):
        data = text.encode()
        digest.update(data + b"\0")
        number, size = number + 1, size + len(data)
    return Documents(
        examples.name,
        number,
        size,
        digest.hexdigest(),
        examples.files,
        partial(_texts, examples, tuple(roles)),
    )


def _texts(examples: Examples, roles: Sequence[str]) -> Iterator[Piece]:
    for batch in examples.table.select(list(roles)).to_batches(_ROWS_AT_ONCE):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            for text in row:
                yield Piece(text, True)
