"""Streams of documents: counted once, re-read at will, split and cut without holding a corpus in memory."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llmctl.data.cuts import recut, whole
from llmctl.data.files import NEWLINE, NUL, SourceFile
from llmctl.data.readers import Piece
from llmctl.data.shards import Met
from llmctl.disk import sweep, write_file
from llmctl.progress import Progress

Stream = Callable[[], Iterator[Piece]]
Read = Callable[[Met], Iterator[Piece]]

_FORMAT = 1  # part of every fingerprint and key: raise it when the same files give other documents


@dataclass(frozen=True)
class Documents:
    """The text documents of one split: a re-iterable stream of bounded memory, in a fixed order.

    Attributes:
        name: as messages call it: ``plays.txt``, ``builtin:stories (train)``.
        num_documents: how many there are; none is blank.
        num_bytes: UTF-8 bytes of their text.
        fingerprint: hex digest of the text and its borders.
        files: the files they come from; empty for the Hub and built-in text.
        stream: the documents in pieces with arbitrary cuts.
        parts: of several sources, each one's own documents; empty for a single source.
        lost: what is said of each shard that was skipped.
    """

    name: str
    num_documents: int
    num_bytes: int
    fingerprint: str
    files: tuple[SourceFile, ...] = field(repr=False)
    stream: Stream = field(repr=False)
    parts: Mapping[str, "Documents"] = field(default_factory=dict, repr=False)
    lost: tuple[str, ...] = ()

    def pieces(self, max_chars: int = 20_000, marks: str = " \n") -> Iterator[Piece]:
        """The documents, long ones in pieces of up to ``max_chars`` characters.

        A cut lies where no usual pre-tokenizer joins, so that the pieces' tokens are the document's: before a
        single space, else after a line end, with printable characters on both sides. Where there is no such
        place a piece is longer. The pieces of a document, joined, are the document.

        Args:
            max_chars: length of a piece, where the text can be cut.
            marks: the characters to cut at, the preferred one first.

        Raises:
            DataError: a file is no longer as it was when it was counted, or cannot be read any more.
        """
        return recut(self.stream(), max_chars, marks)

    def __iter__(self) -> Iterator[str]:
        """Whole documents; raises as :meth:`pieces`."""
        for text, _ in whole(self.stream()):
            yield text

    def describe(self) -> dict[str, Any]:
        """What a run's record keeps of where its text came from, as plain JSON."""
        return {
            "name": self.name,
            "num_documents": self.num_documents,
            "num_bytes": self.num_bytes,
            "fingerprint": self.fingerprint,
            "files": [{"path": str(file.path.resolve()), "bytes": file.size} for file in self.files],
            **({"bad_shards": list(self.lost)} if self.lost else {}),
            **(
                {"sources": {name: part.describe() for name, part in self.parts.items()}}
                if self.parts
                else {}
            ),
        }


@dataclass(frozen=True)
class Count:
    """What one reading of a stream found; ``notes`` and ``lost`` are what the reader told on the way."""

    num_documents: int
    num_bytes: int
    num_chars: int
    num_blank: int
    fingerprint: str
    notes: list[str]
    lost: list[str] = field(default_factory=list)


def counted(
    read: Read,
    key: Any,
    *,
    name: str,
    limit: int | None,
    total: int | None,
    cache_dir: Path,
    progress: Progress,
) -> Count:
    """Read a stream once, validating it on the way; a later call with an equal ``key`` reads nothing.

    A reading that skipped something is made again: it may have been mended since.

    Args:
        read: starts a reading, blank documents included, and is handed the receiver of notes.
        key: JSON-able; decides what is yielded and changes when that may change; ``None``: nothing can tell, so each
            call reads.
        name: of the stream, for the progress bar; ``total`` its size in bytes where known.
        limit: stop behind so many documents that are not blank.
    """
    text = json.dumps([_FORMAT, key], ensure_ascii=False)
    memo = cache_dir / "counts" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    if key is not None:
        # not counted yet, or not legible: count now
        with suppress(OSError, ValueError, TypeError):
            return Count(**json.loads(memo.read_text(encoding="utf-8")))
    with progress.bar(f"reading {name}", total, "bytes") as advance:
        count = _count(read, limit, advance)
    if count.lost or key is None:
        return count
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        sweep(memo.parent)
        write_file(memo, json.dumps(asdict(count), ensure_ascii=False))
    except OSError as exc:
        progress.note(f"the count of {name} cannot be kept for the next time: {memo.parent}: {exc.strerror}")
    return count


def _count(read: Read, limit: int | None, advance: Callable[[int], None]) -> Count:
    digest = hashlib.sha256()
    documents = size = chars = blank = 0
    met = Met()

    def skip() -> None:
        nonlocal blank
        blank += 1

    for text, ends in _batches(first(without_blank(read(met), skip), limit)):
        data = text.encode()
        digest.update(data)
        advance(len(data) - ends)
        documents, size, chars = documents + ends, size + len(data) - ends, chars + len(text) - ends
    fingerprint = digest.hexdigest()[:32]
    return Count(documents, size, chars, blank, fingerprint, list(met.notes), list(met.lost.values()))


def _batches(stream: Iterator[Piece]) -> Iterator[tuple[str, int]]:
    """Around a mebibyte of text at once, NUL behind each document (text holds none), and how many ended."""
    parts: list[str] = []
    size = ended = 0
    for text, ends in stream:
        parts.append(text)
        size += len(text)
        if ends:
            parts.append(NUL)
            ended += 1
        if size > 1 << 20:
            yield "".join(parts), ended
            parts, size, ended = [], 0, 0
    yield "".join(parts), ended


# Streams of streams


def without_blank(stream: Iterator[Piece], skipped: Callable[[], None] = lambda: None) -> Iterator[Piece]:
    """Leave out the documents that are empty or white space; ``skipped`` is called at each."""
    held: list[str] = []  # the white space that the document at hand begins with
    begun = False
    for piece in stream:
        text, ends = piece
        if begun:
            yield piece
            begun = not ends
        elif text and not text.isspace():
            yield Piece("".join(held) + text, ends) if held else piece
            held.clear()
            begun = not ends
        elif ends:
            held.clear()
            skipped()
        else:
            held.append(text)


def first(stream: Iterator[Piece], count: int | None) -> Iterator[Piece]:
    """The first ``count`` documents; all for ``None``."""
    if count is None:
        yield from stream
        return
    for piece in stream:
        yield piece
        count -= piece.ends_document
        if count == 0:
            return


def behind(stream: Iterator[Piece], count: int) -> Iterator[Piece]:
    """The documents behind the first ``count``."""
    for piece in stream:
        if count <= 0:
            yield piece
        count -= piece.ends_document


def bounded(stream: Iterator[Piece], documents: int, chars: int) -> Iterator[Piece]:
    """The first documents, so many of them and so many characters at most; the last one may be cut."""
    for text, ends in first(stream, documents):
        chars -= len(text)
        yield Piece(text, ends or chars <= 0)
        if chars <= 0:
            return


def part(
    stream: Iterator[Piece], num_documents: int, num_chosen: int, seed: int, chosen: bool
) -> Iterator[Piece]:
    """``num_chosen`` of ``num_documents`` documents drawn with ``seed``, or the others, in their order.

    Selection sampling (Knuth, The Art of Computer Programming, 3.4.2, algorithm S): each document is
    taken with probability (still wanted) / (still to come), which gives every subset the same chance, and
    exactly as many as asked, without a list of them.
    """
    draw = random.Random(seed).random
    wanted, left = num_chosen, num_documents
    starts = take = True
    for piece in stream:
        if starts:
            take = draw() * left < wanted
            wanted, left = wanted - take, left - 1
        starts = piece.ends_document
        if take == chosen:
            yield piece


def between(stream: Iterator[Piece], start: int, stop: int | None) -> Iterator[Piece]:
    """The characters ``start`` to ``stop`` of a stream's only document, as a document."""
    at = 0
    for text, ends in stream:
        low, high = max(start - at, 0), len(text) if stop is None else stop - at
        at += len(text)
        last = ends or (stop is not None and at >= stop)
        if low < len(text) or last:
            yield Piece(text[low:high], last)
        if last:
            return


def place_to_cut(stream: Iterator[Piece], position: int) -> int:
    """The last line end at or before character ``position``; else the last space; else ``position``."""
    at = newline = space = 0
    for text, _ in stream:
        stop = position - at
        if (found := text.rfind(NEWLINE, 0, max(stop, 0))) >= 0:
            newline = at + found + 1
        if (found := text.rfind(" ", 0, max(stop, 0))) >= 0:
            space = at + found
        at += len(text)
        if at >= position:
            break
    return newline or space or position
