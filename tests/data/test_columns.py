"""Which columns are found, with a header and without, and what is told of it."""

from pathlib import Path
from typing import Any

import pytest

from llmctl.errors import DataError
from tests.data.conftest import LoadExamples, Told, jsonl, rows

# Headers


@pytest.mark.parametrize(
    ("lines", "has_header"),
    [
        (["sentence\tlabel", "a\t1", "b\t0"], True),
        (["great film\t1", "bad film\t0", "no\t0"], False),
        (["the verdict\tmark", *(f"text number {i}\t{i % 2}" for i in range(9))], True),
        (
            ["some text here\tWorld", *(f"text number {i}\t{('World', 'Sports')[i % 2]}" for i in range(9))],
            False,
        ),
        (
            ["some text here\tSports", *(f"text number {i}\t{('World', 'Sports')[i % 2]}" for i in range(9))],
            False,
        ),
        (
            ["x" * 80 + "\tMusic", *(f"text number {i}\t{('World', 'Sports')[i % 2]}" for i in range(9))],
            False,
        ),
    ],
)
def test_whether_there_is_a_header(
    lines: list[str], has_header: bool, tmp_path: Path, examples: LoadExamples, told: Told
) -> None:
    (tmp_path / "a.tsv").write_text("\n".join(lines))
    found = examples("classification", tmp_path / "a.tsv")["train"]
    assert len(found) == len(lines) - has_header
    assert found.place(0).endswith("a.tsv:2" if has_header else "a.tsv:1")
    assert has_header or told.notes == [
        f"{tmp_path}/a.tsv: no header; text from column '1', label from column '2'"
    ]
    asked = examples("classification", tmp_path / "a.tsv", header=False, text_column="1", label_column="2")
    assert len(asked["train"]) == len(lines)


def test_columns_without_names_can_be_asked_for(tmp_path: Path, examples: LoadExamples) -> None:
    (tmp_path / "a.csv").write_text("3,World,some text,x\n4,Sports,other text,y\n")
    found = examples("classification", tmp_path / "a.csv", text_column="3", label_column="2")["train"]
    assert rows(found, "text", "label") == [("some text", "World"), ("other text", "Sports")]
    with pytest.raises(DataError, match="no column '5'; no header: columns are numbered 1 to 4"):
        examples("classification", tmp_path / "a.csv", text_column="5", header=False)


def test_what_to_type_where_it_is_unclear_whether_there_is_a_header(
    tmp_path: Path, examples: LoadExamples
) -> None:
    (tmp_path / "a.tsv").write_text("Who wrote it?\tAnna wrote it.\tAnna\nWhere?\tIn Bonn.\tBonn\n")
    with pytest.raises(DataError, match="found: Who wrote it") as caught:
        examples("qa", tmp_path / "a.tsv")
    assert caught.value.hint == "name it: --answers-column NAME; or --no-header where line 1 is an example"
    with pytest.raises(DataError, match=r"a\.tsv:1: .*; no header: columns are numbered 1 to 3") as caught:
        examples("qa", tmp_path / "a.tsv", header=False)
    assert str(caught.value.hint).startswith("name it by its number, e.g. --answers-column 3; or --header")


# Usual names

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.mark.parametrize(
    ("task", "row", "expected"),
    [
        ("classification", {"id": "7", "review": "a", "stars": 5}, {"text": "a", "label": "5"}),
        ("classification", {"premise": "a", "hypothesis": "b", "label": 0}, {"text": "a", "text_pair": "b"}),
        ("classification", {"question": "a", "sentence": "b", "label": 0}, {"text": "a", "text_pair": "b"}),
        ("classification", {"Text": "a", "Class Index": 3}, {"text": "a", "label": "3"}),
        ("classification", {"Text": "a", "Label": True}, {"text": "a", "label": "true"}),
        (
            "regression",
            {"sentence1": "a", "sentence2": "b", "score": "2.5"},
            {"label": 2.5, "text_pair": "b"},
        ),
        ("multilabel", {"text": "a", "labels": ["x", "y", "x"]}, {"label": ["x", "y"]}),
        ("multilabel", {"text": "a", "labels": "x; y"}, {"label": ["x", "y"]}),
        ("multilabel", {"text": "a", "labels": "['x', 'y']"}, {"label": ["x", "y"]}),
        ("multilabel", {"text": "a", "labels": []}, {"label": []}),
        ("multilabel", {"text": "a", "labels": [0.0, 1.0, 1.0]}, {"label": ["1", "2"]}),
        ("multilabel", {"text": "a", "labels": [0, 5]}, {"label": ["0", "5"]}),
        ("multilabel", {"text": "a", "rude": 1, "loud": 0, "odd": 1}, {"label": ["rude", "odd"]}),
        (
            "ner",
            {"tokens": ["a", "b"], "ner_tags": ["O", "B-X"]},
            {"tokens": ["a", "b"], "label": ["O", "B-X"]},
        ),
        ("ner", {"words": "a b", "tags": "O B-X"}, {"tokens": ["a", "b"], "label": ["O", "B-X"]}),
        (
            "qa",
            {"question": "q", "context": "c d", "answers": {"text": ["d"], "answer_start": [2]}},
            {"id": "1", "answers": [{"text": "d", "start": 2}]},
        ),
        (
            "qa",
            {"id": 9, "question": "q", "passage": "d d", "answer": "d", "answer_start": 2},
            {"id": "9", "answers": [{"text": "d", "start": 2}]},
        ),
        (
            "qa",
            {"question": "q", "context": "c d", "answers": ["d"]},
            {"answers": [{"text": "d", "start": 2}]},
        ),
        ("summarization", {"article": "a", "highlights": "b", "id": "c"}, {"text": "a", "target": "b"}),
        (
            "summarization",
            {"fname": "x", "dialogue": "a", "summary": "b", "topic": "c"},
            {"text": "a", "target": "b"},
        ),
        ("translation", {"translation": {"fr": "a", "en": "b"}}, {"text": "b", "target": "a"}),
        ("translation", {"id": "x", "fr": "a", "pt-BR": "b"}, {"text": "a", "target": "b"}),
        ("translation", {"source": "a", "target": "b"}, {"text": "a", "target": "b"}),
        ("chat", {"prompt": "x", "messages": CHAT}, {"messages": CHAT}),
        (
            "chat",
            {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
            {"messages": CHAT},
        ),
        ("chat", {"prompt": "Hi", "completion": "Hello"}, {"messages": CHAT}),
        ("chat", {"prompt": CHAT[:1], "completion": CHAT[1:]}, {"messages": CHAT}),
        (
            "chat",
            {"instruction": "Add.", "input": "1, 2", "output": "3", "text": "..."},
            {
                "messages": [
                    {"role": "user", "content": "Add.\n\n1, 2"},
                    {"role": "assistant", "content": "3"},
                ]
            },
        ),
        (
            "chat",
            {"instruction": "Say.", "input": "", "output": "So", "system": "Be brief."},
            {
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "Say."},
                    {"role": "assistant", "content": "So"},
                ]
            },
        ),
        ("chat", {"question": "Hi", "answer": "Hello"}, {"messages": CHAT}),
    ],
)
def test_usual_names(
    task: str, row: dict[str, Any], expected: dict[str, Any], tmp_path: Path, examples: LoadExamples
) -> None:
    path = jsonl(tmp_path / "a.jsonl", row)
    found = examples(task, path)["train"].table.to_pylist()[0]
    assert {role: found[role] for role in expected} == expected


def test_what_is_asked_for_wins(tmp_path: Path, examples: LoadExamples) -> None:
    row = {"text": "a", "label": "x", "title": "t", "kind": "k", "premise": "p", "hypothesis": "h"}
    path = jsonl(tmp_path / "a.jsonl", row)
    found = examples("classification", path, text_column="title", label_column="kind")["train"]
    assert rows(found, "text", "label") == [("t", "k")]
    assert "text_pair" not in found.table.column_names
    found = examples("classification", path, text_column="title", text_pair_column="hypothesis")["train"]
    assert rows(found, "text", "text_pair", "label") == [("t", "h", "x")]
    found = examples("chat", path, text_column="title", target_column="text")["train"]
    assert [message["content"] for message in found.column("messages")[0]] == ["t", "a"]
    found = examples("translation", path, text_column="title", target_column="text")["train"]
    assert rows(found, "text", "target") == [("t", "a")]


@pytest.mark.parametrize(
    ("task", "row", "settings", "message", "hint"),
    [
        ("classification", {"a": 1, "b": 2.5}, {}, "no column for the", "--label-column"),
        (
            "classification",
            {"text": "a", "label": "b"},
            {"label_column": "lable"},
            "no column 'lable'",
            "--label-c",
        ),
        ("ner", {"text": ["a"]}, {}, "no column for the label", "--label-column"),
        ("qa", {"question": "a", "answers": "b"}, {}, "no column for the context", "--context-column"),
        ("summarization", {"text": "a"}, {}, "no column for the target", "--target-column"),
        (
            "chat",
            {"text": "a"},
            {},
            "no column for the conversations|no column for the completion",
            "--target-c",
        ),
        (
            "translation",
            {"de": "a", "en": "b", "fr": "c"},
            {},
            "several languages: de, en, fr",
            "--source-lang",
        ),
        ("translation", {"de": "a", "en": "b"}, {"target_lang": "fr"}, "no language 'fr'", "--target-lang"),
    ],
)
def test_columns_that_are_not_there(
    task: str,
    row: dict[str, Any],
    settings: dict[str, Any],
    message: str,
    hint: str,
    tmp_path: Path,
    examples: LoadExamples,
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        examples(task, jsonl(tmp_path / "a.jsonl", row), **settings)
    assert "found: " in caught.value.message or "several" in caught.value.message
    assert hint in str(caught.value.hint)


def test_files_of_a_split_give_the_same_columns(tmp_path: Path, examples: LoadExamples) -> None:
    jsonl(tmp_path / "a.jsonl", {"text": "a", "label": "x"})
    jsonl(tmp_path / "b.jsonl", {"sentence1": "a", "sentence2": "b", "label": "x"})
    with pytest.raises(
        DataError, match=r"b\.jsonl: gives text, text_pair, label, but \S*a\.jsonl gives text, label"
    ):
        examples("classification", tmp_path / "*.jsonl")
