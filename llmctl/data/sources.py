"""What a source string names: a path, a glob, a Hub data set or built-in text. Opens nothing."""

import codecs
import glob
import re
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from llmctl.config import TextData
from llmctl.errors import ConfigError

KINDS = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".jsonl": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
VALIDATION_NAMES = ("validation", "dev", "valid", "val")

# What `datasets` leaves beside its tables when it saves to disk: about the data, not data.
_NOT_TEXT = {"dataset_dict.json", "dataset_info.json", "state.json", "dataset_infos.json"}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


class HubSource(NamedTuple):
    """A data set on the Hub: ``org/name[:subset]``."""

    name: str
    subset: str | None


class BuiltinSource(NamedTuple):
    """Generated text: ``builtin:NAME[:SIZE]``; ``size`` documents."""

    name: str
    size: int


class FileSource(NamedTuple):
    """Files on this machine: a split's name to its files; a corpus without splits is named ``""``."""

    splits: dict[str, list[Path]]
    left_out: list[Path]


Source = HubSource | BuiltinSource | FileSource


def kind_of(path: Path) -> str | None:
    """Which reader a file needs, by its name: a value of :data:`KINDS`, or ``None``."""
    name = path.name.lower().removesuffix(compression_of(path))
    return next((kind for suffix, kind in KINDS.items() if name.endswith(suffix)), None)


def compression_of(path: Path) -> str:
    """The compression's suffix, or ``""``."""
    return next((suffix for suffix in COMPRESSIONS if path.name.lower().endswith(suffix)), "")


def check_source(config: TextData) -> None:
    """Find what can be known to be wrong before anything is read or imported.

    Raises:
        ConfigError: a path that is not there, an unknown built-in, an unknown kind of file, a folder without
            text, or an encoding that Python does not know.
    """
    _check_encoding(config.encoding)
    for source in (config.data, config.validation_data):
        if source is not None:
            resolve(source, config)


def resolve(source: str, config: TextData) -> Source:
    """What ``source`` names. A path that exists wins over a Hub id.

    Raises:
        ConfigError: as :func:`check_source`.
    """
    if source.startswith("builtin:"):
        return _builtin(source)
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(source, path, config)
    if path.exists():
        return _file(source, path)
    if glob.has_magic(source):
        return _glob(source, path)
    if _HUB_ID.fullmatch(source) and kind_of(path) is None:
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


def _file(source: str, path: Path) -> FileSource:
    if not path.is_file():
        raise ConfigError(
            f"{source}: not a regular file; it is read more than once", hint="save the text to a file first"
        )
    if kind_of(path) is None:
        raise ConfigError(f"{source}: unknown kind of file {path.suffix!r}", hint=_known_kinds())
    return FileSource({"": [path]}, [])


def _known_kinds() -> str:
    return f"known are {' '.join(KINDS)}, each also {' '.join(COMPRESSIONS)}; rename plain text to .txt"


def _glob(source: str, pattern: Path) -> FileSource:
    found = sorted(Path(name) for name in glob.glob(str(pattern), recursive=True))
    files = [path for path in found if path.is_file()]
    if not files:
        raise ConfigError(f"no file matches {source}", hint="quote the pattern; ** goes into sub-folders")
    known, left_out = _told_apart(files)
    if not known:
        raise ConfigError(f"{source}: no file of a known kind among {len(files):,}", hint=_known_kinds())
    return FileSource({"": known}, left_out)


def _told_apart(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """The files that can be read, and the others."""
    readable = [path for path in files if kind_of(path) and path.name not in _NOT_TEXT]
    return readable, [path for path in files if path not in set(readable)]


def _files_below(folder: Path) -> list[Path]:
    """All files below ``folder`` in sorted order, without the hidden ones."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(
        path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _folder(source: str, folder: Path, config: TextData) -> FileSource:
    """One file or sub-folder a split where one is named after the training split; else all is one corpus."""
    try:
        files, left_out = _told_apart(_files_below(folder))
    except OSError as exc:
        raise ConfigError(f"{source}: {exc.strerror}", hint="check the folder's permissions") from exc
    if not files:
        raise ConfigError(f"{source}: a folder with no text file", hint=_known_kinds())
    splits: dict[str, list[Path]] = {}
    for path in files:
        split = _split_of(path.relative_to(folder).parts[0], config)
        splits.setdefault(split, []).append(path)
    unnamed = splits.pop("", [])
    if config.train_split in splits:
        return FileSource(splits, left_out + unnamed)
    return FileSource({"": files}, left_out)


def _split_of(name: str, config: TextData) -> str:
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


def _check_encoding(encoding: str) -> None:
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
