"""Rows with named columns: what every format of tables becomes before it becomes text or examples."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from llmctl.data.files import NUL, nul
from llmctl.errors import DataError

Row = dict[str, Any]
Rows = Iterator[tuple[int, Row]]

SAMPLE = 200
"""How many rows are looked at before the columns are chosen."""

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Table:
    """Rows with named columns, to be read once and in order.

    Attributes:
        name: as messages call it.
        columns: each column, and whether it holds text.
        sample: the first rows, with all of their columns.
        read: the rows from the first on, each with its number, and with the columns asked for at least; a
            JSON object may lack some.
        by_row: whether a row's number counts rows, instead of the file's lines.
        declared: the classes of a column that holds their numbers.
        has_header: whether the file names its columns; else they are called "1", "2", ...
        head: where the columns are named, for messages.
    """

    name: str
    columns: dict[str, bool]
    sample: list[Row]
    read: Callable[[Collection[str]], Rows]
    by_row: bool = False
    declared: dict[str, tuple[str, ...]] = field(default_factory=dict)
    has_header: bool = True
    head: str = ""

    def place(self, number: int) -> str:
        """Where the row with this number stands."""
        return place(self.name, number, self.by_row)

    def found(self) -> str:
        """The columns there are, for messages."""
        if self.has_header:
            return f"found: {', '.join(self.columns) or 'none'}"
        return f"no header: columns are numbered 1 to {len(self.columns)}"

    def text(self, number: int, row: Row, column: str) -> str:
        """A row's text in ``column``; empty where it is null.

        Raises:
            DataError: there is no such column, or something else in it.
        """
        if column not in row:
            raise DataError(
                f"{self.place(number)}: no column {column!r}; found: {', '.join(row) or 'none'}",
                hint="every row needs it; null or an empty string is skipped",
            )
        return self.as_text(number, row[column], column)

    def as_text(self, number: int, value: Any, column: str) -> str:
        """``value`` when it is proper text; empty for null; else DataError."""
        if value is None:
            return ""
        if not isinstance(value, str):
            raise DataError(
                f"{self.place(number)}: column {column!r} holds {type(value).__name__} {value!r:.40}, "
                "expected text",
                hint="write it in quotes, or name another column",
            )
        if NUL in value:
            raise nul(self.place(number))
        if not value.isascii() and _SURROGATE.search(value):
            raise DataError(
                f"{self.place(number)}: half of a surrogate pair",
                hint=r"\ud83d needs its other half, as \ud83d\ude00",
            )
        return value


def place(name: str, number: int, by_row: bool) -> str:
    """Where a row stands: ``a.csv:3``, or ``a.parquet: row 3``."""
    return f"{name}: row {number:,}" if by_row else f"{name}:{number}"


def table_of_objects(name: str, rows: Iterable[tuple[int, Any]], by_row: bool = False) -> Table:
    """The table of a stream of numbered rows, each an object."""
    objects = _checked(name, rows, by_row)
    sample = list(islice(objects, SAMPLE))
    columns: dict[str, bool] = {}
    for _, row in sample:
        for column, value in row.items():
            columns[column] = columns.get(column, False) or isinstance(value, str)
    head = place(name, sample[0][0], by_row) if sample else name
    rows_read = chain(sample, objects)
    return Table(name, columns, [row for _, row in sample], lambda _: rows_read, by_row, head=head)


def _checked(name: str, rows: Iterable[tuple[int, Any]], by_row: bool) -> Rows:
    for number, row in rows:
        if not isinstance(row, dict):
            raise DataError(
                f"{place(name, number, by_row)}: expected an object, found {type(row).__name__} {row!r:.40}",
                hint='each row must be an object such as {"text": "..."}',
            )
        yield number, row
