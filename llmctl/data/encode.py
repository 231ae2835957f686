"""Documents to tokens with the Rust tokenizer itself: in pieces, in batches, in order."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice, pairwise
from typing import TYPE_CHECKING, NamedTuple

from llmctl.data.cuts import recut, whole
from llmctl.data.documents import Documents
from llmctl.data.readers import Piece
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
    """What some pieces became.

    Attributes:
        num_pieces: how many.
        within: whether the last of them is not the end of its document.
        tokens: theirs, with prefix and suffix.
        documents: end in the stream, bytes and words of each document that ended.
        num_bytes: of the pieces.
    """

    num_pieces: int
    within: bool
    tokens: list[int]
    documents: list[tuple[int, int, int]]
    num_bytes: int


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
        self, pieces: Iterator[Piece], *, begins: bool = True, documents: int | None = None
    ) -> Iterator[Batch]:
        """The pieces' tokens, in order; the next ones are tokenised while one is handed out.

        Args:
            begins: whether the first piece begins a document.
            documents: how many may end in a batch; ``None``: any number.
        """
        end = num_bytes = num_words = 0
        for batch, encodings in self._encoded(_batched(pieces, documents)):
            tokens: list[int] = []
            rows: list[tuple[int, int, int]] = []
            total = 0
            for (text, ends), encoding in zip(batch, encodings, strict=True):
                if begins:
                    tokens += self.prefix
                    num_bytes = num_words = 0
                tokens += encoding.ids
                size = len(text) if text.isascii() else len(text.encode())
                total += size
                num_bytes += size
                num_words += len(text.split())
                begins = ends
                if ends:
                    tokens += self.suffix
                    rows.append((end + len(tokens), num_bytes, num_words))
            end += len(tokens)
            yield Batch(len(batch), not begins, tokens, rows, total)

    def _encoded(self, batches: Iterator[list[Piece]]) -> Iterator[tuple[list[Piece], list["Encoding"]]]:
        def encode(batch: list[Piece]) -> list["Encoding"]:
            return self.backend.encode_batch_fast([piece.text for piece in batch], add_special_tokens=False)

        with ThreadPoolExecutor(1) as pool:
            ahead: deque[tuple[list[Piece], Future[list[Encoding]]]] = deque()
            for batch in batches:
                ahead.append((batch, pool.submit(encode, batch)))
                if len(ahead) > _BATCHES_AHEAD:
                    behind, encodings = ahead.popleft()
                    yield behind, encodings.result()
            for behind, encodings in ahead:
                yield behind, encodings.result()


def unbounded(backend: "Tokenizer") -> "Tokenizer":
    """A copy that neither truncates nor pads: some models' tokenizers do both, by their saved settings."""
    copy = type(backend).from_str(backend.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def _frame(backend: "Tokenizer") -> tuple[list[int], list[int]]:
    """What the post-processor puts before and behind a text."""
    for text in ("a", "1", "."):
        bare = backend.encode(text, add_special_tokens=False).ids
        framed = backend.encode(text).ids
        for at in range(len(framed) - len(bare) + 1):
            if bare and framed[at : at + len(bare)] == bare:
                return framed[:at], framed[at + len(bare) :]
    return [], []


def _batched(pieces: Iterator[Piece], documents: int | None) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    size = ended = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece.text)
        ended += piece.ends_document
        if size >= _CHARS_A_BATCH or ended == documents:
            yield batch
            batch, size, ended = [], 0, 0
    if batch:
        yield batch
