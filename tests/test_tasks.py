"""The catalogue: every entry says what can be so."""

import re

import pytest

from llmctl.config import TaskData
from llmctl.data.sources import HubSource, resolve
from llmctl.errors import ConfigError
from llmctl.metrics.names import SCORES, family_of
from llmctl.tasks import (
    KINDS,
    TASKS,
    Task,
    best_metric_of,
    defaults_of,
    find_kind,
    find_task,
    metrics_of,
)

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?\Z")
LICENCE = re.compile(r"unknown|other|mit|apache-2\.0|odc-by|cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[34]\.0")
EVERY = [*TASKS.values(), *map(find_task, KINDS)]

every_task = pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)


@every_task
def test_an_entry_names_what_there_is(task: Task) -> None:
    assert HUB_ID.match(task.data)
    assert isinstance(resolve(task.data, TaskData()), HubSource)
    roles = KINDS[task.kind].roles
    assert set(task.columns) <= set(roles)
    if task.columns:
        assert {role for role, needed in roles.items() if needed} <= set(task.columns)
    assert task.examples > 0
    assert LICENCE.fullmatch(task.licence)
    assert task.summary
    assert len(task.summary) <= 60
    assert not task.summary.endswith(".")
    assert (task.source_lang is not None) == (task.target_lang is not None) == (task.kind == "translation")


@pytest.mark.parametrize("task", EVERY, ids=lambda task: task.name)
def test_a_task_is_judged_by_metrics_of_its_kind(task: Task) -> None:
    if task.kind == "chat":
        assert (metrics_of(task), best_metric_of(task)) == (("perplexity",), "loss")
        return
    metrics = SCORES[family_of(task.kind)]
    assert set(metrics_of(task)) <= set(metrics)
    assert best_metric_of(task) in {score for name in metrics_of(task) for score in metrics[name]}


@pytest.mark.parametrize("task", EVERY, ids=lambda task: task.name)
def test_the_defaults_are_sensible(task: Task) -> None:
    defaults = defaults_of(task)
    assert HUB_ID.match(defaults.model)
    assert 1e-6 < defaults.learning_rate < 1e-2
    assert 1 <= defaults.num_train_epochs <= 5
    assert defaults.num_train_epochs == 1 or task.examples < 700_000
    assert 1 <= defaults.per_device_train_batch_size <= 64
    assert defaults.max_length in (128, 256, 384, 512, 1024)


def test_names_are_apart_whatever_their_spelling() -> None:
    names = [re.sub(r"[\W_]", "", name.lower()) for name in (*TASKS, *KINDS)]
    assert len(set(names)) == len(names)
    assert all(name == task.name for name, task in TASKS.items())
    assert all(name == kind.name for name, kind in KINDS.items())


def test_the_tasks_asked_for_first_are_there() -> None:
    glue = {"cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli"}
    assert glue == {name for name, task in TASKS.items() if task.data.startswith("nyu-mll/glue:")}
    assert all(TASKS[name].data == f"nyu-mll/glue:{name}" for name in glue)
    others = "imdb ag_news emotion conll2003 wnut_17 wikiann squad squad_v2 xsum cnn_dailymail samsum opus_books alpaca"
    assert set(others.split()) <= set(TASKS)
    assert {task.kind for task in TASKS.values()} == set(KINDS)


def test_roles_are_those_of_the_options() -> None:
    options = TaskData.__dataclass_fields__
    for role in ("text", "text_pair", "label", "question", "context", "answers", "target", "messages"):
        assert f"{role}_column" in options
        assert any(role in kind.roles for kind in KINDS.values())


@pytest.mark.parametrize(
    ("typed", "name"),
    [("sst2", "sst2"), ("SST-2", "sst2"), ("STS-B", "stsb"), ("squad-v2", "squad_v2"), ("wnut17", "wnut_17")],
)
def test_spelling_does_not_matter(typed: str, name: str) -> None:
    assert find_task(typed) is TASKS[name]


def test_a_kind_is_a_task_without_data() -> None:
    task = find_task("ner")
    assert (task.name, task.kind, task.data) == ("ner", "ner", "")
    assert metrics_of(task) == ("seqeval",)
    assert find_kind("ner") is KINDS["ner"]


def test_unknown_names_are_answered_with_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        find_task("sst3")
    assert "did you mean" in str(caught.value.hint)
    with pytest.raises(ConfigError) as caught:
        find_task("zzz")
    assert "llmctl tasks" in str(caught.value.hint)
    with pytest.raises(ConfigError) as caught:
        find_kind("nre")
    assert "classification, regression" in str(caught.value.hint)


def test_what_a_benchmark_asks_for_stands_over_the_kind() -> None:
    assert metrics_of(TASKS["cola"])[0] == best_metric_of(TASKS["cola"]) == "matthews_correlation"
    assert metrics_of(TASKS["squad_v2"]) == ("squad_v2",)
    assert TASKS["mnli"].validation_split == "validation_matched"
    assert (TASKS["ultrachat"].train_split, TASKS["ultrachat"].validation_split) == ("train_sft", "test_sft")
    assert TASKS["20_newsgroups"].columns == {"text": "text", "label": "label_text"}
