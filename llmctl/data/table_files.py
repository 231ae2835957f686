"""Files of rows to tables, one reader a format: streamed, in bounded memory, every complaint with its place."""

import csv
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from llmctl.data.arrow_tables import arrow_table, parquet_table
from llmctl.data.files import MAX_VALUE, NEWLINE, Tell, decoded, lines_of
from llmctl.data.json_values import HUGE_NUMBER, broken_json, json_values
from llmctl.data.squad import is_article, questions
from llmctl.data.tables import SAMPLE, Rows, Table, table_of_objects
from llmctl.errors import DataError

HasHeader = Callable[[list[list[str]]], bool]


def first_row_names(_: list[list[str]]) -> bool:
    """The usual answer to whether a CSV or TSV has a header."""
    return True


def open_table(
    path: Path, kind: str, encoding: str, tell: Tell, has_header: HasHeader = first_row_names
) -> AbstractContextManager[Table]:
    """The table in a file.

    Args:
        path: the file.
        kind: how it is to be read: a value of ``sources.TABLES``.
        encoding: of text.
        tell: receives what was mended, each thing once.
        has_header: decides for a CSV or TSV by its first rows whether the first names the columns.

    Raises:
        DataError: the file is not readable, damaged, not in this encoding or malformed.
    """
    if kind in _OF_ARROW:
        return _OF_ARROW[kind](path)
    return _OF_TEXT[kind](path, encoding, tell, has_header)


# Objects


@contextmanager
def _jsonl(path: Path, encoding: str, tell: Tell, _: HasHeader) -> Iterator[Table]:
    yield table_of_objects(str(path), _json_lines(path, lines_of(decoded(path, encoding, tell), path)))


def _json_lines(path: Path, lines: Iterator[str]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line or line.isspace():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as exc:
            raise broken_json(path, number, exc.colno, exc.msg) from exc
        except RecursionError as exc:
            raise broken_json(path, number, 1, "nested too deeply") from exc
        except ValueError as exc:  # what Python refuses, beside what JSON does
            raise broken_json(path, number, 1, HUGE_NUMBER) from exc


@contextmanager
def _json(path: Path, encoding: str, tell: Tell, _: HasHeader) -> Iterator[Table]:
    """An array of objects, objects one after the other, or an object that holds a single list of objects."""
    values = json_values(path, decoded(path, encoding, tell))
    start = list(islice(values, 2))
    rows: Iterable[tuple[int, Any]] = chain(start, values)
    by_row = False
    if len(start) == 1 and (inner := _only_list(start[0][1])):
        rows, by_row = enumerate(inner, start=1), True
    first, rows = _first(rows)
    if first is not None and is_article(first[1]):
        rows, by_row = enumerate(questions(str(path), (row for _, row in rows)), start=1), True
    yield table_of_objects(str(path), rows, by_row)


def _first(rows: Iterable[tuple[int, Any]]) -> tuple[tuple[int, Any] | None, Iterator[tuple[int, Any]]]:
    rest = iter(rows)
    first = next(rest, None)
    return first, rest if first is None else chain([first], rest)


def _only_list(value: Any) -> list[Any] | None:
    """The only list of objects in an object, unless it is a conversation: that is a row of its own."""
    if not isinstance(value, dict):
        return None
    lists = [inner for inner in value.values() if isinstance(inner, list) and inner]
    lists = [inner for inner in lists if all(isinstance(row, dict) for row in inner)]
    if len(lists) != 1 or "role" in lists[0][0] or "from" in lists[0][0]:
        return None
    return lists[0]


# Cells


@contextmanager
def _csv(path: Path, encoding: str, tell: Tell, has_header: HasHeader) -> Iterator[Table]:
    yield _of_cells(path, csv.reader(_with_ends(path, encoding, tell), strict=True), has_header)


@contextmanager
def _tsv(path: Path, encoding: str, tell: Tell, has_header: HasHeader) -> Iterator[Table]:
    """A quotation mark in a TSV is text: cells hold neither tabs nor line ends, so nothing is quoted."""
    lines = _with_ends(path, encoding, tell)
    yield _of_cells(path, csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), has_header)


def _with_ends(path: Path, encoding: str, tell: Tell) -> Iterator[str]:
    return (line + NEWLINE for line in lines_of(decoded(path, encoding, tell), path))


def _of_cells(path: Path, reader: Any, has_header: HasHeader) -> Table:
    """The table of a ``csv.reader``."""
    rows = _numbered(path, reader)
    sample = list(islice(rows, SAMPLE))
    if not sample:
        return Table(str(path), {}, [], lambda _: iter(()))
    if named := has_header([cells for _, cells in sample]):
        names = sample.pop(0)[1]
        _refuse_twins(path, names)
    else:
        names = [str(index) for index in range(1, len(sample[0][1]) + 1)]
    first_rows = [dict(zip(names, cells, strict=True)) for _, cells in sample]
    columns = {name: any(not _is_number(row[name]) for row in first_rows) for name in names}

    def read(wanted: Collection[str]) -> Rows:
        places = [(name, index) for index, name in enumerate(names) if name in wanted]
        return (
            (number, {name: cells[index] for name, index in places}) for number, cells in chain(sample, rows)
        )

    return Table(str(path), columns, first_rows, read, has_header=named, head=f"{path}:1")


def _numbered(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, with the line where each starts."""
    csv.field_size_limit(MAX_VALUE)
    line, width = 1, 0
    try:
        for cells in reader:
            if cells:
                width = width or len(cells)
                if len(cells) != width:
                    raise DataError(
                        f"{path}:{line}: {len(cells)} instead of {width} cells",
                        hint="every row needs as many as the first; quote a cell that holds the separator",
                    )
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as exc:
        raise DataError(f"{path}:{line}: {exc}", hint="check the quotation marks of this row") from exc


def _refuse_twins(path: Path, names: list[str]) -> None:
    twins = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if twins:
        raise DataError(f"{path}:1: two columns are called {twins[0]!r}", hint="rename one of them")


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


_OF_TEXT: dict[str, Callable[[Path, str, Tell, HasHeader], AbstractContextManager[Table]]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
    "tsv": _tsv,
}
_OF_ARROW: dict[str, Callable[[Path], AbstractContextManager[Table]]] = {
    "parquet": parquet_table,
    "arrow": arrow_table,
}
