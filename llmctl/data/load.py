"""A source to its splits: text to learn from and to judge by, checked before it is used."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmctl.config import Corpus, TextData
from llmctl.data.documents import Documents
from llmctl.data.mixture import check_text, ingredients, joined, title_of
from llmctl.data.splits import SPLITS, load_splits
from llmctl.data.streamed import StreamLoader, streamed_together
from llmctl.data.text_loader import TextLoader
from llmctl.progress import Progress

__all__ = ["check_text", "load_streamed", "load_text"]


def load_text(
    config: TextData, *, progress: Progress, cache_dir: Path, wanted: Collection[str] = SPLITS
) -> dict[str, Documents]:
    """The text of ``config.data`` by split: "train", "validation" and "test".

    "validation" is the source's own split, or ``validation_data``, or held out of the training documents
    (none when ``validation_fraction`` is 0); "test" is there when the source has it. ``max_documents`` is
    applied to each split as it lies there, so before anything is held out of it. Of several sources each gives
    its splits, which then stand one behind the other; ``validation_data`` stands in for theirs.

    Args:
        wanted: the splits to return, where there are such; the others are not read.
        cache_dir: remembers what was counted, so that the next call with the same data reads nothing.

    Raises:
        ConfigError: as :func:`check_text`; a subset or split that is not there.
        DataError: text that cannot be read or is not what it should be.
    """
    parts = _parts(config, TextLoader, progress, cache_dir, wanted)
    return {name: joined(title_of(config.data), name, found) for name, found in parts.items()}


def load_streamed(
    config: Corpus, *, progress: Progress, cache_dir: Path, wanted: Collection[str] = ("train", "validation")
) -> dict[str, Any]:
    """As :func:`load_text`, but what is learnt from is a :class:`StreamedText`, and is not read now.

    Where there is no validation split, the first documents of the stream are held out for it.
    """
    parts = _parts(config, StreamLoader, progress, cache_dir, wanted)
    title = title_of(config.data)
    splits: dict[str, Any] = {
        name: joined(title, name, found) for name, found in parts.items() if name != "train"
    }
    if "train" in parts:
        splits["train"] = streamed_together(title, parts["train"], ingredients(config.data))
    return splits


def _parts(
    config: TextData, loader: type[TextLoader], progress: Progress, cache_dir: Path, wanted: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Split -> source -> what it holds."""
    check_text(config)
    found: dict[str, dict[str, Any]] = {}
    for source, _ in ingredients(config.data):
        own = replace(config, data=source)
        splits = load_splits(source, own, loader(own, progress, cache_dir), wanted)
        if config.validation_data is not None:
            wanted = set(wanted) - {"validation"}  # it is the same for all
        for name, part in splits.items():
            found.setdefault(name, {})[source] = part
    return found
