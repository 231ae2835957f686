"""What a source string names: a path, a glob, a Hub data set or built-in data. Opens nothing."""

import codecs
import glob
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from llmctl.config import DataSource
from llmctl.errors import ConfigError

TABLES = {
    ".jsonl": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
KINDS = {".txt": "text", ".text": "text", ".md": "text"} | TABLES
CELLS = ("csv", "tsv")  # the kinds whose first line may or may not name the columns
COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
VALIDATION_NAMES = ("validation", "dev", "valid", "val")

# What `datasets` leaves beside its tables when it saves to disk: about the data, not data.
_NOT_DATA = {"dataset_dict.json", "dataset_info.json", "state.json", "dataset_infos.json"}
# Folders beside those of the classes, with texts of none.
_NO_CLASS = {"unsup", "unsupervised", "unlabeled", "unlabelled"}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


class HubSource(NamedTuple):
    """A data set on the Hub: ``org/name[:subset]``, at ``revision`` where a task needs one."""

    name: str
    subset: str | None
    revision: str | None = None


class BuiltinSource(NamedTuple):
    """Generated text: ``builtin:NAME[:SIZE]``; ``size`` documents."""

    name: str
    size: int


class FileSource(NamedTuple):
    """Files on this machine.

    Attributes:
        splits: a split's name to its files; a corpus without splits is named ``""``.
        left_out: files that cannot be read, or belong to no split.
        stands_in: the split that is learnt from because there is none to learn from.
    """

    splits: dict[str, list[Path]]
    left_out: list[Path]
    stands_in: str | None = None


Source = HubSource | BuiltinSource | FileSource


class Formats(NamedTuple):
    """The files that can be read for a purpose.

    Attributes:
        kinds: suffix to kind of file.
        noun: what messages call such a file.
        folder_is_class: whether a text file is an example of the class that its folder is called.
    """

    kinds: Mapping[str, str]
    noun: str
    folder_is_class: bool = False


TEXT = Formats(KINDS, "text file")


def kind_of(path: Path, kinds: Mapping[str, str] = KINDS) -> str | None:
    """Which reader a file needs, by its name: a value of ``kinds``, or ``None``."""
    name = path.name.lower().removesuffix(compression_of(path))
    return next((kind for suffix, kind in kinds.items() if name.endswith(suffix)), None)


def compression_of(path: Path) -> str:
    """The compression's suffix, or ``""``."""
    return next((suffix for suffix in COMPRESSIONS if path.name.lower().endswith(suffix)), "")


def check_source(config: DataSource, formats: Formats = TEXT) -> None:
    """Find what can be known to be wrong before anything is read or imported.

    Raises:
        ConfigError: a path that is not there, an unknown built-in, an unknown kind of file, a folder without
            text, or an encoding that Python does not know.
    """
    check_encoding(config.encoding)
    for source in (config.data, config.validation_data):
        if source is not None:
            resolve(source, config, formats)


def resolve(source: str, config: DataSource, formats: Formats = TEXT) -> Source:
    """What ``source`` names. A path that exists wins over a Hub id.

    Raises:
        ConfigError: as :func:`check_source`.
    """
    if source.startswith("builtin:"):
        return _builtin(source)
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(source, path, config, formats)
    if path.exists():
        return _file(source, path, formats)
    if glob.has_magic(source):
        return _glob(source, path, formats)
    if _HUB_ID.fullmatch(source) and kind_of(path, formats.kinds) is None:
        name, _, subset = source.partition(":")
        return HubSource(name, subset or None)
    raise _no_such_file(source, path)


def _builtin(source: str) -> BuiltinSource:
    from llmctl.data.builtin import CATALOGUE

    name, _, size = source.removeprefix("builtin:").partition(":")
    if name not in CATALOGUE:
        close = get_close_matches(name, CATALOGUE, n=1)
        hint = f"did you mean builtin:{close[0]}?" if close else f"there are: {', '.join(sorted(CATALOGUE))}"
        raise ConfigError(f"no built-in data {name!r}", hint=hint)
    if not size:
        return BuiltinSource(name, CATALOGUE[name].default_size)
    digits = size.replace("_", "").replace(",", "")
    if not (digits.isascii() and digits.isdigit() and int(digits) > 0):
        raise ConfigError(
            f"{source}: the size {size!r} is not a positive whole number", hint=f"e.g. builtin:{name}:5000"
        )
    return BuiltinSource(name, int(digits))


def _file(source: str, path: Path, formats: Formats) -> FileSource:
    if not path.is_file():
        raise ConfigError(
            f"{source}: not a regular file; it is read more than once", hint="save the data to a file first"
        )
    if kind_of(path, formats.kinds) is None:
        raise ConfigError(f"{source}: unknown kind of file {path.suffix!r}", hint=_known_kinds(formats))
    return FileSource({"": [path]}, [])


def _known_kinds(formats: Formats) -> str:
    known = f"known are {' '.join(formats.kinds)}, each also {' '.join(COMPRESSIONS)}"
    return f"{known}; rename plain text to .txt" if formats is TEXT else known


def _glob(source: str, pattern: Path, formats: Formats) -> FileSource:
    folder = next(parent for parent in pattern.parents if parent.exists())  # may itself be called a[1]
    plain = Path(glob.escape(str(folder))) / pattern.relative_to(folder)
    found = sorted(Path(name) for name in glob.glob(str(plain), recursive=True))
    files = [path for path in found if path.is_file()]
    if not files:
        raise ConfigError(f"no file matches {source}", hint="quote the pattern; ** goes into sub-folders")
    known, left_out = _told_apart(files, formats)
    if not known:
        raise ConfigError(
            f"{source}: no file of a known kind among {len(files):,}", hint=_known_kinds(formats)
        )
    return FileSource({"": known}, left_out)


def _told_apart(files: list[Path], formats: Formats) -> tuple[list[Path], list[Path]]:
    """The files that can be read, and the others."""
    readable = [path for path in files if kind_of(path, formats.kinds) and path.name not in _NOT_DATA]
    return readable, _others(files, readable)


def _others(files: list[Path], chosen: list[Path]) -> list[Path]:
    known = set(chosen)
    return [path for path in files if path not in known]


def files_below(source: str, folder: Path) -> list[Path]:
    """All files below ``folder`` in sorted order, without the hidden ones; ConfigError when not allowed."""
    try:
        found = [path for path in folder.rglob("*") if path.is_file()]
    except OSError as exc:
        raise ConfigError(f"{source}: {exc.strerror}", hint="check the folder's permissions") from exc
    return sorted(
        path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _folder(source: str, folder: Path, config: DataSource, formats: Formats) -> FileSource:
    """One file or sub-folder a split where one is named after the training split; else all is one corpus."""
    files, left_out = _told_apart(files_below(source, folder), formats)
    if formats.folder_is_class:
        files, astray = _with_class(files, folder, config)
        left_out += astray
    if not files:
        raise ConfigError(f"{source}: a folder with no {formats.noun}", hint=_known_kinds(formats))
    splits: dict[str, list[Path]] = {}
    for path in files:
        split = split_of(path.relative_to(folder).parts[0], config)
        splits.setdefault(split, []).append(path)
    return by_split(splits, left_out, config)


def by_split(splits: dict[str, list[Path]], left_out: list[Path], config: DataSource) -> FileSource:
    """The splits of a folder; ``""`` holds the files whose names tell none.

    Without a split to learn from all that is not for the last test is one corpus, unless the split to judge
    by was asked for.
    """
    unnamed = splits.get("", [])
    named = {split: files for split, files in splits.items() if split}
    if config.train_split in named or config.validation_split in named:
        return FileSource(named, left_out + unnamed)
    test = {"test": splits["test"]} if "test" in splits and len(splits) > 1 else {}
    corpus = [path for split, files in splits.items() if split not in test for path in files]
    stands_in = None if unnamed else ", ".join(split for split in named if split not in test)
    return FileSource({"": sorted(corpus)} | test, left_out, stands_in)


def _with_class(files: list[Path], folder: Path, config: DataSource) -> tuple[list[Path], list[Path]]:
    """The tables and the texts that lie in a class's folder, and the texts that do not."""

    def has_class(path: Path) -> bool:
        inner = path.relative_to(folder).parts[:-1]
        classes = inner[1:] if inner and split_of(inner[0], config) else inner
        return bool(classes) and path.parent.name.lower() not in _NO_CLASS

    kept = [path for path in files if kind_of(path, TABLES) or has_class(path)]
    astray = _others(files, kept)
    _check_classes(kept, astray, folder, config)
    return kept, astray


def _check_classes(kept: list[Path], astray: list[Path], folder: Path, config: DataSource) -> None:
    """Refuse to guess what a folder of texts is that is called as a split, but stands beside those of classes.

    Raises:
        ConfigError: there is one.
    """
    splits = {path.parent.name for path in astray if path.parent.parent == folder}
    inner = {path.relative_to(folder).parts[:-1] for path in kept if not kind_of(path, TABLES)}
    unclear = min((name for name in splits if split_of(name, config)), default=None)
    beside = min((name for name, *_ in inner if not split_of(name, config)), default=None)
    if unclear and beside:
        raise ConfigError(
            f"{folder}: is {unclear!r} a split, or a class as {beside!r} beside it is?",
            hint="rename the folder if it is a class; else take it out, or put the classes into one called train",
        )


def split_of(name: str, config: DataSource) -> str:
    """The split that a file's or sub-folder's name tells, ``""`` where it tells none.

    Any of dev, val, valid is called validation, unless the config names one of them itself.
    """
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    for split in (config.train_split, config.validation_split or "validation", "validation", "train", "test"):
        own = set(re.split(r"[^a-z0-9]+", split.lower()))
        if own <= words or (split == "validation" and words & set(VALIDATION_NAMES)):
            return split
    return ""


def _no_such_file(source: str, path: Path) -> ConfigError:
    folder = path.parent
    if not folder.is_dir():
        return ConfigError(
            f"no such file: {source} (there is no folder {folder})",
            hint="give a file, a folder, a glob, a Hub data set as org/name, or builtin:stories",
        )
    try:
        names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
    except OSError:
        names = set()
    close = get_close_matches(path.name, sorted(names), n=3)
    if close:
        where = "" if folder == Path(".") else f"{folder}/"
        return ConfigError(
            f"no such file: {source}", hint=f"did you mean {' or '.join(where + name for name in close)}?"
        )
    return ConfigError(
        f"no such file: {source}",
        hint="a Hub data set is written org/name; text of our own is builtin:stories",
    )


def check_encoding(encoding: str) -> None:
    try:
        # Not every codec makes text of bytes: "hex" and "zip" do not.
        known = codecs.lookup(encoding)._is_text_encoding
    except (LookupError, ValueError):
        known = False
    if not known:
        from encodings.aliases import aliases

        close = get_close_matches(encoding.lower().replace("-", "_"), [*aliases, *aliases.values()], n=1)
        hint = f"did you mean {close[0]}?" if close else "e.g. utf-8, utf-16, latin-1, cp1252, gb18030"
        raise ConfigError(f"unknown encoding {encoding!r}", hint=hint)
