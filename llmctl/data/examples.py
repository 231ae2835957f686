"""Labelled examples from any source: validated once, kept as Arrow in the cache, memory-mapped."""

import hashlib
import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl.config import TaskData
from llmctl.data.columns import NoLabelsError
from llmctl.data.example_cache import kept
from llmctl.data.example_sources import check_examples_source, example_splits, source_of
from llmctl.data.files import SourceFile
from llmctl.data.splits import (
    SPLITS,
    Split,
    drawn_by_class,
    load_splits,
    number_held_out,
    parts_of,
    tell_held_out,
    tell_notes,
)
from llmctl.data.tables import place
from llmctl.errors import DataError
from llmctl.progress import Progress
from llmctl.tasks import Task

if TYPE_CHECKING:
    import pyarrow

    from llmctl.data.documents import Documents

# what is text in the canonical columns of any kind of problem
TEXT_COLUMNS = ("text", "text_pair", "target", "tokens", "question", "context", "messages")

__all__ = ["Examples", "check_examples_source", "load_examples"]


@dataclass(frozen=True)
class Examples:
    """The examples of one split, validated, in a fixed order.

    The columns by kind of problem, text unless said: classification has "text", "text_pair" (where there is
    one) and "label", the class's name; regression the same with a float64 label; multilabel with a list of
    names; ner "tokens" and "label", lists of equal length; qa "id", "question", "context" and "answers", a list
    of ``{"text", "start"}`` that is empty where the context holds no answer (``start`` counts characters);
    summarization and translation "text" and "target"; chat "messages", a list of ``{"role", "content"}``.
    Also "line", the number of the line or row, and with several files "file", which of them.

    Attributes:
        name: as messages call it: ``dev.tsv``, ``nyu-mll/glue:sst2 (train)``.
        table: the columns, memory-mapped.
        label_names: the classes in the source's own order where it declares one.
        fingerprint: hex digest of the content.
        files: the files they come from; empty for the Hub and built-in data.
        labelled: whether there are labels; else the table has no column of them.
        places: name of each table that was read, and whether its rows are counted instead of its lines.
    """

    name: str
    table: "pyarrow.Table"
    label_names: tuple[str, ...] | None
    fingerprint: str
    files: tuple[SourceFile, ...] = field(repr=False)
    labelled: bool
    places: Sequence[tuple[str, bool]] = field(default=(), repr=False)

    def __len__(self) -> int:
        return self.table.num_rows

    def column(self, role: str) -> list[Any]:
        """A column's values as Python objects."""
        return self.table.column(role).to_pylist()

    def place(self, index: int) -> str:
        """Where example ``index`` stands: ``dev.tsv:13``, ``nyu-mll/glue:sst2 (train): row 13``."""
        number = self.table.column("line")[index].as_py()
        file = self.table.column("file")[index].as_py() if "file" in self.table.column_names else 0
        name, by_row = self.places[file] if self.places else (self.name, True)
        return place(name, number, by_row)

    def select(self, indices: Sequence[int]) -> "Examples":
        """The examples at ``indices``, in that order."""
        import pyarrow

        chosen = pyarrow.array(indices, pyarrow.int64())
        digest = hashlib.sha256(f"{self.fingerprint} at {list(indices)}".encode()).hexdigest()[:32]
        return replace(self, table=self.table.take(chosen), fingerprint=digest)

    def first(self, count: int | None) -> "Examples":
        """The first ``count`` examples, not copied; all for ``None`` or when there are no more."""
        if count is None or count >= len(self):
            return self
        digest = hashlib.sha256(f"{self.fingerprint} first {count}".encode()).hexdigest()[:32]
        return replace(self, table=self.table.slice(0, count), fingerprint=digest)

    def num_classes(self) -> int:
        """How many different labels occur where each example has one; else 0."""
        from pyarrow import types

        if "label" not in self.table.column_names or not types.is_string(self.table.column("label").type):
            return 0
        return len(self.table.column("label").unique())

    def documents(self) -> "Documents":
        """All that is read or written in the examples, as text to train a tokenizer on."""
        from llmctl.data.documents import Documents
        from llmctl.data.readers import Piece

        columns = [name for name in TEXT_COLUMNS if name in self.table.column_names]

        def stream() -> Iterator[Piece]:
            for batch in self.table.select(columns).to_batches():
                for row in batch.to_pylist():
                    for value in row.values():
                        yield Piece(_as_text(value), True)

        num_bytes = sum(len(piece.text.encode()) for piece in stream())
        count = len(self) * len(columns)
        return Documents(self.name, count, num_bytes, self.fingerprint, self.files, stream)

    def describe(self) -> dict[str, Any]:
        """What a run's record keeps of where its examples came from, as plain JSON."""
        return {
            "name": self.name,
            "num_examples": len(self),
            "columns": [name for name in self.table.column_names if name not in ("line", "file")],
            "fingerprint": self.fingerprint,
            "files": [{"path": str(file.path.resolve()), "bytes": file.size} for file in self.files],
        }


def load_examples(
    config: TaskData,
    task: Task,
    *,
    progress: Progress,
    cache_dir: Path,
    wanted: Collection[str] = SPLITS,
    labelled: bool = True,
) -> dict[str, Examples]:
    """The examples of ``config.data``, else of the task's own data, by split: "train", "validation", "test".

    "validation" is the source's own split, or ``validation_data``, or drawn from the training examples (none
    when ``validation_fraction`` is 0). "test" is there when the source has it and it has labels.

    Args:
        wanted: the splits to return, where there are such; the others are not read.
        cache_dir: keeps the examples, so that the next call with the same data reads no source.
        labelled: whether labels are read, which every example must have; if not, they play no part.

    Raises:
        ConfigError: as :func:`check_examples_source`; a subset or split that is not there.
        DataError: data that cannot be read or is not what it should be; an unlabelled split, except a "test"
            that is wanted beside others.
    """
    check_examples_source(config, task)
    if config.data in (None, task.data):
        own_train = task.train_split if config.train_split == "train" else None
        config = replace(
            config,
            train_split=own_train or config.train_split,
            validation_split=config.validation_split or task.validation_split,
        )
    loader = _Loader(config, task, progress, cache_dir, labelled)
    return load_splits(source_of(config, task), config, loader, wanted)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return " ".join(item if isinstance(item, str) else item["content"] for item in value or [])


@dataclass(frozen=True)
class _Loader:
    """Makes examples of splits, telling what was met on the way."""

    config: TaskData
    task: Task
    progress: Progress
    cache_dir: Path
    labelled: bool

    def splits(self, source: str) -> dict[str, Split[Any]]:
        return example_splits(source, self.config, self.task, self.progress)

    def load(self, split: Split[Any], *, optional: bool = False) -> Examples | None:
        """The split's examples; None for an unlabelled one that is optional."""
        try:
            entry = kept(
                split,
                self.config,
                self.task,
                labelled=self.labelled,
                cache_dir=self.cache_dir,
                progress=self.progress,
            )
        except NoLabelsError:
            if not optional:
                raise
            self._tell_unlabelled(split)
            return None
        tell_notes(self.progress, split.name, entry.notes)
        if self.labelled and entry.unlabelled == entry.num_examples:
            if optional:
                self._tell_unlabelled(split)
                return None
            raise DataError(
                f"{split.name}: unlabelled",
                hint="judge by another split (--validation-split, --validation-data), or use llmctl predict",
            )
        if self.labelled and entry.unlabelled:
            rows = "1 row has" if entry.unlabelled == 1 else f"{entry.unlabelled:,} rows have"
            raise DataError(
                f"{split.name}: {rows} no label (first: {entry.first_unlabelled})",
                hint="label or remove them, or name another column",
            )
        return Examples(
            split.name,
            entry.table(),
            entry.label_names,
            entry.fingerprint,
            split.files,
            self.labelled,
            entry.places,
        )

    def _tell_unlabelled(self, split: Split[Any]) -> None:
        self.progress.note(f"{split.name}: unlabelled, so it is not used")

    def learn(self, split: Split[Any]) -> Examples | None:
        """What is learnt from of a split that nothing is held out of."""
        return self.load(split)

    def hold_out(self, split: Split[Any]) -> dict[str, Examples]:
        """Training and validation examples of a split that has no other to be judged by."""
        examples = self.load(split)
        assert examples is not None  # the split is not optional
        total = len(examples)
        if total < 2:
            raise DataError(
                f"{split.name}: a single example, too few to hold some out",
                hint="--validation-data FILE, or --validation-fraction 0 to do without",
            )
        held_out = self._drawn(examples)
        drawn = set(held_out)
        learnt = [index for index in range(total) if index not in drawn]
        learnt_name, judged_name = parts_of(split.name)
        return {
            "train": replace(examples.select(learnt), name=learnt_name),
            "validation": replace(examples.select(held_out), name=judged_name),
        }

    def _drawn(self, examples: Examples) -> list[int]:
        """The examples to judge by: of classes that have two examples or more, each the same share."""
        total, seed = len(examples), self.config.split_seed
        number = number_held_out(self.config.validation_fraction, total)
        classes = examples.column("label") if self.task.kind == "classification" and examples.labelled else []
        sizes = Counter(classes)
        if len(sizes) <= number and min(sizes.values(), default=0) > 1:
            tell_held_out(self.progress, self.config, number, total, "example", " of each label")
            return drawn_by_class(classes, number, seed)
        tell_held_out(self.progress, self.config, number, total, "example")
        return sorted(random.Random(seed).sample(range(total), number))
