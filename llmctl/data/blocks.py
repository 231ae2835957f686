"""Documents to token blocks: tokenised once, kept on disk, memory-mapped, packed without padding."""

import errno
import hashlib
import json
import os
import secrets
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from llmctl import locks
from llmctl.data.backends import backend_of
from llmctl.data.documents import Documents
from llmctl.data.encode import Encoder
from llmctl.disk import flush_directory, sweep, write_file
from llmctl.errors import DataError
from llmctl.progress import Progress, many

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100  # the label that transformers' losses leave out

_FORMAT = 1  # part of every key: raise it when the same documents give other tokens or files


@dataclass(frozen=True)
class TokenizedDocuments:
    """The tokens of D documents, memory-mapped.

    Attributes:
        tokens: (T,) uint16 or uint32; each document is prefix, text, suffix.
        ends: (D,) int64; document d is ``tokens[ends[d - 1]:ends[d]]``, the first from 0.
        num_bytes: (D,) int64, UTF-8 bytes of each document's text.
        num_words: (D,) int64, words between white space, as ``len(text.split())``.
        prefix_length: tokens that the tokenizer's post-processor puts first in each document.
        suffix_length: tokens that end each document: the post-processor's own, else the end-of-sequence
            token, else none.
    """

    tokens: np.ndarray
    ends: np.ndarray
    num_bytes: np.ndarray
    num_words: np.ndarray
    prefix_length: int
    suffix_length: int

    def part(self, first: int, after: int) -> "TokenizedDocuments":
        """The documents from number ``first`` on, before number ``after``."""
        begin, end = (int(self.ends[number - 1]) if number else 0 for number in (first, after))
        chosen = slice(first, after)
        return replace(
            self,
            tokens=self.tokens[begin:end],
            ends=self.ends[chosen] - begin,
            num_bytes=self.num_bytes[chosen],
            num_words=self.num_words[chosen],
        )


class Blocks:
    """A map-style data set of packed blocks, with borders of documents wherever they fall, without padding.

    Every token of the stream but the first is a label exactly once. The last block may be shorter than the
    others; a stream of fewer than two tokens has no block.

    Args:
        documents: the stream.
        block_size: tokens in a block.
        restart: give positions that begin anew with each document. What predicts a document's first token is its
            position 0, as it is when a text is scored or written: its prefix, else the end of the document before.
    """

    lengths: ClassVar[None] = None
    """All blocks but the last are equally long."""

    def __init__(self, documents: TokenizedDocuments, block_size: int, *, restart: bool = False) -> None:
        self.tokens = documents.tokens
        self.block_size = block_size
        before = 1 if documents.suffix_length and not documents.prefix_length else 0
        self.begins = np.append(0, documents.ends[:-1] - before) if restart else None

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)

    @property
    def sizes(self) -> np.ndarray:
        """(N,) int64, tokens of the text in each block."""
        starts = np.arange(0, len(self) * self.block_size, self.block_size)
        return np.diff(starts, append=len(self.tokens))

    @property
    def description(self) -> str:
        return f"{many(len(self), 'block')} of {self.block_size} tokens, nothing padded or dropped"

    def __len__(self) -> int:
        # The last token has no successor to predict, so it alone makes no block.
        return -(-(len(self.tokens) - 1) // self.block_size)

    def __getitem__(self, index: int) -> "dict[str, Tensor]":
        """Block ``index``: "input_ids" and "labels", int64 (n,), n at most ``block_size``; "position_ids" if asked for.

        ``labels[j]`` is the token after ``input_ids[j]``; -100 only where the stream ends.
        """
        import torch

        if not -len(self) <= index < len(self):
            raise IndexError(f"block {index} of {len(self)}")
        start = index % len(self) * self.block_size
        window = self.tokens[start : start + self.block_size + 1].astype(np.int64)
        if len(window) <= self.block_size:
            window = np.append(window, IGNORED)
        tokens = torch.from_numpy(window)
        block = {"input_ids": tokens[:-1], "labels": tokens[1:]}
        if self.begins is not None:
            block["position_ids"] = torch.from_numpy(self._positions(start, len(window) - 1))
        return block

    def _positions(self, start: int, count: int) -> np.ndarray:
        """How far each token of a block is from the begin of its document, or of the block."""
        assert self.begins is not None
        places = np.arange(start, start + count)
        begins = self.begins[np.searchsorted(self.begins, places, side="right") - 1]
        return places - np.maximum(begins, start)


def tokenize(
    documents: Documents, tokenizer: Any, *, cache_dir: Path, progress: Progress
) -> TokenizedDocuments:
    """The documents' tokens, made once and kept under a key of the text's and the tokenizer's content.

    Args:
        documents: the text.
        tokenizer: a fast tokenizer of transformers; its truncation and padding settings play no part.
        cache_dir: where prepared data is kept.

    Raises:
        ModelError: the tokenizer is not a fast one.
        DataError: the text changed since it was counted, or there is no room or permission to write.
    """
    backend = backend_of(tokenizer)
    content = backend.to_str()
    # Behind "added_tokens" stands all that decides tokens; before it truncation and padding.
    content = content[max(content.find('"added_tokens"'), 0) :]
    settings = json.dumps([_FORMAT, documents.fingerprint, tokenizer.eos_token_id])
    key = hashlib.sha256((settings + content).encode()).hexdigest()[:32]
    place = cache_dir / "tokens" / key
    if (kept := _read(place)) is not None:
        return kept
    try:
        encoder = Encoder(backend, tokenizer.eos_token_id)
        _check_room(documents, encoder.dtype, cache_dir)
        _write(documents, encoder, place, progress)
    except OSError as exc:
        raise _no_place(cache_dir, exc) from exc
    written = _read(place)
    if written is None:
        raise DataError(
            f"{place}: cannot be read back", hint="free the place, or set LLMCTL_CACHE_DIR elsewhere"
        )
    return written


# On disk: tokens.bin, documents.bin with (D, 3) int64 of end, bytes and words, and meta.json


def _read(place: Path) -> TokenizedDocuments | None:
    """What is kept at ``place``; None where nothing whole is."""
    try:
        meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
        tokens = np.memmap(place / "tokens.bin", dtype=meta["dtype"], mode="r")
        rows = np.memmap(place / "documents.bin", dtype=np.int64, mode="r").reshape(-1, 3)
        if (len(tokens), len(rows)) != (meta["num_tokens"], meta["num_documents"]):
            return None
    except (OSError, ValueError, KeyError):
        return None
    ends, num_bytes, num_words = rows.T
    return TokenizedDocuments(
        tokens, ends, num_bytes, num_words, meta["prefix_length"], meta["suffix_length"]
    )


def _write(documents: Documents, encoder: Encoder, place: Path, progress: Progress) -> None:
    """Stage the entry beside its place and move it there when it is complete and on the disk."""
    sweep(place.parent)
    staged = place.with_name(f".{place.name}.{os.getpid()}.{secrets.token_hex(4)}")
    staged.mkdir(parents=True)
    try:
        with locks.held(staged):
            _write_files(documents, encoder, staged, progress)
            _publish(staged, place)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _write_files(documents: Documents, encoder: Encoder, staged: Path, progress: Progress) -> None:
    num_tokens = num_documents = num_bytes = 0
    bar = progress.bar(f"tokenising {documents.name}", documents.num_bytes, "bytes")
    with (
        open(staged / "tokens.bin", "wb") as tokens,
        open(staged / "documents.bin", "wb") as rows,
        bar as advance,
    ):
        for batch in encoder.batches(encoder.pieces(documents, progress)):
            tokens.write(batch.tokens.data)
            rows.write(np.add(batch.documents, [num_tokens, 0, 0]).data)
            num_tokens += len(batch.tokens)
            num_documents += len(batch.documents)
            num_bytes += batch.num_bytes
            advance(batch.num_bytes)
        for file in (tokens, rows):
            file.flush()
            os.fsync(file.fileno())
    if (num_documents, num_bytes) != (documents.num_documents, documents.num_bytes):
        raise DataError(f"{documents.name}: changed since it was counted", hint="run the command again")
    meta = {
        "dtype": encoder.dtype,
        "num_tokens": num_tokens,
        "num_documents": num_documents,
        "prefix_length": len(encoder.prefix),
        "suffix_length": len(encoder.suffix),
    }
    write_file(staged / "meta.json", json.dumps(meta))


def _publish(staged: Path, place: Path) -> None:
    """Move the complete entry to its place; one that another process put there meanwhile is as good."""
    flush_directory(staged)
    if place.exists() and _read(place) is None:
        os.rename(place, staged / "damaged")
    try:
        os.rename(staged, place)
    except OSError:
        if _read(place) is None:
            raise
    shutil.rmtree(place / "damaged", ignore_errors=True)
    flush_directory(place.parent)


def _check_room(documents: Documents, dtype: str, cache_dir: Path) -> None:
    """Refuse before the start what would not fit: about a token for four bytes of text."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    needed = documents.num_bytes * np.dtype(dtype).itemsize // 4 + 24 * documents.num_documents
    free = shutil.disk_usage(cache_dir).free
    if free < needed:
        raise DataError(
            f"{cache_dir}: the tokens need {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free",
            hint="free some, or set LLMCTL_CACHE_DIR to a folder on a larger disk",
        )


def _no_place(cache_dir: Path, exc: OSError) -> DataError:
    reason = "no space left" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else exc.strerror or str(exc)
    return DataError(
        f"{exc.filename or cache_dir}: cannot write the tokens: {reason}",
        hint="set LLMCTL_CACHE_DIR to a folder where there is room and you may write",
    )
