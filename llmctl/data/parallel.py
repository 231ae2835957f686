"""Two text files, line by line the same in two languages."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from llmctl.config import TaskData
from llmctl.data.files import Tell, decoded, lines_of
from llmctl.data.languages import choose_languages, is_language
from llmctl.data.sources import KINDS, by_split, compression_of, files_below, split_of
from llmctl.data.tables import Table, table_of_objects
from llmctl.errors import ConfigError, DataError
from llmctl.tasks import Task

_NO_LANGUAGES = {suffix[1:] for suffix in KINDS} | {
    "gz",
    "bz2",
    "xz",
    "zst",
    "py",
    "sh",
    "log",
    "yml",
    "zip",
    "tar",
}
_SIDES: tuple[set[str], ...] = ({"source", "target"}, {"src", "tgt"})


class Parallel(NamedTuple):
    """Pairs of files.

    Attributes:
        splits: a split's name, ``""`` where there are none, to the files of source and target.
        languages: of source and target, as the files name them.
        inferred: whether nobody said which of them is the source.
        left_out: other files of the folder.
    """

    splits: dict[str, tuple[Path, Path]]
    languages: tuple[str, str]
    inferred: bool
    left_out: list[Path]


def parallel_source(source: str, config: TaskData, task: Task) -> Parallel | None:
    """The pairs of files that ``source`` names: a folder of them, ``folder/train`` or ``folder/train.en``.

    Returns:
        ``None`` where the task is no translation or the source is none of these.

    Raises:
        ConfigError: more than two languages to choose from, or not the one asked for.
    """
    if task.kind != "translation":
        return None
    path = Path(source).expanduser()
    if path.is_dir():
        files = files_below(source, path)
        roots = _by_stem(files)
    else:
        stem = _stem(path) if path.is_file() and _language(path) else path
        files = []
        beside = sorted(stem.parent.glob("*")) if stem.parent.is_dir() else []
        roots = {stem: inner} if (inner := _by_stem(beside).get(stem)) else {}
    roots = {stem: inner for stem, inner in roots.items() if len(inner) > 1}
    if not roots:
        return None
    languages = _choose(source, roots, config, task)
    pairs = {
        stem: (inner[languages[0]], inner[languages[1]])
        for stem, inner in roots.items()
        if set(languages) <= set(inner)
    }
    known = {config.source_lang or task.source_lang, config.target_lang or task.target_lang}
    inferred = not known >= set(languages) and set(languages) not in _SIDES
    splits = _by_split(source, pairs, config) if path.is_dir() else {"": next(iter(pairs.values()))}
    used = {file for pair in splits.values() for file in pair}
    return Parallel(splits, languages, inferred, [file for file in files if file not in used])


def _choose(source: str, roots: dict[Path, dict[str, Path]], config: TaskData, task: Task) -> tuple[str, str]:
    found = sorted({language for inner in roots.values() for language in inner})
    try:
        return choose_languages(source, found, config, task)
    except DataError as exc:
        raise ConfigError(exc.message, hint=exc.hint) from exc


def _by_split(
    source: str, pairs: dict[Path, tuple[Path, Path]], config: TaskData
) -> dict[str, tuple[Path, Path]]:
    named: dict[str, list[Path]] = {}
    for stem in pairs:
        named.setdefault(split_of(stem.name, config), []).append(stem)
    splits = by_split(named, [], config).splits
    for split, stems in splits.items():
        if len(stems) > 1:
            names = ", ".join(str(stem) for stem in stems[:4])
            raise ConfigError(
                f"{source}: several pairs of files for {split or 'one corpus'}: {names}",
                hint="name one of them as --data, or join them",
            )
    return {split: pairs[stems[0]] for split, stems in splits.items()}


def _language(path: Path) -> str:
    """The language that a file's suffix names, or ``""``."""
    suffix = Path(path.name.removesuffix(compression_of(path))).suffix[1:]
    known = is_language(suffix) and suffix not in _NO_LANGUAGES
    return suffix if known or suffix in set.union(*_SIDES) else ""


def _stem(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(compression_of(path)).removesuffix(f".{_language(path)}"))


def _by_stem(files: list[Path]) -> dict[Path, dict[str, Path]]:
    roots: dict[Path, dict[str, Path]] = {}
    for file in files:
        if (language := _language(file)) and file.is_file():
            roots.setdefault(_stem(file), {})[language] = file
    return roots


def parallel_table(paths: tuple[Path, Path], encoding: str, tell: Tell) -> Table:
    """The pairs of lines of two files as "text" and "target".

    Raises:
        DataError: one of the files has more lines; as ``files.decoded``.
    """
    return table_of_objects(str(paths[0]), _pairs(paths, encoding, tell))


def _pairs(paths: tuple[Path, Path], encoding: str, tell: Tell) -> Iterator[tuple[int, Any]]:
    texts, targets = (lines_of(decoded(path, encoding, tell), path) for path in paths)
    for number, (text, target) in enumerate(zip_longest(texts, targets), start=1):
        if text is None or target is None:
            more = number + sum(1 for _ in (texts if target is None else targets))
            counts = (more, number - 1) if target is None else (number - 1, more)
            raise DataError(
                f"{paths[0]} has {counts[0]:,} lines, {paths[1]} has {counts[1]:,}: not line by line the same",
                hint="each line must stand beside its translation",
            )
        yield number, {"text": text, "target": target}
