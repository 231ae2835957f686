"""Text that is streamed: what it is read from, what is held out of it, and its first documents."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from llmctl.data.documents import Documents, behind, bounded, first, without_blank
from llmctl.data.mixture import Ingredient, joined
from llmctl.data.readers import Piece, stream_documents
from llmctl.data.shards import Met, Shard, Shards
from llmctl.data.sources import resolve
from llmctl.data.splits import Openers, Split, number_held_out, open_splits, parts_of
from llmctl.data.text_loader import TextLoader
from llmctl.errors import DataError
from llmctl.progress import SILENT, many

BUFFER_BYTES = 16_000_000
"""The most text whose tokens are held at once."""


@dataclass(frozen=True)
class StreamedSource:
    """A source of a stream.

    Attributes:
        shards: what it is read from, in an order that the seed decides.
        held_out: shard's number -> how many of its first documents are not learnt from.
        weight: its share of the tokens beside those of other sources.
    """

    shards: Shards
    held_out: Mapping[int, int]
    weight: float = 1.0


@dataclass(frozen=True)
class StreamedText:
    """The text that a streaming run learns from; how much there is nobody knows before it is read.

    Attributes:
        name: as messages call it.
        sources: name of each to what it is.
        start: the first documents, as many as a buffer holds: what can be known of the text beforehand.
        met: what its readings met so far.
    """

    name: str
    sources: Mapping[str, StreamedSource]
    start: Documents
    met: Met = field(default_factory=Met)

    @property
    def lost(self) -> Collection[str]:
        """What is said of each shard that was skipped so far."""
        return self.met.lost.values()

    @property
    def num_shards(self) -> int:
        return sum(len(source.shards.shards) for source in self.sources.values())

    @property
    def parts(self) -> Mapping[str, Documents]:
        return {}

    def describe(self) -> dict[str, Any]:
        """As :meth:`Documents.describe`."""
        shards = [shard for source in self.sources.values() for shard in source.shards.shards]
        held_out = sum(sum(source.held_out.values()) for source in self.sources.values())
        return {
            "name": self.name,
            "streaming": True,
            "num_held_out": held_out,
            "fingerprint": self.fingerprint,
            "shards": [{"name": shard.name, "bytes": shard.num_bytes} for shard in shards],
        }

    @property
    def fingerprint(self) -> str:
        """Hex digest of what shards there are, how large, and what is held out; their text is not read for it."""
        content = [
            [
                name,
                [shard[:2] for shard in source.shards.shards],
                list(source.held_out.items()),
                source.weight,
            ]
            for name, source in self.sources.items()
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class StreamLoader(TextLoader):
    """Text to learn from as a stream; text to judge by is counted as ever."""

    def splits(self, source: str) -> dict[str, Split[Shards]]:
        openers = Openers(self._of_files, self._of_stream, self._of_builtin)
        return open_splits(source, resolve(source, self.config), openers, self.progress, streaming=True)

    def _of_stream(self, name: str, dataset: Any) -> Split[Shards]:
        """The shards of a ``datasets.IterableDataset``; nothing tells whether they are what they were."""
        count = dataset.num_shards
        shards = []
        for index in range(count):
            own = f"{name}: shard {index + 1:,} of {count:,}"
            part = dataset.shard(num_shards=count, index=index)
            shards.append(Shard(own, 0, partial(stream_documents, part, own, self.config)))
        return Split(name, None, self._shards(*shards))

    def learn(self, split: Split[Shards]) -> StreamedText:
        return self._streamed(split, 0)

    def hold_out(self, split: Split[Shards]) -> dict[str, Any]:
        """The first documents, a share of those that a buffer holds; and the stream without them."""
        config: Any = self.config
        looked_at = self._first(split, lambda stream: bounded(stream, config.buffer_size, BUFFER_BYTES))
        beginning = looked_at.num_documents
        number = number_held_out(config.validation_fraction, beginning)
        if number < 1:
            raise DataError(
                f"{split.name}: the stream begins with a single document, of which no part is held out",
                hint="--sample-by paragraph, --validation-data FILE, or --validation-fraction 0 to do without",
            )
        self.progress.note(
            f"held out {many(number, 'document')} for validation: the first of {beginning:,} that the stream "
            "begins with"
        )
        quiet = replace(self, progress=SILENT)  # what is met there has been told
        judged = quiet._first(split, lambda stream: first(stream, number), parts_of(split.name)[1])
        return {"train": quiet._streamed(split, number), "validation": judged}

    def _streamed(self, split: Split[Shards], held_out: int) -> StreamedText:
        config: Any = self.config

        def beginning(stream: Iterator[Piece]) -> Iterator[Piece]:
            return bounded(behind(stream, held_out), config.buffer_size, BUFFER_BYTES)

        start = self._first(split, beginning, parts_of(split.name)[0])
        source = StreamedSource(split.read, _by_shard(split.read, held_out))
        return StreamedText(start.name, {split.name: source}, start)

    def _first(
        self, split: Split[Shards], choose: Callable[[Iterator[Piece]], Iterator[Piece]], name: str = ""
    ) -> Documents:
        """Chosen documents of the beginning of a split; DataError when there are none."""

        def read(met: Any) -> Iterator[Piece]:
            return choose(without_blank(split.read(met)))

        name = name or split.name
        return self.load(Split(name, None, Shards((Shard(name, 0, read),)), split.files))


def _by_shard(shards: Shards, held_out: int) -> dict[int, int]:
    """How many of the first documents stand in each shard."""
    found = {}
    for number, shard in enumerate(shards.shards):
        if not held_out:
            break
        documents = first(without_blank(shards.read(shard, Met())), held_out)
        found[number] = sum(piece.ends_document for piece in documents)
        held_out -= found[number]
    return found


def streamed_together(
    title: str, parts: Mapping[str, StreamedText], shares: Sequence[Ingredient]
) -> StreamedText:
    """Several sources as one stream: each by its weight, or without weights all of their shards as one source's."""
    if len(parts) == 1:
        return next(iter(parts.values()))
    sources = {name: next(iter(text.sources.values())) for name, text in parts.items()}
    start = joined(title, "train", {name: text.start for name, text in parts.items()})
    if shares[0].weight is not None:
        weighted = {name: replace(sources[name], weight=weight or 0.0) for name, weight in shares}
        return StreamedText(start.name, weighted, start)
    shards = tuple(shard for source in sources.values() for shard in source.shards.shards)
    held_out, before = {}, 0
    for source in sources.values():
        held_out.update({before + number: count for number, count in source.held_out.items()})
        before += len(source.shards.shards)
    skip = any(source.shards.skip for source in sources.values())
    return StreamedText(start.name, {title: StreamedSource(Shards(shards, skip), held_out)}, start)
