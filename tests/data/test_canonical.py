"""Cells that are not what they should be: refused, mended or left out, always with their place."""

from pathlib import Path
from typing import Any

import pytest

from llmctl.data.answers import DROPPED, MOVED, SEARCHED, Found, answers_of
from llmctl.errors import DataError
from tests.data.conftest import LoadExamples, Told, jsonl

GOOD = {"role": "assistant", "content": "Hello"}


@pytest.mark.parametrize(
    ("task", "bad", "message"),
    [
        ("classification", {"text": "b", "label": "pos"}, 'label "pos", expected an integer'),
        ("classification", {"text": "b", "label": True}, "label true, expected an integer"),
        ("classification", {"text": "b", "label": float("nan")}, "label is NaN"),
        ("classification", {"text": "b", "label": 0.5}, "label 0.5, expected a class"),
        ("classification", {"text": "b", "label": [1]}, r"label \[1\], expected a class"),
        ("classification", {"text": 7, "label": 1}, "column 'text' holds int 7, expected text"),
        ("classification", {"label": 1}, "no column 'text'; found: label"),
        ("classification", {"text": "a\0b", "label": 1}, "NUL"),
        ("classification", {"text": "\ud800", "label": 1}, "half of a surrogate pair"),
        ("regression", {"text": "b", "label": "high"}, 'label "high", expected a number'),
        ("regression", {"text": "b", "label": float("nan")}, "label is NaN"),
        ("regression", {"text": "b", "label": float("inf")}, "label is infinite"),
        ("ner", {"tokens": ["a"], "tags": ["O", "O"]}, "1 words, but 2 tags"),
        ("ner", {"tokens": ["a", 1], "tags": ["O", "O"]}, "column 'tokens' holds .*expected a list of words"),
        (
            "qa",
            {"question": "q", "context": "c", "answers": 5},
            "answers 5, expected texts with their starts",
        ),
        ("qa", {"question": "q", "context": "c", "answers": {"text": ["c"], "answer_start": []}}, "answers"),
        ("chat", {"messages": [{"role": "narrator", "content": "x"}, GOOD]}, "unknown role 'narrator'"),
        ("chat", {"messages": "Hello"}, "'Hello', expected a list of messages"),
        ("chat", {"messages": [{"role": "user", "content": 5}, GOOD]}, "content 5, expected text"),
        ("summarization", {"text": "a", "target": 5}, "column 'target' holds int 5, expected text"),
    ],
)
def test_refused(
    task: str, bad: dict[str, Any], message: str, tmp_path: Path, examples: LoadExamples
) -> None:
    good: dict[str, dict[str, Any]] = {
        "classification": {"text": "a", "label": 1},
        "regression": {"text": "a", "label": 1},
        "ner": {"tokens": ["a"], "tags": ["O"]},
        "qa": {"question": "q", "context": "c", "answers": {"text": ["c"], "answer_start": [0]}},
        "chat": {"messages": [GOOD]},
        "summarization": {"text": "a", "target": "b"},
    }
    path = jsonl(tmp_path / "a.jsonl", good[task], good[task], bad)
    with pytest.raises(DataError, match=rf"a\.jsonl:3: {message}") as caught:
        examples(task, path)
    assert caught.value.hint


def test_labels_missing_here_and_there(tmp_path: Path, examples: LoadExamples, told: Told) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,x\nb,\nc,y\nd,\n")
    with pytest.raises(DataError, match=r"a\.csv: 2 rows have no label \(first: \S*a\.csv:3\)"):
        examples("classification", path)


BAD_LABELS: dict[str, list[dict[str, Any]]] = {
    "classification": [{"text": "a", "label": label} for label in (float("nan"), None, [1], "x", 2)],
    "regression": [{"text": "a", "label": label} for label in (float("nan"), "", "many")],
    "multilabel": [{"text": "a", "sport": 1, "war": 0}, {"text": "b", "sport": None, "war": "?"}],
    "ner": [{"tokens": ["a", "b"], "tags": tags} for tags in (["O"], None, ["O", 3])],
    "qa": [{"question": "q", "context": "c", "answers": answers} for answers in ("elsewhere", 5, None)],
    "summarization": [{"text": "a", "target": target} for target in ("", None, 7)],
    "translation": [{"translation": {"de": "a", "en": target}} for target in ("", None, 7)],
}


@pytest.mark.parametrize("task", BAD_LABELS)
def test_labels_that_are_not_asked_for_play_no_part(
    task: str, tmp_path: Path, examples: LoadExamples, told: Told
) -> None:
    path = jsonl(tmp_path / "a.jsonl", *BAD_LABELS[task])
    found = examples(task, path, labelled=False)["train"]
    assert not found.labelled
    assert found.column("line") == list(range(1, len(BAD_LABELS[task]) + 1))
    assert not {"label", "answers", "target"} & set(found.table.column_names)
    assert not any("left out" in note or "mended" in note for note in told.notes)


def test_cells_that_are_nan(tmp_path: Path, examples: LoadExamples) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,1\nb,NaN\n")
    for task in ("classification", "regression"):
        with pytest.raises(DataError, match=r"a\.csv:3: label is NaN"):
            examples(task, tmp_path / "a.csv")


def test_whole_floats_are_classes_and_minus_one_may_be_one(tmp_path: Path, examples: LoadExamples) -> None:
    path = jsonl(tmp_path / "a.jsonl", *({"text": "a", "label": label} for label in (1.0, -1, 0)))
    assert examples("classification", path)["train"].column("label") == ["1", "-1", "0"]


@pytest.mark.parametrize(
    ("task", "good", "bad", "reason"),
    [
        ("classification", {"text": "a", "label": 1}, {"text": " ", "label": 1}, "empty text"),
        ("ner", {"tokens": ["a"], "tags": ["O"]}, {"tokens": [], "tags": []}, "no words"),
        ("summarization", {"text": "a", "target": "b"}, {"text": "a", "target": ""}, "empty target"),
        (
            "qa",
            {"question": "q", "context": "c", "answers": {"text": ["c"], "answer_start": [0]}},
            {"question": "q", "context": "c", "answers": {"text": ["x"], "answer_start": [0]}},
            "answer not in its context",
        ),
        (
            "chat",
            {"messages": [GOOD]},
            {"messages": [{"role": "user", "content": "Hi"}]},
            "no assistant turn",
        ),
    ],
)
def test_left_out(
    task: str,
    good: dict[str, Any],
    bad: dict[str, Any],
    reason: str,
    tmp_path: Path,
    examples: LoadExamples,
    told: Told,
) -> None:
    path = jsonl(tmp_path / "a.jsonl", good, bad, bad)
    assert len(examples(task, path)["train"]) == 1
    assert told.notes[-1] == f"{path}: left out 2 examples: {reason} (first: {path}:2)"
    path = jsonl(tmp_path / "b.jsonl", bad, bad)
    with pytest.raises(DataError, match=rf"no example is left: {reason} \(2\)"):
        examples(task, path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "", "empty file"),
        ("a.tsv", "text\tlabel\n", "no examples in it"),
        ("a.tsv", "text\tlabel\na\t1\nb\n", r"a\.tsv:3: 1 instead of 2 cells"),
        ("a.csv", "text,label,label\na,1,2\n", "two columns are called 'label'"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text"', r"a\.jsonl:2: invalid JSON"),
        (
            "a.json",
            '{"data": [{"text": "a"}], "more": [{"b": 1}]}',
            "no column for the label|no column for the text",
        ),
    ],
)
def test_bad_tables(name: str, text: str, message: str, tmp_path: Path, examples: LoadExamples) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        examples("classification", tmp_path / name)


def test_bad_conll_and_squad(tmp_path: Path, examples: LoadExamples) -> None:
    (tmp_path / "a.conll").write_text("a O\n\nlonely\n")
    with pytest.raises(DataError, match=r"a\.conll:3: 1 column instead of a word and its tag: 'lonely'"):
        examples("ner", tmp_path / "a.conll")
    (tmp_path / "a.json").write_text('{"data": [{"paragraphs": [{"context": "c"}]}]}')
    with pytest.raises(DataError, match=r"a\.json: article 1, paragraph 1: no list 'qas'"):
        examples("qa", tmp_path / "a.json")


def test_what_messages_hold_besides_is_told(tmp_path: Path, examples: LoadExamples, told: Told) -> None:
    parts = [{"type": "text", "text": "Hi "}, {"type": "text", "text": "there"}]
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}
    path = jsonl(tmp_path / "a.jsonl", {"messages": [{"role": "user", "content": parts}, call, GOOD]})
    messages = examples("chat", path)["train"].column("messages")[0]
    assert [message["content"] for message in messages] == ["Hi there", "", "Hello"]
    assert "hold more than role and content" in told.notes[-1]


@pytest.mark.parametrize(
    ("value", "start", "expected"),
    [
        (None, None, None),
        ([], None, Found([], [], 0)),
        ("", None, Found([], [], 0)),
        ({"text": [], "answer_start": []}, None, Found([], [], 0)),
        ({"text": "b", "answer_start": 2}, None, Found([{"text": "b", "start": 2}], [], 0)),
        ("{'text': ['b'], 'answer_start': [2]}", None, Found([{"text": "b", "start": 2}], [], 0)),
        ('[{"text": "b", "start": 8}]', None, Found([{"text": "b", "start": 8}], [], 0)),
        ("b", "8", Found([{"text": "b", "start": 8}], [], 0)),
        ("b", None, Found([{"text": "b", "start": 2}], [SEARCHED], 0)),
        ({"text": ["b"], "answer_start": [6]}, None, Found([{"text": "b", "start": 8}], [MOVED], 0)),
        ({"text": ["b"], "answer_start": [3]}, None, Found([{"text": "b", "start": 2}], [MOVED], 0)),
        ({"text": ["b"], "answer_start": [99]}, None, Found([{"text": "b", "start": 8}], [MOVED], 0)),
        ({"text": ["b"], "answer_start": [-1]}, None, Found([{"text": "b", "start": 2}], [MOVED], 0)),
        (
            {"text": ["b", "x"], "answer_start": [2, 0]},
            None,
            Found([{"text": "b", "start": 2}], [DROPPED], 1),
        ),
        ({"text": ["x"], "answer_start": [0]}, None, Found([], [], 1)),
    ],
)
def test_answers(value: Any, start: Any, expected: Found | None) -> None:
    assert answers_of(value, start, "a b c a b c", "a.jsonl:1") == expected
