"""What is told about the examples before anything is learnt."""

from pathlib import Path
from typing import Any

from llmctl.config import TaskData
from llmctl.data.examples import Examples, load_examples
from llmctl.progress import SILENT
from llmctl.tasks import find_task
from llmctl.workflows.account import first_examples
from tests.data.conftest import Told, jsonl


def examples_of(kind: str, folder: Path, labels: list[Any]) -> Examples:
    path = jsonl(folder / "s.jsonl", *({"text": str(i), "label": label} for i, label in enumerate(labels)))
    config = TaskData(task=kind, data=str(path), validation_fraction=0.0)
    return load_examples(config, find_task(kind), progress=SILENT, cache_dir=folder / "cache")["train"]


def test_the_first_examples_of_a_sorted_file_are_warned_of(tmp_path: Path) -> None:
    labels, told = ["a"] * 6 + ["b"] * 3 + ["c"], Told()
    found = examples_of("classification", tmp_path, labels)
    assert first_examples(found, None, told) is found
    assert first_examples(found, 10, told) is found
    assert told.notes == []
    assert first_examples(found, 7, told).column("label") == labels[:7]
    assert told.notes == [
        f"{found.name}: the first 7 of 10 examples",
        f"{found.name}: the first 7 examples hold 2 of 3 labels: shuffle the file if it is sorted by label",
    ]


def test_labels_that_are_no_classes_are_not_counted(tmp_path: Path) -> None:
    told = Told()
    found = examples_of("regression", tmp_path, [index / 3 for index in range(9)])
    first_examples(found, 2, told)
    assert told.notes == [f"{found.name}: the first 2 of 9 examples"]
