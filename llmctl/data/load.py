"""A source to its splits: text to learn from and to judge by, checked and counted before it is used."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from llmctl.config import TextData
from llmctl.data import hub
from llmctl.data.documents import (
    Count,
    Documents,
    Read,
    Stream,
    between,
    counted,
    first,
    part,
    place_to_cut,
    without_blank,
)
from llmctl.data.files import SourceFile, Tell
from llmctl.data.generated import builtin_texts, code_digest
from llmctl.data.readers import Piece, dataset_texts, read_documents
from llmctl.data.sources import (
    VALIDATION_NAMES,
    BuiltinSource,
    FileSource,
    HubSource,
    check_source,
    compression_of,
    kind_of,
    resolve,
)
from llmctl.errors import ConfigError, DataError
from llmctl.progress import Progress

__all__ = ["check_source", "load_text"]

SPLITS = ("train", "validation", "test")
_NOTES_TOLD = 5


@dataclass(frozen=True)
class _Split:
    """A split as it lies at its source: ``read`` gives its documents, ``key`` changes when they may."""

    name: str
    key: Any
    read: Read
    files: tuple[SourceFile, ...] = ()


def load_text(
    config: TextData, *, progress: Progress, cache_dir: Path, wanted: Collection[str] = SPLITS
) -> dict[str, Documents]:
    """The text of ``config.data`` by split: "train", "validation" and "test".

    "validation" is the source's own split, or ``validation_data``, or held out of the training documents
    (none when ``validation_fraction`` is 0); "test" is there when the source has it. ``max_documents`` is
    applied to each split as it lies there, so before anything is held out of it.

    Args:
        wanted: the splits to return, where there are such; the others are not read.
        cache_dir: remembers what was counted, so that the next call with the same data reads nothing.

    Raises:
        ConfigError: as :func:`check_source`; a subset or split that is not there.
        DataError: text that cannot be read or is not what it should be.
    """
    check_source(config)
    splits = _splits(config.data, config, progress, cache_dir)
    loader = _Loader(config, progress, cache_dir)
    result: dict[str, Documents] = {}
    validation = _validation(splits, config, progress, cache_dir)
    if "train" in wanted or (validation is None and config.validation_fraction and "validation" in wanted):
        train = _named(splits, config.train_split, config.data, "--train-split")
        if validation is None and config.validation_fraction:
            result = loader.hold_out(train)
        else:
            result["train"] = loader.load(train)
    if validation is not None and "validation" in wanted:
        result["validation"] = loader.load(validation)
    if "test" in splits and "test" in wanted:
        result["test"] = loader.load(splits["test"])
    return {name: documents for name, documents in result.items() if name in wanted}


# Which splits there are


def _named(splits: dict[str, _Split], name: str, source: str, flag: str) -> _Split:
    """The split called ``name``; a source without splits is its own training split."""
    if name in splits:
        return splits[name]
    if "" in splits and name == "train":
        return splits[""]
    if "" in splits:
        raise ConfigError(f"{source}: has no splits, so no {name!r}", hint=f"leave {flag} out")
    raise ConfigError(
        f"{source}: no split {name!r}; found: {', '.join(splits)}", hint=f"name one of them: {flag}"
    )


def _own_validation(splits: dict[str, _Split], source: str, config: TextData) -> _Split | None:
    if config.validation_split is not None:
        return _named(splits, config.validation_split, source, "--validation-split")
    return next((splits[name] for name in VALIDATION_NAMES if name in splits), None)


def _validation(
    splits: dict[str, _Split], config: TextData, progress: Progress, cache_dir: Path
) -> _Split | None:
    if config.validation_data is None:
        return _own_validation(splits, config.data, config)
    splits = _splits(config.validation_data, config, progress, cache_dir)
    if "" in splits and config.validation_split is None:
        return splits[""]
    own = _own_validation(splits, config.validation_data, config)
    return own or _named(splits, "train", config.validation_data, "--validation-split")


def _splits(source: str, config: TextData, progress: Progress, cache_dir: Path) -> dict[str, _Split]:
    found = resolve(source, config)
    if isinstance(found, FileSource):
        if found.left_out:
            names = ", ".join(path.name for path in found.left_out[:3])
            more = ", ..." if len(found.left_out) > 3 else ""
            progress.note(f"{source}: left out {_many(len(found.left_out), 'other file')}: {names}{more}")
        return {name: _of_files(source, name, paths, config) for name, paths in found.splits.items()}
    if isinstance(found, HubSource):
        return {
            name: _of_dataset(source, name, dataset, config) for name, dataset in hub.splits(found).items()
        }
    return {"": _of_builtin(source, found, cache_dir)}


def _of_files(source: str, split: str, paths: list[Path], config: TextData) -> _Split:
    files = tuple(SourceFile.at(path) for path in paths)

    def read(tell: Tell) -> Iterator[Piece]:
        for file in files:
            yield from read_documents(file, config, tell)

    key = [
        [[str(file.path.resolve()), file.size, file.mtime_ns] for file in files],
        [str(file.path) for file in files],  # as the notes name them
        [config.encoding, config.sample_by, config.text_column],
    ]
    return _Split(f"{source} ({split})" if split else source, key, read, files)


def _of_dataset(source: str, split: str, dataset: Any, config: TextData) -> _Split:
    name = f"{source} ({split})"

    def read(tell: Tell) -> Iterator[Piece]:
        return (Piece(text, True) for text in dataset_texts(dataset, name, config, tell))

    # `datasets` makes the fingerprint from repository, revision, configuration and split.
    return _Split(name, ["hub", name, dataset._fingerprint, len(dataset), config.text_column], read)


def _of_builtin(source: str, found: BuiltinSource, cache_dir: Path) -> _Split:
    def read(tell: Tell) -> Iterator[Piece]:
        return (Piece(text, True) for text in builtin_texts(found, cache_dir))

    return _Split(source, ["builtin", found.name, found.size, code_digest()], read)


# Reading them


@dataclass(frozen=True)
class _Loader:
    """Counts splits and makes documents of them, telling what was met on the way."""

    config: TextData
    progress: Progress
    cache_dir: Path

    def load(self, split: _Split) -> Documents:
        """The split's documents; DataError when there are none."""
        return self._load(split)[0]

    def _load(self, split: _Split) -> tuple[Documents, Count]:
        limit = self.config.max_documents
        plain = all(kind_of(file.path) == "text" and not compression_of(file.path) for file in split.files)
        total = sum(file.size for file in split.files) if plain and split.files else None
        count = self._count(split, [split.key, limit], split.read, limit, total)
        for note in count.notes[:_NOTES_TOLD]:
            self.progress.note(note)
        if len(count.notes) > _NOTES_TOLD:
            self.progress.note(f"{split.name}: {_many(len(count.notes) - _NOTES_TOLD, 'more such note')}")
        if count.num_blank:
            self.progress.note(f"{split.name}: skipped {_many(count.num_blank, 'empty document')}")
        if not count.num_documents:
            raise _no_text(split)

        def stream() -> Iterator[Piece]:
            return first(without_blank(split.read(_tell_nobody)), limit)

        return _documents(split, split.name, stream, count), count

    def hold_out(self, split: _Split) -> dict[str, Documents]:
        """Training and validation documents of a split that has no other to be judged by."""
        documents, count = self._load(split)
        split_up = self._cut_in_two if count.num_documents == 1 else self._draw
        learn, judge = split_up(documents, count)
        config = self.config
        key = [split.key, config.max_documents, config.validation_fraction, config.split_seed]
        judged = self._count(split, key, judge, None, documents.num_bytes)
        if not judged.num_documents or next(without_blank(learn(_tell_nobody)), None) is None:
            raise DataError(
                f"{split.name}: too short to hold out a part of it",
                hint="--validation-data FILE, or --validation-fraction 0 to do without",
            )
        digest = hashlib.sha256(f"{count.fingerprint} without {judged.fingerprint}".encode()).hexdigest()
        learnt = replace(
            count,
            num_documents=max(1, count.num_documents - judged.num_documents),
            num_bytes=count.num_bytes - judged.num_bytes,
            fingerprint=digest[:32],
        )
        return {
            "train": _documents(split, f"{split.name} (train)", partial(learn, _tell_nobody), learnt),
            "validation": _documents(
                split, f"{split.name} (validation)", partial(judge, _tell_nobody), judged
            ),
        }

    def _draw(self, documents: Documents, count: Count) -> tuple[Read, Read]:
        """The documents without a share drawn by seed, and that share."""
        fraction, seed, all_of_them = (
            self.config.validation_fraction,
            self.config.split_seed,
            count.num_documents,
        )
        held_out = min(max(1, round(fraction * all_of_them)), all_of_them - 1)
        self.progress.note(
            f"held out {held_out:,} of {_many(all_of_them, 'document')} for validation "
            f"({100 * fraction:g} %, split_seed {seed})"
        )

        def read(chosen: bool, _: Tell) -> Iterator[Piece]:
            return part(documents.stream(), all_of_them, held_out, seed, chosen)

        return partial(read, False), partial(read, True)

    def _cut_in_two(self, documents: Documents, count: Count) -> tuple[Read, Read]:
        """The beginning and the end of a text that is a single document, cut at a line end."""
        fraction = self.config.validation_fraction
        place = place_to_cut(documents.stream(), int((1 - fraction) * count.num_chars))
        self.progress.note(
            f"held out the last {count.num_chars - place:,} of {_many(count.num_chars, 'character')} "
            f"for validation ({100 * fraction:g} %): it is one document"
        )
        return (
            lambda _: between(documents.stream(), 0, place),
            lambda _: between(documents.stream(), place, None),
        )

    def _count(self, split: _Split, key: Any, read: Read, limit: int | None, total: int | None) -> Count:
        return counted(
            read,
            key,
            name=split.name,
            limit=limit,
            total=total,
            cache_dir=self.cache_dir,
            progress=self.progress,
        )


def _documents(split: _Split, name: str, stream: Stream, count: Count) -> Documents:
    return Documents(name, count.num_documents, count.num_bytes, count.fingerprint, split.files, stream)


def _no_text(split: _Split) -> DataError:
    if split.files and not any(file.size for file in split.files):
        what = "empty file" if len(split.files) == 1 else f"{len(split.files):,} files, all empty"
        return DataError(f"{split.name}: {what}", hint="give a file with text in it")
    return DataError(f"{split.name}: no text in it, only white space", hint="give a file with text in it")


def _tell_nobody(_: str) -> None:
    pass


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
