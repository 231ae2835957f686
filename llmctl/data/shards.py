"""The shards of a split: parts that are read each by itself, of which one may be broken."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from llmctl.data.files import Tell
from llmctl.data.readers import Piece
from llmctl.errors import DataError
from llmctl.progress import many


@dataclass
class Met:
    """What a reading meets; itself what is called with a note.

    Attributes:
        notes: what was mended or chosen, each thing once.
        lost: what was said of each shard that was skipped.
    """

    notes: dict[str, None] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)

    def __call__(self, note: str) -> None:
        self.notes.setdefault(note)


class Shard(NamedTuple):
    """A file, or a part of a data set; ``num_bytes`` is 0 where its size is not known."""

    name: str
    num_bytes: int
    read: Callable[[Tell], Iterator[Piece]]


@dataclass(frozen=True)
class Shards:
    """All shards of a split, in their order; called, they are read one after the other.

    Attributes:
        skip: go on behind a shard that ends early, cannot be read or is not what it should be. What was read of it
            before stays.
    """

    shards: tuple[Shard, ...]
    skip: bool = False

    def __call__(self, met: Met) -> Iterator[Piece]:
        """The documents, blank ones included.

        Raises:
            DataError: a shard is broken, and none is to be skipped.
        """
        for shard in self.shards:
            yield from self.read(shard, met)

    def read(self, shard: Shard, met: Met) -> Iterator[Piece]:
        """As :meth:`__call__`, one shard."""
        documents, within = 0, False
        try:
            for piece in shard.read(met):
                yield piece
                within = not piece.ends_document
                documents += piece.ends_document
        except DataError as exc:
            if not self.skip:
                raise self._with_way_out(exc) from exc
            if within:
                yield Piece("", True)
            size = f" of {max(shard.num_bytes / 1e6, 0.001):,.3g} MB" if shard.num_bytes else ""
            known = documents + within
            where = f"behind its first {many(known, 'document')}" if known else "as a whole"
            met.lost[shard.name] = f"skipped a bad shard{size} {where}: {exc.message}"

    def _with_way_out(self, exc: DataError) -> DataError:
        if len(self.shards) == 1:
            return exc
        return DataError(exc.message, hint=f"{exc.hint}; --on-bad-shard skip goes on with the next")
