"""What a tokenizer makes of a text: counted, compared with the text, and shown on a sample."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from llmctl.data.backends import unbounded
from llmctl.data.documents import Documents
from llmctl.data.readers import Piece
from llmctl.progress import Advance

_NUM_EXAMPLES = 10
_BATCH = 64  # pieces encoded at once


@dataclass(frozen=True)
class RoundTripLoss:
    """One place where the decoded text is not the text: some characters from just before the difference."""

    text: str
    decoded: str


@dataclass(frozen=True)
class TokenizerReport:
    """One tokenizer on a text.

    Attributes:
        tokenizer: the source it was loaded from.
        vocab_size: tokens, added ones included.
        num_tokens: tokens of the text, without any that a post-processor adds.
        tokens_per_word: fertility; words are what white space separates.
        bytes_per_token: UTF-8 bytes of the text.
        unknown_share: share of the tokens that are the unknown token.
        lossy_documents_share: share of the documents that decoding does not give back exactly.
        lost_characters_share: share of the characters that the decoded text lacks, in whatever order.
        loss: the first difference, ``None`` where there is none.
        longest_tokens: the texts of the longest tokens, longest first.
        num_unused: ordinary tokens that no split of the data ever needed.
        unused_tokens: the first of them, by id, that are more than one character.
        special_tokens: tokens that are never split.
        pieces: the sample, cut up: ``(text, id)``; the id is ``None`` for text that no token holds, such as
            spaces in WordPiece. The texts joined are the sample; the text is empty where an earlier
            token of the same character shows it.
    """

    tokenizer: str
    vocab_size: int
    num_tokens: int
    tokens_per_word: float
    bytes_per_token: float
    unknown_share: float
    lossy_documents_share: float
    lost_characters_share: float
    loss: RoundTripLoss | None
    longest_tokens: tuple[str, ...]
    num_unused: int
    unused_tokens: tuple[str, ...]
    special_tokens: tuple[str, ...]
    pieces: tuple[tuple[str, int | None], ...]


class Tally:
    """Running counts of one tokenizer over one text."""

    def __init__(self) -> None:
        self.num_documents = self.num_bytes = self.num_chars = self.num_words = 0
        self.num_tokens = self.unknown = self.lossy_documents = self.lost_chars = 0
        self.loss: RoundTripLoss | None = None


def tally(documents: Documents, tokenizer: Any, limit: int, advance: Advance = lambda count: None) -> Tally:
    """Encode and decode the first ``limit`` bytes of the text, piece by piece."""
    counts = Tally()
    backend = unbounded(tokenizer.backend_tokenizer)
    lossy = False
    for piece in _first_bytes(documents, limit):
        size = len(piece.text.encode())
        ids = backend.encode(piece.text, add_special_tokens=False).ids
        counts.num_bytes += size
        counts.num_chars += len(piece.text)
        counts.num_words += len(piece.text.split())
        counts.num_tokens += len(ids)
        counts.unknown += ids.count(tokenizer.unk_token_id) if tokenizer.unk_token_id is not None else 0
        decoded = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if decoded != piece.text:
            lossy = True
            counts.lost_chars += (Counter(piece.text) - Counter(decoded)).total()
            counts.loss = counts.loss or _difference(piece.text, decoded)
        if piece.ends_document:
            counts.num_documents += 1
            counts.lossy_documents += lossy
            lossy = False
        advance(size)
    return counts


def used_ids(splits: Iterable[Documents], tokenizer: Any, limit: int, advance: Advance) -> set[int]:
    """The ids that the first ``limit`` bytes of the splits, one after the other, are encoded with."""
    used: set[int] = set()
    for documents in splits:
        for size, batch in _encoded(documents, tokenizer, limit):
            used.update(*batch)
            advance(size)
        limit -= documents.num_bytes
        if limit <= 0:
            break
    return used


def bytes_per_token(documents: Documents, tokenizer: Any, limit: int) -> float:
    """UTF-8 bytes of the first ``limit`` bytes of the text, by the tokens that they become."""
    num_bytes = num_tokens = 0
    for size, batch in _encoded(documents, tokenizer, limit):
        num_bytes += size
        num_tokens += sum(map(len, batch))
    return num_bytes / max(num_tokens, 1)


def _encoded(documents: Documents, tokenizer: Any, limit: int) -> Iterator[tuple[int, list[list[int]]]]:
    """The size in bytes of some pieces, and the ids of each, up to ``limit`` bytes."""
    backend = unbounded(tokenizer.backend_tokenizer)
    pieces = _first_bytes(documents, limit)
    while batch := [piece.text for piece in islice(pieces, _BATCH)]:
        encodings = backend.encode_batch_fast(batch, add_special_tokens=False)
        yield len("".join(batch).encode()), [encoding.ids for encoding in encodings]


def _first_bytes(documents: Documents, limit: int) -> Iterator[Piece]:
    """Pieces from the start, up to the one that reaches ``limit`` bytes; it ends its document."""
    for piece in documents.pieces():
        limit -= len(piece.text.encode())
        if limit <= 0:
            yield Piece(piece.text, True)
            return
        yield piece


def _difference(text: str, decoded: str) -> RoundTripLoss:
    """Where the two part, with a little of what is around it."""
    at = next((i for i, (a, b) in enumerate(zip(text, decoded, strict=False)) if a != b), None)
    place = min(len(text), len(decoded)) if at is None else at
    around = slice(max(place - 10, 0), place + 30)
    return RoundTripLoss(text[around], decoded[around])


def report(source: str, tokenizer: Any, counts: Tally, used: set[int], sample: str) -> TokenizerReport:
    """What the counts come to; ``used`` are the ids that the text needed, ``sample`` is cut into pieces."""
    special = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
    ordinary = sorted(set(tokenizer.get_vocab().values()) - special)
    texts = dict(zip(ordinary, token_texts(tokenizer, ordinary), strict=True))
    unused = [token_id for token_id in ordinary if token_id not in used]
    telling = (texts[i] for i in unused if len(texts[i].strip()) > 1)
    return TokenizerReport(
        tokenizer=source,
        vocab_size=len(tokenizer),
        num_tokens=counts.num_tokens,
        tokens_per_word=counts.num_tokens / max(counts.num_words, 1),
        bytes_per_token=counts.num_bytes / max(counts.num_tokens, 1),
        unknown_share=counts.unknown / max(counts.num_tokens, 1),
        lossy_documents_share=counts.lossy_documents / max(counts.num_documents, 1),
        lost_characters_share=counts.lost_chars / max(counts.num_chars, 1),
        loss=counts.loss,
        longest_tokens=tuple(sorted(texts.values(), key=lambda text: (-len(text), text))[:_NUM_EXAMPLES]),
        num_unused=len(unused),
        unused_tokens=tuple(islice(telling, _NUM_EXAMPLES)),
        special_tokens=tuple(tokenizer.convert_ids_to_tokens(sorted(special))),
        pieces=_pieces(tokenizer, sample),
    )


def _pieces(tokenizer: Any, sample: str) -> tuple[tuple[str, int | None], ...]:
    """The sample cut by the tokens' character offsets; several tokens of one character share it."""
    encoding = unbounded(tokenizer.backend_tokenizer).encode(sample, add_special_tokens=False)
    pieces: list[tuple[str, int | None]] = []
    done = 0
    for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        if start > done:
            pieces.append((sample[done:start], None))
            done = start
        pieces.append((sample[done:end], token_id))
        done = max(done, end)
    if done < len(sample):
        pieces.append((sample[done:], None))
    return tuple(pieces)


def token_texts(tokenizer: Any, ids: Iterable[int]) -> list[str]:
    """What each token stands for, as text; bytes that are no character by themselves come as U+FFFD."""
    batch = [[token_id] for token_id in ids]
    texts: list[str] = tokenizer.backend_tokenizer.decode_batch(batch, skip_special_tokens=False)
    return texts
