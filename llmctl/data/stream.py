"""Tokens of a text that is read while it is learnt from: pass after pass, a buffer at a time, from any place on."""

from bisect import bisect_right
from collections.abc import Generator, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from llmctl.data.blocks import TokenizedDocuments
from llmctl.data.documents import behind, without_blank
from llmctl.data.encode import Batch, Encoder
from llmctl.data.readers import Piece
from llmctl.data.shards import Met
from llmctl.data.streamed import BUFFER_BYTES, StreamedSource, StreamedText
from llmctl.errors import DataError


class Position(NamedTuple):
    """Where the reading of a source goes on.

    Attributes:
        passes: how often it was read to its end.
        shard: how many shards of this pass were.
        pieces: how many pieces of the next shard were.
        within: whether the next piece goes on with a document.
    """

    passes: int = 0
    shard: int = 0
    pieces: int = 0
    within: bool = False


class TokenStream:
    """The tokens of a source, pass after pass; the order of the shards follows from the seed, and is always the same.

    Args:
        marks: where documents may be cut, as ``Encoder.marks`` tells.
        documents: how many may end in a batch.
    """

    def __init__(
        self, source: StreamedSource, encoder: Encoder, marks: str, documents: int, seed: int, met: Met
    ) -> None:
        self.source = source
        self.encoder = encoder
        self.marks = marks
        self.documents = documents
        self.seed = seed
        self.met = met

    def batches(self, position: Position) -> Iterator[tuple[Batch, Position]]:
        """The text from a position on, without end, each batch with the position behind it.

        Raises:
            DataError: a shard is broken, or a whole pass has no text.
        """
        while True:
            found = None
            for found in self._rest_of_pass(position):
                yield found
            if found is None and position == Position(position.passes):
                raise DataError("the stream has no text to learn from", hint="give more text")
            position = Position(position.passes + 1)

    def _rest_of_pass(self, position: Position) -> Iterator[tuple[Batch, Position]]:
        """The text of a pass from a position on; behind the last batch begins the next pass."""
        begins: list[int] = []  # of each shard that was opened: the pieces read before it
        read = 0
        held = None
        pieces = self._pieces(position, begins)
        begins_document = not position.within
        for batch in self.encoder.batches(
            pieces, begins=begins_document, documents=self.documents, together=True
        ):
            if held is not None:
                yield held
            read += batch.num_pieces
            # "begins" has all shards up to there, also where another rank made the batch: each reads ahead of them.
            shard = bisect_right(begins, read) - 1
            behind_it = Position(position.passes, position.shard + shard, read - begins[shard], batch.within)
            held = batch, behind_it
        if held is not None:
            yield held[0], Position(position.passes + 1)

    def _pieces(self, position: Position, begins: list[int]) -> Iterator[Piece]:
        shards = self.source.shards
        order = np.random.default_rng(self.seed).permutation(len(shards.shards))
        count, passed = -position.pieces, position.pieces
        for number in order[position.shard :].tolist():
            begins.append(count)
            documents = without_blank(shards.read(shards.shards[number], self.met))
            for piece in self.encoder.cut(behind(documents, self.source.held_out.get(number, 0)), self.marks):
                count += 1
                if passed:
                    passed -= 1
                else:
                    yield piece


# A buffer is full behind a whole batch: by so many it has no more than an eighth too many documents.
_BATCHES = 8


class Place(NamedTuple):
    """Where a stream goes on: of each source its position, and the tokens that were drawn of it."""

    positions: dict[str, Position]
    drawn: dict[str, int]

    @classmethod
    def read(cls, positions: Mapping[str, Any], drawn: Mapping[str, int]) -> "Place":
        """A place as JSON has it."""
        return cls({name: Position(*position) for name, position in positions.items()}, dict(drawn))


class Buffer(NamedTuple):
    """Documents that are shuffled together.

    Attributes:
        documents: of each source; where the buffer was full in the midst of a document that is cut, and goes on in
            the next.
        behind: where the next buffer begins.
        ends_pass: whether all of the stream was read once more; never true of several sources with weights.
    """

    documents: dict[str, TokenizedDocuments]
    behind: Place
    ends_pass: bool


def start_of(text: StreamedText) -> Place:
    """Where a stream begins."""
    return Place({name: Position() for name in text.sources}, dict.fromkeys(text.sources, 0))


def buffers(
    text: StreamedText, encoder: Encoder, marks: str, *, size: int, seed: int, place: Place
) -> Generator[Buffer, None, None]:
    """The text in buffers, without end; of several sources the one that is furthest behind its share comes next.

    Args:
        size: documents of a buffer, as far as :data:`BUFFER_BYTES` of text hold them.
        place: where to begin.

    Raises:
        DataError: a shard is broken, or there is no text.
    """
    sources = {name: source for name, source in text.sources.items() if source.weight}
    positions, drawn = dict(place.positions), dict(place.drawn)
    most = max(1, size // _BATCHES)
    streams = {
        name: TokenStream(source, encoder, marks, most, seed, text.met).batches(positions[name])
        for name, source in sources.items()
    }
    while True:
        held: dict[str, list[Batch]] = {name: [] for name in sources}
        num_documents = num_bytes = 0
        ends_pass = False
        while num_documents < size and num_bytes < BUFFER_BYTES and not ends_pass:
            name = min(sources, key=lambda name: drawn[name] / sources[name].weight)
            batch, position = next(streams[name])
            ends_pass = len(sources) == 1 and position.passes > positions[name].passes
            positions[name] = position
            drawn[name] += len(batch.tokens)
            num_documents += len(batch.documents)
            num_bytes += batch.num_bytes
            held[name].append(batch)
        found = {name: _joined(batches, encoder) for name, batches in held.items() if batches}
        yield Buffer(found, Place(dict(positions), dict(drawn)), ends_pass)


def _joined(batches: list[Batch], encoder: Encoder) -> TokenizedDocuments:
    """The documents of batches that follow each other; one that goes on behind them is cut, and not counted."""
    before = np.cumsum([0, *(len(batch.tokens) for batch in batches)])
    rows = [np.add(batch.documents, [start, 0, 0]) for batch, start in zip(batches, before, strict=False)]
    if batches[-1].within:
        rows.append(np.array([[before[-1], 0, 0]]))
    ends, num_bytes, num_words = np.concatenate(rows).T
    return TokenizedDocuments(
        np.concatenate([batch.tokens for batch in batches]),
        ends,
        num_bytes,
        num_words,
        len(encoder.prefix),
        len(encoder.suffix),
    )
