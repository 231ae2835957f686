"""``llmctl tokenizer train`` and ``llmctl tokenizer inspect``."""

import os
import re
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from llmctl import disk, models, runs, tokenization
from llmctl.config import TokenizerInspectConfig, TokenizerTrainConfig
from llmctl.data.documents import Documents
from llmctl.data.load import check_text, load_text
from llmctl.errors import ConfigError, ModelError
from llmctl.progress import Progress
from llmctl.tokenization.report import TokenizerReport, bytes_per_token, report, tally, used_ids

# Enough for three digits of every share that is told.
INSPECT_BYTES = 2_000_000
# Text in which unused tokens are looked for: some ten seconds of it.
USED_BYTES = 50_000_000
_SAMPLE_CHARS = 200
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
    check_text(config)
    _check_unused(Path(config.output_dir).expanduser())
    tokenization.check(config, config.architecture)


def check_inspect(config: TokenizerInspectConfig) -> None:
    """Like :func:`check_train`.

    Raises:
        ConfigError, RunError: no tokenizer or data is named, or one cannot be found.
    """
    if not config.tokenizer:
        raise ConfigError("no tokenizer is named", hint="llmctl tokenizer inspect DIRECTORY [HUB_ID ...]")
    check_text(config)
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
    return TrainedTokenizer(
        output_dir=str(output_dir),
        algorithm=config.algorithm,
        architecture=config.architecture,
        vocab_size=len(tokenizer),
        num_documents=documents.num_documents,
        num_bytes=documents.num_bytes,
        seconds=seconds,
        bytes_per_token=bytes_per_token(judge, tokenizer, INSPECT_BYTES),
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
            tallies.append(tally(documents, tokenizer, limit, advance))
        with progress.bar(f"unused tokens of {source}", min(searched, everything), "bytes") as advance:
            used.append(used_ids(splits.values(), tokenizer, searched, advance))
    return Inspection(
        data=documents.name,
        num_documents=tallies[0].num_documents,
        num_bytes=tallies[0].num_bytes,
        num_words=tallies[0].num_words,
        sample=sample,
        tokenizers=tuple(
            report(source, tokenizer, counts, ids, sample)
            for source, tokenizer, counts, ids in zip(
                config.tokenizer, tokenizers, tallies, used, strict=True
            )
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


def _first_sentence(documents: Documents) -> str:
    text = next(documents.pieces()).text.strip()
    found = _SENTENCE.match(text)
    return (found.group() if found else text)[:_SAMPLE_CHARS]
