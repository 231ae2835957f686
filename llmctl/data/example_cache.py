"""Canonical examples on disk: written in one pass over the source, kept under a key, memory-mapped."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl.config import TaskData
from llmctl.data.canonical import converter, roles_of
from llmctl.data.columns import FLAGS, choose_columns
from llmctl.data.findings import Findings
from llmctl.data.splits import Split
from llmctl.data.tables import Table
from llmctl.disk import staged_directory, sweep
from llmctl.errors import DataError
from llmctl.progress import Progress
from llmctl.tasks import Task

if TYPE_CHECKING:
    import pyarrow

_FORMAT = 2  # part of every key: raise it when the same files give other examples
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Entry:
    """The examples of a split in the cache.

    Attributes:
        path: the Arrow file.
        num_examples: rows in it.
        fingerprint: hex digest of the file.
        label_names: the classes that the source declares, in its order.
        places: name of each table that was read, and whether its rows count instead of lines.
        unlabelled: examples without a label; the first of them stands at ``first_unlabelled``.
        notes: what was met while reading.
    """

    path: Path
    num_examples: int
    fingerprint: str
    label_names: tuple[str, ...] | None
    places: list[tuple[str, bool]]
    unlabelled: int
    first_unlabelled: str
    notes: list[str]

    def table(self) -> "pyarrow.Table":
        """The examples, memory-mapped."""
        import pyarrow

        return pyarrow.ipc.open_file(pyarrow.memory_map(str(self.path))).read_all()


def kept(
    split: Split[Any],
    config: TaskData,
    task: Task,
    *,
    labelled: bool,
    cache_dir: Path,
    progress: Progress,
) -> Entry:
    """The split's examples, read once; a later call with the same source and settings reads nothing of it.

    Raises:
        DataError: as ``canonical``; no examples in it; no room or permission to write.
    """
    flags = sorted(set(FLAGS[task.kind].values()))
    settings = [
        task.kind,
        sorted(task.columns.items()),
        [getattr(config, name) for name in (*flags, "encoding", "header")],
        [config.source_lang or task.source_lang, config.target_lang or task.target_lang],
        labelled,
    ]
    text = json.dumps([_FORMAT, split.name, split.key, settings], ensure_ascii=False)
    place = cache_dir / "examples" / hashlib.sha256(text.encode()).hexdigest()[:32]
    if (entry := _read(place)) is not None:
        return entry
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        sweep(place.parent)
        if place.exists():
            shutil.rmtree(place)
        with staged_directory(place) as staging:
            _write(split, config, task, labelled, staging, progress)
    except OSError as exc:
        if (entry := _read(place)) is not None:
            return entry  # another process was faster
        raise DataError(
            f"{exc.filename or place}: cannot write the examples: {exc.strerror or exc}",
            hint="set LLMCTL_CACHE_DIR to a folder where there is room and you may write",
        ) from exc
    entry = _read(place)
    if entry is None:
        raise DataError(
            f"{place}: cannot be read back", hint="free the place, or set LLMCTL_CACHE_DIR elsewhere"
        )
    return entry


def _read(place: Path) -> Entry | None:
    """What is kept at ``place``; None where nothing whole is."""
    try:
        meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
        size = meta.pop("num_bytes")
        path = place / "examples.arrow"
        if path.stat().st_size != size:
            return None
        names = meta.pop("label_names")
        places = [(name, by_row) for name, by_row in meta.pop("places")]
        return Entry(path=path, label_names=tuple(names) if names else None, places=places, **meta)
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass
class _Reading:
    """What one pass over a split gathers beside its examples."""

    findings: Findings = field(default_factory=Findings)
    notes: dict[str, None] = field(default_factory=dict)
    places: list[tuple[str, bool]] = field(default_factory=list)
    label_names: tuple[str, ...] | None = None
    roles: list[str] = field(default_factory=list)
    num_examples: int = 0


def _write(
    split: Split[Any], config: TaskData, task: Task, labelled: bool, folder: Path, progress: Progress
) -> None:
    import pyarrow

    reading = _Reading()
    examples = _examples(split, config, task, labelled, reading)
    path = folder / "examples.arrow"
    with progress.bar(f"reading {split.name}", None, "examples") as advance:
        batch = list(islice(examples, _ROWS_AT_ONCE))
        if not batch:
            raise _no_examples(split, reading.findings)
        schema = _schema(task.kind, reading.roles, several=len(split.files) > 1)
        with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_file(sink, schema) as writer:
            while batch:
                writer.write_batch(_record_batch(batch, schema))
                reading.num_examples += len(batch)
                advance(len(batch))
                batch = list(islice(examples, _ROWS_AT_ONCE))
    meta = _meta(split, task, reading, path)
    (folder / "meta.json").write_text(json.dumps(meta, ensure_ascii=False), encoding="utf-8")


def _examples(
    split: Split[Any], config: TaskData, task: Task, labelled: bool, reading: _Reading
) -> Iterator[list[Any]]:
    """The canonical values of each example, then its line and the index of its table."""
    tell = reading.notes.setdefault
    for table in split.read(tell):
        if not table.sample:
            continue
        columns = choose_columns(table, config, task, labelled=labelled)
        if told := columns.told(table):
            tell(told)
        roles = roles_of(task.kind, columns, labelled=labelled)
        if not reading.places:
            reading.roles = roles
            reading.label_names = columns.indicators or _declared(table, columns.roles.get("label"))
        elif roles != reading.roles:
            raise DataError(
                f"{table.name}: gives {', '.join(roles)}, but {reading.places[0][0]} gives "
                f"{', '.join(reading.roles)}",
                hint="give all files of a split the same columns",
            )
        index = len(reading.places)
        reading.places.append((table.name, table.by_row))
        convert = converter(task.kind, table, columns, reading.findings, labelled=labelled)
        for number, row in table.read(columns.needed()):
            values = convert(number, row)
            if values is not None:
                values += (number, index)
                yield values


def _declared(table: Table, column: str | None) -> tuple[str, ...] | None:
    return table.declared.get(column or "")


def _schema(kind: str, roles: list[str], *, several: bool) -> "pyarrow.Schema":
    import pyarrow as pa

    texts = pa.list_(pa.string())
    types = {
        "tokens": texts,
        "answers": pa.list_(pa.struct([("text", pa.string()), ("start", pa.int32())])),
        "messages": pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
        "label": {"regression": pa.float64(), "multilabel": texts, "ner": texts}.get(kind, pa.string()),
    }
    columns = [(role, types.get(role, pa.string())) for role in roles]
    return pa.schema([*columns, ("line", pa.int64()), *([("file", pa.int32())] if several else [])])


def _record_batch(batch: list[list[Any]], schema: "pyarrow.Schema") -> "pyarrow.RecordBatch":
    import pyarrow

    columns = list(zip(*batch, strict=True))
    arrays = [pyarrow.array(column, item.type) for column, item in zip(columns, schema, strict=False)]
    return pyarrow.record_batch(arrays, schema=schema)


def _meta(split: Split[Any], task: Task, reading: _Reading, path: Path) -> dict[str, Any]:
    findings = reading.findings
    unlabelled = findings.unlabelled.counts.get("", 0)
    first = findings.unlabelled.first.get("", "")
    # A label of -1, or no answer, means nothing where there is no other in the whole split.
    if findings.placeholders + unlabelled == reading.num_examples:
        unlabelled = reading.num_examples
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:32]
    return {
        "num_examples": reading.num_examples,
        "num_bytes": path.stat().st_size,
        "fingerprint": digest,
        "label_names": reading.label_names,
        "places": reading.places,
        "unlabelled": unlabelled,
        "first_unlabelled": first,
        "notes": [
            *reading.notes,
            *findings.left_out.told(f"{split.name}: left out", "example"),
            *findings.mended.told(f"{split.name}: mended", "example"),
        ],
    }


def _no_examples(split: Split[Any], findings: Findings) -> DataError:
    if split.files and not any(file.size for file in split.files):
        what = "empty file" if len(split.files) == 1 else f"{len(split.files):,} files, all empty"
        return DataError(f"{split.name}: {what}", hint="give a file with examples in it")
    if reasons := findings.left_out.counts:
        what = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.items())
        return DataError(
            f"{split.name}: no example is left: {what}", hint="mend the data, or name other columns"
        )
    return DataError(f"{split.name}: no examples in it", hint="give a file with examples in it")
