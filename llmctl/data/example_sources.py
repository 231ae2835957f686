"""What a source of examples names, and how each kind of source becomes tables."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from llmctl.config import TaskData
from llmctl.data.arrow_tables import table_of_dataset
from llmctl.data.columns import has_header
from llmctl.data.conll import conll_table
from llmctl.data.files import SourceFile, Tell, check_unchanged, decoded
from llmctl.data.generated import code_digest
from llmctl.data.parallel import Parallel, parallel_source, parallel_table
from llmctl.data.sources import (
    TABLES,
    BuiltinSource,
    Formats,
    HubSource,
    check_encoding,
    kind_of,
    resolve,
)
from llmctl.data.splits import Openers, Split, key_of, name_of, open_splits, tell_left_out
from llmctl.data.table_files import open_table
from llmctl.data.tables import Table, table_of_objects
from llmctl.errors import ConfigError
from llmctl.progress import Progress
from llmctl.tasks import Task

Tables = Callable[[Tell], Iterator[Table]]
"""Starts a reading of a split: its tables, each to be read before the next is asked for."""

_TABLES = Formats(TABLES, "table")
_FORMATS = {
    "ner": Formats(
        TABLES | dict.fromkeys((".conll", ".iob", ".bio", ".txt"), "conll"), "CoNLL file or table"
    ),
    "classification": Formats(TABLES | {".txt": "document"}, "table or class of texts", folder_is_class=True),
}


def source_of(config: TaskData, task: Task) -> str:
    """The data asked for, else the task's own; ConfigError when there is neither."""
    source = config.data or task.data
    if not source:
        raise ConfigError(
            f"task {task.name!r} is a kind of problem, so it needs data",
            hint=f"--task {task.name} --data FILE, or a task of the catalogue: llmctl tasks",
        )
    return source


def check_examples_source(config: TaskData, task: Task) -> None:
    """Find what can be known to be wrong before anything is read or imported.

    Raises:
        ConfigError: no data; a path that is not there, an unknown built-in, an unknown kind of file, a folder
            without data, or an encoding that Python does not know.
    """
    check_encoding(config.encoding)
    for source in (source_of(config, task), config.validation_data):
        if source is not None and parallel_source(source, config, task) is None:
            _check_builtin(source, task)
            formats = _formats(task)
            resolve(source, config, formats)
            if Path(source).is_file() and kind_of(Path(source), formats.kinds) == "document":
                raise ConfigError(
                    f"{source}: plain text has no labels",
                    hint="give a table (.tsv, .csv, .jsonl, ...), or a folder with one sub-folder a class",
                )


def _formats(task: Task) -> Formats:
    return _FORMATS.get(task.kind, _TABLES)


def _check_builtin(source: str, task: Task) -> None:
    if source.startswith("builtin:stories"):
        raise ConfigError(f"{source}: stories have no labels", hint="builtin:reviews has")
    if source.startswith("builtin:reviews") and task.kind != "classification":
        raise ConfigError(f"{source}: holds texts with a class", hint="--task classification")


def example_splits(source: str, config: TaskData, task: Task, progress: Progress) -> dict[str, Split[Tables]]:
    """The splits of a source, each with its tables.

    Raises:
        ConfigError: as :func:`check_examples_source`.
        DataError: as the readers.
    """
    parallel = parallel_source(source, config, task)
    if parallel is not None:
        tell_left_out(progress, source, parallel.left_out)
        if parallel.inferred:
            progress.note(
                f"{source}: translating from {parallel.languages[0]!r} to {parallel.languages[1]!r}; the other "
                "way round with --source-lang and --target-lang"
            )
        return {
            name: _of_parallel(name_of(source, name), paths, parallel, config)
            for name, paths in parallel.splits.items()
        }
    formats = _formats(task)
    openers = Openers(partial(_of_files, config, task, formats), _of_dataset, _of_builtin)
    found = resolve(source, config, formats)
    if isinstance(found, HubSource) and source == task.data:
        found = found._replace(revision=task.revision)
    return open_splits(source, found, openers, progress)


def _of_files(config: TaskData, task: Task, formats: Formats, name: str, paths: list[Path]) -> Split[Tables]:
    files = tuple(SourceFile.at(path) for path in paths)

    def read(tell: Tell) -> Iterator[Table]:
        for file in files:
            if file.size:
                check_unchanged(file)
                yield from _tables(file.path, kind_of(file.path, formats.kinds) or "", config, task, tell)
                check_unchanged(file)

    return Split(name, key_of(files), read, files)


def _tables(path: Path, kind: str, config: TaskData, task: Task, tell: Tell) -> Iterator[Table]:
    if kind == "conll":
        yield conll_table(path, config.encoding, tell)
    elif kind == "document":
        row = {"text": "".join(decoded(path, config.encoding, tell)), "label": path.parent.name}
        yield table_of_objects(str(path), [(1, row)])
    else:
        decide = partial(has_header, config=config, task=task)
        with open_table(path, kind, config.encoding, tell, decide) as table:
            yield table


def _of_parallel(name: str, paths: tuple[Path, Path], parallel: Parallel, config: TaskData) -> Split[Tables]:
    files = (SourceFile.at(paths[0]), SourceFile.at(paths[1]))

    def read(tell: Tell) -> Iterator[Table]:
        for file in files:
            check_unchanged(file)
        yield parallel_table(paths, config.encoding, tell)
        for file in files:
            check_unchanged(file)

    return Split(name, [*key_of(files), parallel.languages], read, files)


def _of_dataset(name: str, dataset: Any) -> Split[Tables]:
    def read(_: Tell) -> Iterator[Table]:
        yield table_of_dataset(dataset, name)

    # `datasets` makes the fingerprint from repository, revision, configuration and split.
    return Split(name, ["hub", name, dataset._fingerprint, len(dataset)], read)


def _of_builtin(name: str, found: BuiltinSource) -> Split[Tables]:
    def read(_: Tell) -> Iterator[Table]:
        from llmctl.data.builtin import reviews

        rows = ({"text": text, "label": label} for text, label in reviews(found.size))
        table = table_of_objects(name, enumerate(rows, start=1), by_row=True)
        yield replace(table, declared={"label": ("negative", "positive")})

    return Split(name, ["builtin", found.name, found.size, code_digest()], read)
