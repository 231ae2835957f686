"""Documents to tokens with the Rust tokenizer itself: in pieces, in batches, in order."""

import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from llmctl import ranks
from llmctl.data.backends import unbounded
from llmctl.data.cuts import recut, whole
from llmctl.data.documents import Documents
from llmctl.data.readers import Piece
from llmctl.errors import DataError
from llmctl.progress import Progress

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

# Measured: shorter and longer pieces are both slower, and so are batches that outgrow the processor's cache.
_CHARS_A_PIECE = 4_000
_CHARS_A_BATCH = 256_000

# Enough that the tokenizer's threads have work while a batch is written down.
_BATCHES_AHEAD = 2

# What shows whether a tokenizer's tokens reach over the places where documents are cut.
_SAMPLE = (
    "Once upon a time, in 1984, there was a hen.\nShe didn't like the rain! What was she to do? (Nothing.) "
    "Tick,\ntock,\nsaid\nthe\nclock.\n12\nstrokes"
)
_PIECES_TRIED = 16


class Batch(NamedTuple):
    """Pieces of text that follow each other, as tokens.

    Attributes:
        tokens: (T,) of the encoder's type, with prefixes and suffixes.
        documents: (D, 3) int64, of each document that ends here: its end in ``tokens``, its bytes and words.
        within: whether the text goes on with the same document.
        num_pieces: what it was made of.
        num_bytes: UTF-8 bytes of the text.
    """

    tokens: np.ndarray
    documents: np.ndarray
    within: bool
    num_pieces: int
    num_bytes: int


class _Cut(NamedTuple):
    """Pieces that are tokenised together.

    Attributes:
        begins: whether the first begins a document.
        checksum: CRC-32 of all text to the end of the last.
    """

    pieces: list[Piece]
    begins: bool
    checksum: int


class Encoder:
    """Documents to tokens with a copy of the tokenizer, so that the caller's keeps its settings.

    Args:
        backend: the caller's tokenizer.
        eos: ends each document where the post-processor puts nothing last.
    """

    def __init__(self, backend: "Tokenizer", eos: int | None) -> None:
        self.backend = unbounded(backend)
        self.prefix, self.suffix = _frame(self.backend)
        if not self.suffix and eos is not None:
            self.suffix = [eos]
        largest = max([*self.backend.get_vocab(with_added_tokens=True).values(), *self.prefix, *self.suffix])
        self.dtype = "uint16" if largest < 1 << 16 else "uint32"

    def pieces(self, documents: Documents, progress: Progress) -> Iterator[Piece]:
        """The documents in pieces whose tokens are the document's, whole where there is no other way."""
        return self.cut(documents.stream(), self.marks(documents, progress))

    def marks(self, documents: Documents, progress: Progress) -> str:
        """The characters that documents can be cut at, the preferred one first; empty where there are none."""
        for marks in (" \n", " ", "\n"):
            if self._cuts_well(documents, marks):
                return marks
        progress.note(f"{documents.name}: this tokenizer needs each document whole; a long one takes memory")
        return ""

    def cut(self, stream: Iterator[Piece], marks: str) -> Iterator[Piece]:
        """The documents in pieces, cut at ``marks``."""
        return recut(stream, _CHARS_A_PIECE, marks) if marks else whole(stream)

    def _cuts_well(self, documents: Documents, marks: str) -> bool:
        """Whether pieces have the tokens of the whole, tried on a sample and on the documents' first cuts."""
        sample = Documents("", 1, 0, "", (), lambda: iter([Piece(_SAMPLE, True)]))
        own = islice(documents.pieces(_CHARS_A_PIECE, marks), _PIECES_TRIED)
        return all(
            self._ids(left.text) + self._ids(right.text) == self._ids(left.text + right.text)
            for left, right in [*pairwise(sample.pieces(8, marks)), *pairwise(own)]
            if not left.ends_document
        )

    def _ids(self, text: str) -> list[int]:
        return self.backend.encode(text, add_special_tokens=False).ids

    def batches(
        self,
        pieces: Iterator[Piece],
        *,
        begins: bool = True,
        documents: int | None = None,
        together: bool = False,
    ) -> Iterator[Batch]:
        """The pieces' tokens, in order; the next ones are tokenised while one is handed out.

        Args:
            begins: whether the first piece begins a document.
            documents: how many may end in a batch; ``None``: any number.
            together: whether all ranks ask for the same at one time: each tokenises a share, for all.

        Raises:
            DataError: the ranks' pieces are not the same.
        """
        read: deque[int] = deque()  # checksums of what this rank has read and not handed out

        def cuts() -> Iterator[_Cut]:
            for cut in _batched(pieces, begins, documents):
                read.append(cut.checksum)
                yield cut

        made = ranks.pooled(cuts(), self._encoded) if together else self._encoded(cuts())
        before = np.zeros(2, dtype=np.int64)  # bytes and words of the document that goes on
        for checksum, batch, rest in made:
            if not read or read.popleft() != checksum:
                raise DataError(
                    "the processes do not read the same text: files differ, or one of them cannot read some",
                    hint="have all machines read from one disk, or the same copies",
                )
            if len(batch.documents):
                batch.documents[0, 1:] += before
                before = rest
            else:
                before += rest
            yield batch

    def _encoded(self, cuts: Iterator[_Cut]) -> Iterator[tuple[int, Batch, np.ndarray]]:
        """Each with its checksum, and the bytes and words, (2,) int64, of a document that goes on."""

        def encode(cut: _Cut) -> list["Encoding"]:
            return self.backend.encode_batch_fast(
                [piece.text for piece in cut.pieces], add_special_tokens=False
            )

        with ThreadPoolExecutor(1) as pool:
            ahead: deque[tuple[_Cut, Future[list[Encoding]]]] = deque()
            for cut in cuts:
                ahead.append((cut, pool.submit(encode, cut)))
                if len(ahead) > _BATCHES_AHEAD:
                    first, encodings = ahead.popleft()
                    yield self._batch(first, encodings.result())
            for cut, encodings in ahead:
                yield self._batch(cut, encodings.result())

    def _batch(self, cut: _Cut, encodings: list["Encoding"]) -> tuple[int, Batch, np.ndarray]:
        tokens: list[int] = []
        rows: list[tuple[int, int, int]] = []
        total = num_bytes = num_words = 0
        begins = cut.begins
        for (text, ends), encoding in zip(cut.pieces, encodings, strict=True):
            if begins:
                tokens += self.prefix
            tokens += encoding.ids
            size = len(text) if text.isascii() else len(text.encode())
            total += size
            num_bytes += size
            num_words += len(text.split())
            begins = ends
            if ends:
                tokens += self.suffix
                rows.append((len(tokens), num_bytes, num_words))
                num_bytes = num_words = 0
        documents = np.array(rows, dtype=np.int64).reshape(-1, 3)
        made = Batch(np.array(tokens, dtype=self.dtype), documents, not begins, len(cut.pieces), total)
        return cut.checksum, made, np.array([num_bytes, num_words])


def _frame(backend: "Tokenizer") -> tuple[list[int], list[int]]:
    """What the post-processor puts before and behind a text."""
    for text in ("a", "1", "."):
        bare = backend.encode(text, add_special_tokens=False).ids
        framed = backend.encode(text).ids
        for at in range(len(framed) - len(bare) + 1):
            if bare and framed[at : at + len(bare)] == bare:
                return framed[:at], framed[at + len(bare) :]
    return [], []


def _batched(pieces: Iterator[Piece], begins: bool, documents: int | None) -> Iterator[_Cut]:
    batch: list[Piece] = []
    size = ended = checksum = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece.text)
        ended += piece.ends_document
        checksum = zlib.crc32(piece.text.encode(errors="surrogatepass"), checksum)
        if size >= _CHARS_A_BATCH or ended == documents:
            yield _Cut(batch, begins, checksum)
            batch, size, ended, begins = [], 0, 0, piece.ends_document
    if batch:
        yield _Cut(batch, begins, checksum)
