"""Files and data sets to documents: streamed, in bounded memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from llmctl.config import TextData
from llmctl.data.arrow_tables import table_of_dataset, table_of_stream
from llmctl.data.files import NEWLINE, SourceFile, Tell, check_unchanged, decoded, lines_of
from llmctl.data.sources import kind_of
from llmctl.data.table_files import open_table
from llmctl.data.tables import Table
from llmctl.errors import DataError


class Piece(NamedTuple):
    """A document or a part of one; the document's last part has ``ends_document``."""

    text: str
    ends_document: bool


def read_documents(file: SourceFile, config: TextData, tell: Tell) -> Iterator[Piece]:
    """The documents of one file, blank ones included; plain text comes in pieces with arbitrary cuts.

    Args:
        file: the file as it was when it was first looked at.
        config: ``encoding``, ``sample_by`` and ``text_column`` are used.
        tell: receives what was mended or chosen, each thing once.

    Raises:
        DataError: the file is not readable, damaged, not in this encoding, malformed, lacks the text column,
            or is no longer as it was.
    """
    if file.size == 0:
        yield Piece("", True)
        return
    kind = kind_of(file.path) or ""
    check_unchanged(file)
    if kind == "text":
        yield from _text_documents(decoded(file.path, config.encoding, tell), file.path, config.sample_by)
    else:
        with open_table(file.path, kind, config.encoding, tell) as table:
            yield from _table_documents(table, config, tell)
    check_unchanged(file)


def dataset_documents(dataset: Any, name: str, config: TextData, tell: Tell) -> Iterator[Piece]:
    """The texts of a map-style ``datasets.Dataset``, blank ones included; DataError as from a file."""
    return _table_documents(table_of_dataset(dataset, name), config, tell)


def stream_documents(dataset: Any, name: str, config: TextData, tell: Tell) -> Iterator[Piece]:
    """As :func:`dataset_documents`, of a ``datasets.IterableDataset``."""
    return _table_documents(table_of_stream(dataset, name), config, tell)


def _text_documents(chunks: Iterator[str], path: Path, sample_by: str) -> Iterator[Piece]:
    if sample_by == "document":
        for chunk in chunks:
            yield Piece(chunk, False)
        yield Piece("", True)
    elif sample_by == "line":
        for line in lines_of(chunks, path):
            yield Piece(line, True)
    else:
        paragraph: list[str] = []
        for line in lines_of(chunks, path):
            if line and not line.isspace():
                paragraph.append(line)
            elif paragraph:
                yield Piece(NEWLINE.join(paragraph), True)
                paragraph = []
        yield Piece(NEWLINE.join(paragraph), True)


def _table_documents(table: Table, config: TextData, tell: Tell) -> Iterator[Piece]:
    if not table.sample:
        return
    column = _text_column(table, config, tell)
    for number, row in table.read([column]):
        yield Piece(table.text(number, row, column), True)


def _text_column(table: Table, config: TextData, tell: Tell) -> str:
    """The text column: the one asked for, else 'text', else the only one with strings."""
    wanted = config.text_column
    if wanted is not None:
        if wanted not in table.columns:
            raise DataError(
                f"{table.head}: no column {wanted!r}; {table.found()}",
                hint="name one of them: --text-column",
            )
        return wanted
    if "text" in table.columns:
        return "text"
    strings = [name for name, is_text in table.columns.items() if is_text]
    if len(strings) == 1:
        tell(f"reading the text from column {strings[0]!r}, the only one with text")
        return strings[0]
    reason = "several columns hold text" if strings else "no column holds text"
    raise DataError(
        f"{table.head}: no column 'text' and {reason}; {table.found()}", hint="name one: --text-column NAME"
    )
