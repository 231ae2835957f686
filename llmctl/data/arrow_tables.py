"""Tables of Arrow: Parquet, Arrow's own files, and data sets of the Hub."""

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

from llmctl.data.files import damaged, opened
from llmctl.data.sources import compression_of
from llmctl.data.tables import SAMPLE, Rows, Table, table_of_objects
from llmctl.errors import DataError

_ROWS_AT_ONCE = 1024


@contextmanager
def parquet_table(path: Path) -> Iterator[Table]:
    """The table in a Parquet file; DataError when it is damaged or not readable."""
    from pyarrow import parquet

    with _seekable(path, "Parquet") as handle:
        file = parquet.ParquetFile(handle)
        yield _of_batches(
            str(path),
            file.schema_arrow,
            lambda names: file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=list(names)),
        )


@contextmanager
def arrow_table(path: Path) -> Iterator[Table]:
    """The table in Arrow's file format or, as `datasets` writes it, its stream format; raises likewise."""
    from pyarrow import ipc

    with _seekable(path, "Arrow") as handle:
        is_file = handle.read(6) == b"ARROW1"

        def start() -> Any:
            handle.seek(0)
            return ipc.open_file(handle) if is_file else ipc.open_stream(handle)

        def batches(_: Collection[str]) -> Iterator[Any]:
            reader = start()
            if is_file:
                return (reader.get_batch(i) for i in range(reader.num_record_batches))
            return iter(reader)

        yield _of_batches(str(path), start().schema, batches)


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


def table_of_dataset(dataset: Any, name: str) -> Table:
    """The table of a map-style ``datasets.Dataset``."""

    def batches(names: Collection[str]) -> Iterator[Any]:
        chosen = dataset.select_columns(list(names)).with_format("arrow")
        return iter(chosen.iter(batch_size=_ROWS_AT_ONCE))

    return _of_batches(name, dataset.features.arrow_schema, batches)


def table_of_stream(dataset: Any, name: str) -> Table:
    """The table of a ``datasets.IterableDataset``; DataError where it cannot be fetched or read."""
    return table_of_objects(name, enumerate(_fetched(dataset, name), start=1), by_row=True)


def _fetched(dataset: Any, name: str) -> Iterator[Any]:
    from datasets.exceptions import DatasetsError
    from pyarrow import ArrowException

    try:
        yield from dataset
    except (OSError, ValueError, RuntimeError, DatasetsError, ArrowException) as exc:
        reason = str(exc).strip().partition("\n")[0]
        raise DataError(
            f"{name}: cannot be read: {reason}", hint="try again; --on-bad-shard skip goes on with the next"
        ) from exc


def _of_batches(name: str, schema: Any, batches: Callable[[Collection[str]], Iterator[Any]]) -> Table:
    """The table of Arrow batches that hold at least the columns asked for; rows count from 1."""

    def read(wanted: Collection[str]) -> Rows:
        number = 0
        for batch in batches(wanted):
            columns = [_values(batch, column, name, number) for column in wanted]
            for number, cells in enumerate(zip(*columns, strict=True), start=number + 1):  # noqa: B020
                yield number, dict(zip(wanted, cells, strict=True))

    columns = {item.name: _is_text(item.type) for item in schema}
    sample = [row for _, row in islice(read(list(columns)), SAMPLE)]
    return Table(name, columns, sample, read, by_row=True, declared=_declared(schema), head=name)


def _values(batch: Any, column: str, name: str, before: int) -> list[Any]:
    try:
        return batch.column(column).to_pylist()
    except UnicodeDecodeError as exc:
        raise DataError(
            f"{name}: column {column!r}: rows {before + 1:,} to {before + len(batch):,}: {exc}",
            hint="write the table again with text in UTF-8",
        ) from exc


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    value = kind.value_type if types.is_dictionary(kind) else kind
    return types.is_string(value) or types.is_large_string(value) or types.is_string_view(value)


def _declared(schema: Any) -> dict[str, tuple[str, ...]]:
    """The classes of ``ClassLabel`` columns, and of lists of such, as `datasets` writes them beside a table."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    if not isinstance(features, dict):
        return {}
    found = {column: _class_names(feature) for column, feature in features.items()}
    return {column: names for column, names in found.items() if names}


def _class_names(feature: Any) -> tuple[str, ...]:
    if not isinstance(feature, dict):
        return ()
    if feature.get("_type") == "ClassLabel":
        names = feature.get("names")
        return tuple(map(str, names)) if isinstance(names, list) else ()
    return _class_names(feature.get("feature"))
