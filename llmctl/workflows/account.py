"""The account before the first step: what is learnt from, what is odd about it, what knowing nothing would score."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmctl.progress import Progress
from llmctl.workflows.judge import baseline

if TYPE_CHECKING:
    from llmctl.data.examples import Examples
    from llmctl.objectives.task import TaskObjective

_NO_INPUT = {"label", "target", "answers", "id", "line", "file"}  # all else of an example is its input


def first_examples(examples: "Examples", count: int | None, progress: Progress) -> "Examples":
    """The first ``count`` examples, telling so, and which classes are only among the others."""
    first = examples.first(count)
    if len(first) < len(examples):
        progress.note(f"{examples.name}: the first {len(first):,} of {len(examples):,} examples")
    if first.num_classes() < examples.num_classes():
        progress.warn(
            f"{examples.name}: the first {len(first):,} examples hold {first.num_classes():,} of "
            f"{examples.num_classes():,} labels: shuffle the file if it is sorted by label"
        )
    return first


def tell_lengths(name: str, features: Any, progress: Progress) -> None:
    """Median, 95th percentile and maximum of the rows' lengths, after cutting."""
    lengths = features.lengths
    middle, high = np.percentile(lengths, [50, 95], method="inverted_cdf")
    progress.note(f"{name}: {middle} tokens in the middle, 95 % up to {high}, longest {lengths.max()}")


def tell_duplicates(splits: Mapping[str, "Examples"], progress: Progress) -> None:
    """Inputs that occur twice within a split, or in training and validation both."""
    seen: dict[str, np.ndarray] = {name: _fingerprints(examples) for name, examples in splits.items()}
    for name, marks in seen.items():
        if twice := len(marks) - len(np.unique(marks)):
            progress.note(
                f"{splits[name].name}: {twice:,} of {len(marks):,} examples repeat an earlier input"
            )
    if "train" in seen and "validation" in seen:
        shared = int(np.isin(seen["validation"], seen["train"]).sum())
        if shared:
            progress.warn(
                f"{shared:,} of {len(seen['validation']):,} validation examples are in the training split too: "
                "the score flatters"
            )


def _fingerprints(examples: "Examples") -> np.ndarray:
    """A hash (N,) of each example's input."""
    columns = [name for name in examples.table.column_names if name not in _NO_INPUT]
    rows = zip(*(examples.column(name) for name in columns), strict=True)
    return np.fromiter((hash(repr(row)) for row in rows), dtype=np.int64, count=len(examples))


def tell_baseline(
    objective: "TaskObjective", features: Any, metrics: Sequence[str], progress: Progress
) -> None:
    """What the best constant answer would score on the validation split."""
    known = {
        name: value for name, value in baseline(objective, features, metrics).items() if value is not None
    }
    if known:
        told = ", ".join(f"{name} {value:.4g}" for name, value in known.items())
        progress.note(f"{features.examples.name}: the same answer for every example would score {told}")
