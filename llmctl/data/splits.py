"""Which splits a source has, and which of them is learnt from and which judged by: of text and of examples."""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from llmctl.config import DataSource
from llmctl.data import hub
from llmctl.data.files import SourceFile
from llmctl.data.sources import VALIDATION_NAMES, BuiltinSource, FileSource, HubSource, Source
from llmctl.errors import ConfigError
from llmctl.progress import Progress, many

SPLITS = ("train", "validation", "test")
NOTES_TOLD = 5

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Split(Generic[R]):
    """A split as it lies at its source.

    Attributes:
        name: as messages call it.
        key: JSON-able; changes when what is read may change.
        read: starts a reading.
        files: the files it is read from; empty for the Hub and built-in data.
    """

    name: str
    key: Any
    read: R
    files: tuple[SourceFile, ...] = ()


@dataclass(frozen=True)
class Openers(Generic[R]):
    """How each kind of source becomes a split; the name that is passed on is the one of messages."""

    files: Callable[[str, list[Path]], Split[R]]
    dataset: Callable[[str, Any], Split[R]]
    builtin: Callable[[str, BuiltinSource], Split[R]]


class Loader(Protocol[R, T]):
    """What makes splits, and something of each."""

    def splits(self, source: str) -> dict[str, Split[R]]:
        """The splits of a source."""

    def load(self, split: Split[R], *, optional: bool = False) -> T | None:
        """A split's content; ``None`` only where it is ``optional`` and of no use."""

    def learn(self, split: Split[R]) -> T | None:
        """What is learnt from of a split that nothing is held out of."""

    def hold_out(self, split: Split[R]) -> dict[str, T]:
        """Training and validation parts out of a split that has no other to be judged by."""


def open_splits(
    source: str, found: Source, openers: Openers[R], progress: Progress, *, streaming: bool = False
) -> dict[str, Split[R]]:
    """The splits of what ``source`` names; a source without splits has one, called ``""``.

    Args:
        streaming: read data sets of the Hub from there, without a copy.

    Raises:
        ConfigError, DataError: as ``hub.splits``; a file that cannot be looked at.
    """
    if isinstance(found, FileSource):
        tell_left_out(progress, source, found.left_out)
        if found.stands_in:
            progress.note(f"{source}: has no split to learn from: {found.stands_in!r} stands in for it")
        return {name: openers.files(name_of(source, name), paths) for name, paths in found.splits.items()}
    if isinstance(found, HubSource):
        return {
            name: openers.dataset(name_of(source, name), dataset)
            for name, dataset in hub.splits(found, progress, streaming=streaming).items()
        }
    return {"": openers.builtin(source, found)}


def load_splits(
    source: str, config: DataSource, loader: Loader[R, T], wanted: Collection[str]
) -> dict[str, T]:
    """The splits "train", "validation" and "test" of ``source``, those of them that are wanted and there.

    "validation" is the source's own split, or ``validation_data``, or held out of the training split (none
    when ``validation_fraction`` is 0). Splits that are not wanted are not read.

    Raises:
        ConfigError: a split that is not there.
        DataError: as the loader.
    """
    splits = loader.splits(source)
    validation = _validation(splits, source, config, loader)
    result: dict[str, T | None] = {}
    if "train" in wanted or (validation is None and config.validation_fraction and "validation" in wanted):
        train = _named(splits, config.train_split, source, "--train-split")
        if validation is None and config.validation_fraction:
            result |= loader.hold_out(train)
        else:
            result["train"] = loader.learn(train)
    if validation is not None and "validation" in wanted:
        result["validation"] = loader.load(validation)
    if "test" in splits and "test" in wanted:
        result["test"] = loader.load(splits["test"], optional=len(wanted) > 1)
    return {name: loaded for name, loaded in result.items() if name in wanted and loaded is not None}


def _named(splits: dict[str, Split[R]], name: str, source: str, flag: str) -> Split[R]:
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


def _own_validation(splits: dict[str, Split[R]], source: str, config: DataSource) -> Split[R] | None:
    if config.validation_split is not None:
        return _named(splits, config.validation_split, source, "--validation-split")
    names = (name for name in VALIDATION_NAMES if name in splits and name != config.train_split)
    return next((splits[name] for name in names), None)


def _validation(
    splits: dict[str, Split[R]], source: str, config: DataSource, loader: Loader[R, T]
) -> Split[R] | None:
    if config.validation_data is None:
        return _own_validation(splits, source, config)
    others = loader.splits(config.validation_data)
    if "" in others and config.validation_split is None:
        return others[""]
    own = _own_validation(others, config.validation_data, config)
    return own or _named(others, "train", config.validation_data, "--validation-split")


def key_of(files: tuple[SourceFile, ...]) -> list[Any]:
    """What changes when files may: where they are and how notes name them, sizes and times."""
    return [
        [[str(file.path.resolve()), file.size, file.mtime_ns] for file in files],
        [str(file.path) for file in files],
    ]


def number_held_out(fraction: float, total: int) -> int:
    """How many of ``total`` are held out: the share, but at least one and never all."""
    return min(max(1, round(fraction * total)), total - 1)


def drawn_by_class(classes: Sequence[str], number: int, seed: int) -> list[int]:
    """The places of ``number`` of the examples, drawn with ``seed`` in equal shares of each class.

    Systematic sampling: the examples, in random order and then by class, are passed through at an even pace. So
    each class gives its share, rounded down or up.
    """
    total = len(classes)
    order = random.Random(seed).sample(range(total), total)
    order.sort(key=classes.__getitem__)
    return sorted(order[(2 * index + 1) * total // (2 * number)] for index in range(number))


def tell_held_out(
    progress: Progress, config: DataSource, held_out: int, total: int, noun: str, of_each: str = ""
) -> None:
    progress.note(
        f"held out {held_out:,} of {many(total, noun)} for validation "
        f"({percent(held_out, total)}{of_each}, split_seed {config.split_seed})"
    )


def percent(part: int, total: int) -> str:
    """``2 %``, ``33.3 %``."""
    return f"{100 * part / total:.3g} %"


def parts_of(name: str) -> tuple[str, str]:
    """What messages call the parts of a training split that are learnt from and judged by."""
    whole = name.removesuffix(" (train)")
    return name_of(whole, "train"), name_of(whole, "validation")


def tell_left_out(progress: Progress, source: str, files: list[Path]) -> None:
    if files:
        names = ", ".join(path.name for path in files[:3])
        more = ", ..." if len(files) > 3 else ""
        progress.note(f"{source}: left out {many(len(files), 'other file')}: {names}{more}")


def tell_notes(progress: Progress, name: str, notes: Collection[str]) -> None:
    """Tell what was met while reading: the first few, and how many more there are."""
    for note in list(notes)[:NOTES_TOLD]:
        progress.note(note)
    if len(notes) > NOTES_TOLD:
        progress.note(f"{name}: {many(len(notes) - NOTES_TOLD, 'more such note')}")


def tell_lost(progress: Progress, name: str, lost: Sequence[str], num_shards: int) -> None:
    """Tell of the shards that were skipped: each of the first few, and how many there are."""
    for line in lost[:NOTES_TOLD]:
        progress.warn(line)
    if lost:
        progress.warn(
            f"{name}: {len(lost):,} of {many(num_shards, 'shard')} skipped, from where they are bad on"
        )


def name_of(source: str, split: str) -> str:
    """What messages call a split of a source."""
    return f"{source} ({split})" if split else source
