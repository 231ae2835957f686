"""``llmctl tokenizer train`` and ``llmctl tokenizer inspect``."""

import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from llmctl import disk, models, runs, tokenization
from llmctl.config import TokenizerInspectConfig, TokenizerTrainConfig
from llmctl.data.documents import Documents
from llmctl.data.encode import unbounded
from llmctl.data.load import load_text
from llmctl.data.readers import Piece
from llmctl.data.sources import check_source
from llmctl.errors import ConfigError, ModelError
from llmctl.progress import Progress

# Enough for three digits of every share that is told.
INSPECT_BYTES = 2_000_000
# Text in which unused tokens are looked for: some ten seconds of it.
USED_BYTES = 50_000_000
_BATCH = 64  # pieces encoded at once
_SAMPLE_CHARS = 200
_NUM_EXAMPLES = 10
_SENTENCE = re.compile(r".+?[.!?](?=\s|$)", re.DOTALL)


@dataclass(frozen=True)
class TrainedTokenizer:
    """What ``tokenizer train`` did.

    Attributes:
        output_dir: where the tokenizer is.
        algorithm, architecture: as asked.
        vocab_size: tokens, special tokens included.
        num_documents, num_bytes: the text it was given (UTF-8 bytes).
        seconds: the training alone, without start-up and saving.
        bytes_per_token: on ``measured_on``: the validation split, else the training text; at most 2 MB.
    """

    output_dir: str
    algorithm: str
    architecture: str
    vocab_size: int
    num_documents: int
    num_bytes: int
    seconds: float
    bytes_per_token: float
    measured_on: str


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


@dataclass(frozen=True)
class Inspection:
    """What ``tokenizer inspect`` found: the text, and a report for each tokenizer."""

    data: str
    num_documents: int
    num_bytes: int
    num_words: int
    sample: str
    tokenizers: tuple[TokenizerReport, ...]


def check_train(config: TokenizerTrainConfig) -> None:
    """Find what is wrong without importing the heavy libraries.

    Raises:
        ConfigError: naming the option or path.
    """
    check_source(config)
    _check_unused(Path(config.output_dir).expanduser())
    tokenization.check(config, config.architecture)


def check_inspect(config: TokenizerInspectConfig) -> None:
    """Like :func:`check_train`.

    Raises:
        ConfigError, RunError: no tokenizer or data is named, or one cannot be found.
    """
    if not config.tokenizer:
        raise ConfigError("no tokenizer is named", hint="llmctl tokenizer inspect DIRECTORY [HUB_ID ...]")
    check_source(config)
    for source in config.tokenizer:
        models.find_source(source, runs.runs_dir(None))


def train(config: TokenizerTrainConfig, *, progress: Progress) -> TrainedTokenizer:
    """Train a tokenizer on ``config.data`` and save it where ``AutoTokenizer`` loads it from.

    Raises:
        ConfigError: the output directory is in use or cannot be made, or what is asked for cannot be.
        DataError: the text cannot be read.
        ModelError: the tokenizer cannot be written, or does not load as it was trained.
    """
    check_train(config)
    output_dir = _with_parent(config.output_dir)
    splits = load_text(config, progress=progress, cache_dir=runs.cache_dir(), wanted=("train", "validation"))
    documents, judge = splits["train"], splits.get("validation", splits["train"])

    import_module("transformers.tokenization_utils_tokenizers")  # start-up, not training
    start = time.perf_counter()
    tokenizer = tokenization.train(documents, config, config.architecture, progress=progress)
    seconds = time.perf_counter() - start

    try:
        with disk.staged_directory(output_dir) as folder:
            tokenizer.save_pretrained(folder)
            _check_reload(folder, tokenizer, next(judge.pieces()).text)
    except OSError as error:
        raise ModelError(f"cannot write {output_dir}: {error.strerror or error}") from error
    tally = _tally(judge, tokenizer, INSPECT_BYTES)
    return TrainedTokenizer(
        output_dir=str(output_dir),
        algorithm=config.algorithm,
        architecture=config.architecture,
        vocab_size=len(tokenizer),
        num_documents=documents.num_documents,
        num_bytes=documents.num_bytes,
        seconds=seconds,
        bytes_per_token=tally.num_bytes / max(tally.num_tokens, 1),
        measured_on=judge.name,
    )


def inspect(config: TokenizerInspectConfig, *, progress: Progress) -> Inspection:
    """Compare tokenizers on the validation split of ``config.data``, or on all of it where there is none.

    At most 2 MB of the text are read, which is told, unless ``max_documents`` says how much. Unused tokens are
    those that neither the validation nor the training split needs, in at most 50 MB, which is told as well.

    Raises:
        ConfigError: no tokenizer is named, or one cannot be found.
        DataError, ModelError, RunError: text or tokenizer cannot be read.
    """
    check_inspect(config)
    place = runs.runs_dir(None)
    tokenizers = [models.load_tokenizer(source, runs_dir=place) for source in config.tokenizer]
    splits = load_text(config, progress=progress, cache_dir=runs.cache_dir(), wanted=("train", "validation"))
    documents = splits.get("validation", splits["train"])

    limit = INSPECT_BYTES if config.max_documents is None else documents.num_bytes
    if documents.num_bytes > limit:
        progress.note(f"inspected the first {limit:,} of {documents.num_bytes:,} bytes of {documents.name}")
    sample = config.sample if config.sample is not None else _first_sentence(documents)
    everything = sum(split.num_bytes for split in splits.values())
    searched = USED_BYTES if config.max_documents is None else everything
    if everything > searched:
        progress.note(f"looked for unused tokens in the first {searched:,} of all {everything:,} bytes")
    tallies, used = [], []
    for source, tokenizer in zip(config.tokenizer, tokenizers, strict=True):
        with progress.bar(f"inspecting {source}", min(limit, documents.num_bytes), "bytes") as advance:
            tallies.append(_tally(documents, tokenizer, limit, advance))
        with progress.bar(f"unused tokens of {source}", min(searched, everything), "bytes") as advance:
            used.append(_used(splits.values(), tokenizer, searched, advance))
    return Inspection(
        data=documents.name,
        num_documents=tallies[0].num_documents,
        num_bytes=tallies[0].num_bytes,
        num_words=tallies[0].num_words,
        sample=sample,
        tokenizers=tuple(
            _report(source, tokenizer, tally, ids, sample)
            for source, tokenizer, tally, ids in zip(config.tokenizer, tokenizers, tallies, used, strict=True)
        ),
    )


def _with_parent(name: str) -> Path:
    """The directory to save to, whose parent is there and can be written to."""
    path = Path(name).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make {path.parent}: {error.strerror}", hint="choose --output-dir"
        ) from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"no permission to write to {path.parent}", hint="choose another --output-dir")
    return path


def _check_unused(path: Path) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"the output directory {path} is in use", hint="name another with --output-dir")


def _check_reload(folder: Path, tokenizer: Any, text: str) -> None:
    """What was saved must encode as what was trained, with the library's own loader."""
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(folder)
    same = loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    if not (same and loaded.get_vocab() == tokenizer.get_vocab()):
        raise ModelError(
            "the saved tokenizer does not encode as the trained one", hint="report this as a bug"
        )


class _Tally:
    """Running counts of one tokenizer over one text."""

    def __init__(self) -> None:
        self.num_documents = self.num_bytes = self.num_chars = self.num_words = 0
        self.num_tokens = self.unknown = self.lossy_documents = self.lost_chars = 0
        self.loss: RoundTripLoss | None = None


def _tally(documents: Documents, tokenizer: Any, limit: int, advance: Any = lambda count: None) -> _Tally:
    """Encode and decode the first ``limit`` bytes of the text, piece by piece."""
    tally = _Tally()
    backend = unbounded(tokenizer.backend_tokenizer)
    lossy = False
    for piece in _first_bytes(documents, limit):
        size = len(piece.text.encode())
        ids = backend.encode(piece.text, add_special_tokens=False).ids
        tally.num_bytes += size
        tally.num_chars += len(piece.text)
        tally.num_words += len(piece.text.split())
        tally.num_tokens += len(ids)
        tally.unknown += ids.count(tokenizer.unk_token_id) if tokenizer.unk_token_id is not None else 0
        decoded = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if decoded != piece.text:
            lossy = True
            tally.lost_chars += (Counter(piece.text) - Counter(decoded)).total()
            tally.loss = tally.loss or _difference(piece.text, decoded)
        if piece.ends_document:
            tally.num_documents += 1
            tally.lossy_documents += lossy
            lossy = False
        advance(size)
    return tally


def _used(splits: Iterable[Documents], tokenizer: Any, limit: int, advance: Any) -> set[int]:
    """The ids that the first ``limit`` bytes of the splits, one after the other, are encoded with."""
    backend = unbounded(tokenizer.backend_tokenizer)
    used: set[int] = set()
    for documents in splits:
        pieces = _first_bytes(documents, limit)
        while batch := [piece.text for piece in islice(pieces, _BATCH)]:
            for encoding in backend.encode_batch_fast(batch, add_special_tokens=False):
                used.update(encoding.ids)
            advance(sum(len(text.encode()) for text in batch))
        limit -= documents.num_bytes
        if limit <= 0:
            break
    return used


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


def _first_sentence(documents: Documents) -> str:
    text = next(documents.pieces()).text.strip()
    found = _SENTENCE.match(text)
    return (found.group() if found else text)[:_SAMPLE_CHARS]


def _report(source: str, tokenizer: Any, tally: _Tally, used: set[int], sample: str) -> TokenizerReport:
    special = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
    ordinary = sorted(set(tokenizer.get_vocab().values()) - special)
    texts = dict(zip(ordinary, tokenization.token_texts(tokenizer, ordinary), strict=True))
    unused = [token_id for token_id in ordinary if token_id not in used]
    telling = (texts[i] for i in unused if len(texts[i].strip()) > 1)
    return TokenizerReport(
        tokenizer=source,
        vocab_size=len(tokenizer),
        num_tokens=tally.num_tokens,
        tokens_per_word=tally.num_tokens / max(tally.num_words, 1),
        bytes_per_token=tally.num_bytes / max(tally.num_tokens, 1),
        unknown_share=tally.unknown / max(tally.num_tokens, 1),
        lossy_documents_share=tally.lossy_documents / max(tally.num_documents, 1),
        lost_characters_share=tally.lost_chars / max(tally.num_chars, 1),
        loss=tally.loss,
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
