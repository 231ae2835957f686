"""Files to documents, one reader a format: streamed, in bounded memory."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from llmctl.config import TextData
from llmctl.data.files import (
    NEWLINE,
    NUL,
    SourceFile,
    Tell,
    check_unchanged,
    damaged,
    decoded,
    lines_of,
    nul,
    opened,
)
from llmctl.data.json_values import broken_json, json_values
from llmctl.data.sources import compression_of, kind_of
from llmctl.errors import DataError

_SURROGATE = re.compile("[\ud800-\udfff]")
_ROWS_AT_ONCE = 1024


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
    kind = kind_of(file.path)
    check_unchanged(file)
    if kind == "text":
        yield from _text_documents(decoded(file.path, config.encoding, tell), config.sample_by)
    else:
        for text in _READERS[kind_of(file.path) or ""](file.path, config, tell):
            yield Piece(text, True)
    check_unchanged(file)


def _text_documents(chunks: Iterator[str], sample_by: str) -> Iterator[Piece]:
    if sample_by == "document":
        for chunk in chunks:
            yield Piece(chunk, False)
        yield Piece("", True)
    elif sample_by == "line":
        for line in lines_of(chunks):
            yield Piece(line, True)
    else:
        paragraph: list[str] = []
        for line in lines_of(chunks):
            if line and not line.isspace():
                paragraph.append(line)
            elif paragraph:
                yield Piece(NEWLINE.join(paragraph), True)
                paragraph = []
        yield Piece(NEWLINE.join(paragraph), True)


# Rows


def _column(names: dict[str, bool], config: TextData, where: str, tell: Tell) -> str:
    """The text column: the one asked for, else 'text', else the only one with strings.

    Args:
        names: each column there, and whether it holds strings.
    """
    wanted = config.text_column
    strings = [name for name, is_text in names.items() if is_text]
    found = f"found: {', '.join(names) or 'none'}"
    if wanted is not None:
        if wanted not in names:
            raise DataError(f"{where}: no column {wanted!r}; {found}", hint="name one of them: --text-column")
        return wanted
    if "text" in names:
        return "text"
    if len(strings) == 1:
        tell(f"reading the text from column {strings[0]!r}, the only one with text")
        return strings[0]
    reason = "several columns hold text" if strings else "no column holds text"
    raise DataError(f"{where}: no column 'text' and {reason}; {found}", hint="name one: --text-column NAME")


def _cell(value: Any, column: str, where: str) -> str:
    """A row's text; nothing where there is none."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(
            f"{where}: column {column!r} holds {type(value).__name__} {value!r:.40}, expected text",
            hint="write it in quotes, or name another column: --text-column",
        )
    if NUL in value:
        raise nul(where)
    if not value.isascii() and _SURROGATE.search(value):
        raise DataError(
            f"{where}: half of a surrogate pair", hint=r"\ud83d needs its other half, as \ud83d\ude00"
        )
    return value


class _Objects:
    """Objects to texts: the column is decided at the first object, then asked of every other."""

    def __init__(self, config: TextData, tell: Tell) -> None:
        self.config, self.tell = config, tell
        self.column: str | None = None

    def text(self, row: Any, where: str) -> str:
        if not isinstance(row, dict):
            raise DataError(
                f"{where}: expected an object, found {type(row).__name__} {row!r:.40}",
                hint='each row must be an object such as {"text": "..."}',
            )
        if self.column is None:
            names = {name: isinstance(value, str) for name, value in row.items()}
            self.column = _column(names, self.config, where, self.tell)
        if self.column not in row:
            raise DataError(
                f"{where}: no column {self.column!r}; found: {', '.join(row) or 'none'}",
                hint="every row needs it; null or an empty string is skipped",
            )
        return _cell(row[self.column], self.column, where)


def _jsonl(path: Path, config: TextData, tell: Tell) -> Iterator[str]:
    rows = _Objects(config, tell)
    for number, line in enumerate(lines_of(decoded(path, config.encoding, tell)), start=1):
        if not line or line.isspace():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as exc:
            raise broken_json(path, number, exc.colno, exc.msg) from exc
        except RecursionError as exc:
            raise broken_json(path, number, 1, "nested too deeply") from exc
        yield rows.text(row, f"{path}:{number}")


def _json(path: Path, config: TextData, tell: Tell) -> Iterator[str]:
    rows = _Objects(config, tell)
    for line, row in json_values(path, decoded(path, config.encoding, tell)):
        yield rows.text(row, f"{path}:{line}")


def _csv(path: Path, config: TextData, tell: Tell) -> Iterator[str]:
    yield from _cells(path, config, tell, csv.reader(_with_ends(path, config, tell), strict=True))


def _tsv(path: Path, config: TextData, tell: Tell) -> Iterator[str]:
    """A quotation mark in a TSV is text: cells hold neither tabs nor line ends, so nothing is quoted."""
    lines = _with_ends(path, config, tell)
    yield from _cells(path, config, tell, csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def _with_ends(path: Path, config: TextData, tell: Tell) -> Iterator[str]:
    return (line + NEWLINE for line in lines_of(decoded(path, config.encoding, tell)))


def _cells(path: Path, config: TextData, tell: Tell, reader: Any) -> Iterator[str]:
    """The text column's cells; ``reader`` is a ``csv.reader``, the first row names the columns."""
    csv.field_size_limit(sys.maxsize)
    header: list[str] = []
    index, line = -1, 1
    try:
        for row in reader:
            if row and not header:
                header = row
            elif row:
                if len(row) != len(header):
                    raise DataError(
                        f"{path}:{line}: {len(row)} instead of {len(header)} cells",
                        hint="every row needs as many as the first; quote a cell that holds the separator",
                    )
                if index < 0:
                    names = {name: not _is_number(value) for name, value in zip(header, row, strict=True)}
                    index = header.index(_column(names, config, f"{path}:1", tell))
                yield row[index]
            line = reader.line_num + 1
    except csv.Error as exc:
        raise DataError(f"{path}:{line}: {exc}", hint="check the quotation marks of this row") from exc


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


# Tables of Arrow


def _parquet(path: Path, config: TextData, tell: Tell) -> Iterator[str]:
    from pyarrow import parquet

    with _seekable(path, "Parquet") as handle:
        file = parquet.ParquetFile(handle)
        column = _table_column(file.schema_arrow, path, config, tell)
        batches = file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[column])
        yield from _column_texts((batch.column(0) for batch in batches), column, str(path))


def _arrow(path: Path, config: TextData, tell: Tell) -> Iterator[str]:
    """Arrow's file format and, as `datasets` writes it, its stream format."""
    from pyarrow import ipc

    with _seekable(path, "Arrow") as handle:
        is_file = handle.read(6) == b"ARROW1"
        handle.seek(0)
        reader = ipc.open_file(handle) if is_file else ipc.open_stream(handle)
        column = _table_column(reader.schema, path, config, tell)
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches)) if is_file else reader
        yield from _column_texts((batch.column(column) for batch in batches), column, str(path))


@contextmanager
def _seekable(path: Path, kind: str) -> Iterator[IO[bytes]]:
    """The file's bytes, in a temporary file where they are compressed as a whole."""
    import shutil
    import tempfile

    import pyarrow

    with opened(path) as handle:
        try:
            if compression_of(path):
                with tempfile.TemporaryFile() as plain:
                    shutil.copyfileobj(handle, plain)
                    plain.seek(0)
                    yield plain
            else:
                yield handle
        except (pyarrow.ArrowException, OSError) as exc:
            if getattr(exc, "errno", None):
                raise
            raise damaged(path, kind, exc) from exc


def _table_column(schema: Any, path: Path, config: TextData, tell: Tell) -> str:
    return _column({field.name: _is_text(field.type) for field in schema}, config, str(path), tell)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    value = kind.value_type if types.is_dictionary(kind) else kind
    return types.is_string(value) or types.is_large_string(value) or types.is_string_view(value)


def _column_texts(arrays: Iterator[Any], column: str, where: str) -> Iterator[str]:
    """The texts of a column's arrays; ``where`` names the table, a message adds the row, counted from 1."""
    row = 0
    for array in arrays:
        try:
            values = array.to_pylist()
        except UnicodeDecodeError as exc:
            raise DataError(
                f"{where}: column {column!r}: rows {row + 1:,} to {row + len(array):,}: {exc}",
                hint="write the table again with text in UTF-8",
            ) from exc
        for row, value in enumerate(values, start=row + 1):  # noqa: B020
            yield _cell(value, column, f"{where}: row {row:,}")


def dataset_texts(dataset: Any, name: str, config: TextData, tell: Tell) -> Iterator[str]:
    """The texts of a map-style ``datasets.Dataset``, blank ones included; DataError as from a file."""
    names = {field.name: _is_text(field.type) for field in dataset.features.arrow_schema}
    column = _column(names, config, name, tell)
    batches = dataset.select_columns([column]).with_format("arrow").iter(batch_size=_ROWS_AT_ONCE)
    yield from _column_texts((batch.column(0) for batch in batches), column, name)


_READERS: dict[str, Callable[[Path, TextData, Tell], Iterator[str]]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
    "tsv": _tsv,
    "parquet": _parquet,
    "arrow": _arrow,
}
