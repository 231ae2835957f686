"""``llmctl tasks`` as a person types it."""

import json
from pathlib import Path

import pytest

from llmctl.cli.tasks import _rounded
from llmctl.tasks import KINDS, TASKS
from tests.cli.conftest import Run
from tests.cli.test_main import modules_after


def test_the_list_shows_every_task_under_its_kind(llmctl: Run) -> None:
    result = llmctl("tasks")
    assert result.returncode == 0, result.stderr
    blocks = {block.partition(":")[0]: block.splitlines() for block in result.stdout.split("\n\n")}
    assert list(blocks) == list(KINDS)
    for name, task in TASKS.items():
        row = next(line.split() for line in blocks[task.kind] if line.split()[0] == name)
        assert row[2] == task.data
        assert row[-1] == task.licence
    assert all(len(line) <= 110 for line in result.stdout.splitlines())
    assert "llmctl tasks cola" in result.stderr
    assert "llmctl finetune --task classification --data FILE" in result.stderr


def test_one_kind(llmctl: Run) -> None:
    result = llmctl("tasks", "--kind", "ner", "-q")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ner: ")
    assert lines[1].split() == ["task", "examples", "data", "judged", "by", "licence"]
    assert [line.split()[0] for line in lines[2:]] == [n for n, task in TASKS.items() if task.kind == "ner"]
    assert result.stderr == ""


def test_one_task_in_full(llmctl: Run) -> None:
    text = llmctl("tasks", "SST-2").stdout
    assert text.startswith("sst2: sentiment")
    for fact in (
        "nyu-mll/glue:sst2 (67,349 training examples)",
        "text: sentence, label: label",
        "accuracy, f1",
        "3 epochs, batches of 32, learning rate 5e-05",
    ):
        assert fact in text
    assert text.splitlines()[-1].split(maxsplit=1) == ["run", "llmctl finetune --task sst2"]


@pytest.mark.parametrize("name", [*TASKS, *KINDS])
def test_every_task_in_full_fits(name: str) -> None:
    from llmctl.cli.tasks import _in_full
    from llmctl.tasks import find_task

    lines = _in_full(find_task(name)).splitlines()
    assert lines[0].startswith(f"{name}: ")
    assert f"llmctl finetune --task {name}" in lines[-1]
    assert max(map(len, lines)) <= 110


def test_a_narrow_terminal_gets_fewer_columns() -> None:
    from llmctl.cli.tasks import _columns

    rows = [
        ("task", "examples", "data", "judged by", "licence"),
        ("ag", "120k", "org/name", "accuracy", "mit"),
    ]
    assert _columns(rows, 46).splitlines()[1] == "  ag        120k  org/name  accuracy   mit"
    assert _columns(rows, 40).splitlines()[1] == "  ag        120k  org/name  accuracy"
    assert _columns(rows, 20).splitlines()[1] == "  ag        120k  o…"


def test_a_kind_in_full_asks_for_data(llmctl: Run) -> None:
    text = llmctl("tasks", "qa").stdout
    assert "question, context, answers, by their usual names" in text
    assert "llmctl finetune --task qa --data FILE" in text


def test_json(llmctl: Run) -> None:
    every = json.loads(llmctl("tasks", "--json").stdout)["tasks"]
    assert [task["name"] for task in every] == sorted(
        TASKS, key=lambda name: list(KINDS).index(TASKS[name].kind)
    )
    one = json.loads(llmctl("tasks", "mnli", "--json").stdout)
    assert one in every
    assert one["validation_split"] == "validation_matched"
    assert one["metrics"] == ["accuracy"]
    assert one["defaults"]["num_train_epochs"] == 3
    assert one["command"] == "llmctl finetune --task mnli"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sst3"], "did you mean"),
        (["--kind", "nre"], "classification, regression, multilabel, ner"),
        (["sst2", "--kind", "ner"], "exclude each other"),
    ],
)
def test_what_is_not_there_is_told(llmctl: Run, arguments: list[str], said: str) -> None:
    result = llmctl("tasks", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr


@pytest.mark.parametrize("arguments", [[], ["sst2"], ["--kind", "qa"], ["--json"]], ids=" ".join)
def test_nothing_heavy_is_imported(arguments: list[str], tmp_path: Path) -> None:
    assert modules_after(["tasks", *arguments], tmp_path) == (0, set())


@pytest.mark.parametrize(
    ("count", "shown"),
    [(635, "635"), (999, "999"), (1_190, "1.2k"), (9_949, "9.9k"), (9_950, "10k"), (67_349, "67k"),
     (999_499, "999k"), (999_500, "1.0M"), (3_600_000, "3.6M"), (40_836_715, "41M")],
)  # fmt: skip
def test_sizes_are_rounded(count: int, shown: str) -> None:
    assert _rounded(count) == shown
