"""Sources and formats of labelled examples, splits, the cache, and what is complained of."""

import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmctl.config.data import TaskData
from llmctl.data.examples import Examples, check_examples_source, load_examples
from llmctl.errors import ConfigError, DataError
from llmctl.tasks import Task, find_task
from tests.data.conftest import LoadExamples, Told, jsonl, rows

# Formats

REVIEWS = [("a fine film", "pos"), ("no, never again", "neg"), ('he said "no" to it', "neg")]


def write_reviews(path: Path) -> Path:
    name = path.name
    records = [{"id": i, "text": text, "label": label} for i, (text, label) in enumerate(REVIEWS)]
    if ".jsonl" in name:
        data = "".join(json.dumps(record) + "\n" for record in records)
    elif "object.json" in name:
        data = json.dumps({"version": 1, "data": records})
    elif ".json" in name:
        data = json.dumps(records)
    elif ".csv" in name:
        data = "text,label\n" + "".join(
            '"{}",{}\n'.format(text.replace('"', '""'), label) for text, label in REVIEWS
        )
    else:
        data = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in REVIEWS)
    path.write_bytes(gzip.compress(data.encode()) if name.endswith(".gz") else data.encode())
    return path


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "object.json", "a.csv", "a.tsv"])
def test_tables_of_text(name: str, suffix: str, tmp_path: Path, examples: LoadExamples) -> None:
    found = examples("classification", write_reviews(tmp_path / (name + suffix)))["train"]
    assert rows(found, "text", "label") == REVIEWS
    assert found.label_names is None
    assert found.labelled


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_tables_of_arrow_with_declared_classes(name: str, tmp_path: Path, examples: LoadExamples) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["x", "y"])}
    )
    dataset = datasets.Dataset.from_dict({"text": ["one", "two"], "label": [1, 0]}, features=features)
    table = dataset.data.table.replace_schema_metadata(features.arrow_schema.metadata)
    if name == "a.parquet":
        pq.write_table(table, tmp_path / name)
    else:
        with pa.ipc.new_stream(str(tmp_path / name), table.schema) as writer:
            writer.write_table(table)
    found = examples("classification", tmp_path / name)["train"]
    assert rows(found, "text", "label") == [("one", "y"), ("two", "x")]
    assert found.label_names == ("x", "y")
    assert found.place(1) == f"{tmp_path / name}: row 2"


def test_places_count_lines_in_every_file(tmp_path: Path, examples: LoadExamples) -> None:
    (tmp_path / "a.csv").write_text('text,label\n"one\nand more",x\ntwo,y\n')
    (tmp_path / "b.jsonl").write_text('\n{"text": "three", "label": "x"}\n')
    found = examples("classification", tmp_path / "*.*")["train"]
    assert [found.place(i) for i in range(3)] == [
        f"{tmp_path}/a.csv:2",
        f"{tmp_path}/a.csv:4",
        f"{tmp_path}/b.jsonl:2",
    ]


def test_one_folder_a_class(tmp_path: Path, examples: LoadExamples, told: Told) -> None:
    for split, label, name, text in (
        ("train", "pos", "1", "good\nfilm"),
        ("train", "neg", "2", "bad"),
        ("train", "unsup", "3", "unknown"),
        ("test", "pos", "4", "fine"),
    ):
        (tmp_path / "set" / split / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / split / label / f"{name}.txt").write_text(text)
    (tmp_path / "set" / "train" / "urls.txt").write_text("http://x")
    splits = examples("classification", tmp_path / "set")
    assert rows(splits["train"], "text", "label") == [("bad", "neg"), ("good\nfilm", "pos")]
    assert rows(splits["test"], "text", "label") == [("fine", "pos")]
    assert splits["train"].place(1) == f"{tmp_path}/set/train/pos/1.txt:1"
    assert told.notes == [f"{tmp_path}/set: left out 2 other files: 3.txt, urls.txt"]
    flat = examples("classification", tmp_path / "set" / "train")["train"]
    assert flat.column("label") == ["neg", "pos"]


@pytest.mark.parametrize("name", ["test", "train", "dev"])
def test_a_folder_that_may_be_a_split_or_a_class_is_asked_about(name: str, tmp_path: Path) -> None:
    for label in ("ham", "spam", name):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.txt").write_text("text")
    config = TaskData(task="classification", data=str(tmp_path))
    with pytest.raises(ConfigError, match=f"is '{name}' a split, or a class as 'ham' beside it is"):
        check_examples_source(config, find_task("classification"))
    (tmp_path / name / "1.txt").unlink()
    check_examples_source(config, find_task("classification"))


def test_conll(tmp_path: Path, examples: LoadExamples, told: Told) -> None:
    (tmp_path / "a.conll").write_text(
        "-DOCSTART- -X- O\n\n# id = 1\nEU NNP B-ORG\n#tag NN O\n\t\nBonn NNP B-LOC\n\ufeff\n# NN O\n"
    )
    found = examples("ner", tmp_path / "a.conll")["train"]
    assert rows(found, "tokens", "label", "line") == [
        (["EU", "#tag"], ["B-ORG", "O"], 4),
        (["Bonn"], ["B-LOC"], 7),
        (["#"], ["O"], 9),
    ]
    assert f"{tmp_path}/a.conll: skipped 1 -DOCSTART- line" in told.notes


def test_conll_prefix(tmp_path: Path, examples: LoadExamples, told: Told) -> None:
    (tmp_path / "a.txt").write_text("en:a\tO\nen:b:c\tB-X\n\nen::\tO\n")
    assert examples("ner", tmp_path / "a.txt")["train"].column("tokens") == [["a", "b:c"], [":"]]
    assert told.notes == [f"{tmp_path}/a.txt: removed the prefix 'en:' from all words"]
    (tmp_path / "b.txt").write_text("en:a\tO\nb\tO\n")
    assert examples("ner", tmp_path / "b.txt")["train"].column("tokens") == [["en:a", "b"]]


def test_squad_files(tmp_path: Path, examples: LoadExamples, told: Told) -> None:
    context = "Rome is in Italy. Rome is old."
    questions = [
        {"id": "a", "question": "What is old?", "answers": [{"text": "Rome", "answer_start": 18}]},
        {"id": "b", "question": "Where?", "answers": [{"text": "Italy", "answer_start": 9}]},
        {"id": "c", "question": "Who?", "answers": [], "is_impossible": True},
        {"id": "d", "question": "When?", "answers": [{"text": "today", "answer_start": 0}]},
    ]
    article = {"title": "Rome", "paragraphs": [{"context": context, "qas": questions}]}
    (tmp_path / "a.json").write_text(json.dumps({"version": "2.0", "data": [article]}))
    found = examples("qa", tmp_path / "a.json")["train"]
    assert rows(found, "id", "question", "context", "answers") == [
        ("a", "What is old?", context, [{"text": "Rome", "start": 18}]),
        ("b", "Where?", context, [{"text": "Italy", "start": 11}]),
        ("c", "Who?", context, []),
    ]
    name = f"{tmp_path}/a.json"
    assert told.notes == [
        f"{name}: left out 1 example: answer not in its context (first: {name}: row 4)",
        f"{name}: mended 1 example: answer not at its answer_start, found elsewhere in the context "
        f"(first: {name}: row 2)",
    ]


def test_parallel_files(tmp_path: Path, examples: LoadExamples, told: Told) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name, text in (
        ("train.en", "one\ntwo\n"),
        ("train.de", "eins\nzwei\n"),
        ("val.en", "three\n"),
        ("val.de", "drei\n"),
        ("README.md", "about"),
        ("test.en", "four\n"),
    ):
        (folder / name).write_text(text)
    splits = examples("translation", folder)
    assert {name: rows(found, "text", "target") for name, found in splits.items()} == {
        "train": [("eins", "one"), ("zwei", "two")],
        "validation": [("drei", "three")],
    }
    assert told.notes == [
        f"{folder}: left out 2 other files: README.md, test.en",
        f"{folder}: translating from 'de' to 'en'; the other way round with --source-lang and --target-lang",
    ]
    for source in (folder / "train", folder / "train.en"):
        found = examples("translation", source, source_lang="en", target_lang="de")["train"]
        assert rows(found, "text", "target") == [("one", "eins"), ("two", "zwei")]
    (folder / "train.fr").write_text("un\ndeux\n")
    with pytest.raises(ConfigError, match="several languages: de, en, fr"):
        examples("translation", folder)
    with pytest.raises(ConfigError, match="no language 'nl'; found: de, en, fr"):
        examples("translation", folder, source_lang="nl")
    (folder / "train.de").write_text("eins\nzwei\ndrei\n")
    with pytest.raises(DataError, match=r"train\.en has 2 lines, \S*train\.de has 3"):
        examples("translation", folder, source_lang="en", target_lang="de")


# Splits


def test_a_lone_dev_file_stands_in(tmp_path: Path, examples: LoadExamples, told: Told) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    jsonl(folder / "dev.jsonl", *({"text": f"text {i}", "label": i % 2} for i in range(20)))
    splits = examples("classification", folder, validation_fraction=0.1)
    assert {name: len(found) for name, found in splits.items()} == {"train": 18, "validation": 2}
    assert not set(splits["train"].column("text")) & set(splits["validation"].column("text"))
    assert told.notes == [
        f"{folder}: has no split to learn from: 'validation' stands in for it",
        "held out 2 of 20 examples for validation (10 % of each label, split_seed 0)",
    ]
    again = examples("classification", folder, validation_fraction=0.1)
    other = examples("classification", folder, validation_fraction=0.1, split_seed=1)
    assert again["train"].fingerprint == splits["train"].fingerprint != other["train"].fingerprint
    judged = examples("classification", folder, validation_split="validation", wanted=("validation",))
    assert len(judged["validation"]) == 20
    jsonl(folder / "test.jsonl", {"text": "secret", "label": 1})
    splits = examples("classification", folder)
    assert {name: len(found) for name, found in splits.items()} == {"train": 20, "test": 1}


def test_each_class_gives_its_share_of_what_is_held_out(
    tmp_path: Path, examples: LoadExamples, told: Told
) -> None:
    labels = ["a"] * 70 + ["b"] * 20 + ["c"] * 10
    path = jsonl(tmp_path / "s.jsonl", *({"text": f"{i}", "label": t} for i, t in enumerate(labels)))
    found = examples("classification", path, validation_fraction=0.1)
    assert Counter(found["validation"].column("label")) == {"a": 7, "b": 2, "c": 1}
    assert Counter(found["train"].column("label")) == {"a": 63, "b": 18, "c": 9}
    assert told.notes == ["held out 10 of 100 examples for validation (10 % of each label, split_seed 0)"]
    assert [found[split].name for split in ("train", "validation")] == [
        f"{path} (train)",
        f"{path} (validation)",
    ]
    other = examples("classification", path, validation_fraction=0.1, split_seed=1)
    assert other["validation"].column("text") != found["validation"].column("text")


@pytest.mark.parametrize("labels", [["a"] * 5 + ["b"], ["a", "b", "c"] * 2])
def test_where_a_class_is_too_rare_all_examples_are_drawn_alike(
    labels: list[str], tmp_path: Path, examples: LoadExamples, told: Told
) -> None:
    path = jsonl(tmp_path / "s.jsonl", *({"text": f"{i}", "label": t} for i, t in enumerate(labels)))
    assert len(examples("classification", path, validation_fraction=0.01)["validation"]) == 1
    assert told.notes == ["held out 1 of 6 examples for validation (16.7 %, split_seed 0)"]


def test_the_parts_of_a_training_split_are_named_once(tmp_path: Path, examples: LoadExamples) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    jsonl(folder / "train.jsonl", *({"text": f"{i}", "label": i % 2} for i in range(20)))
    found = examples("classification", folder, validation_fraction=0.1)
    assert [split.name for split in found.values()] == [f"{folder} (train)", f"{folder} (validation)"]


def test_validation_data_and_too_few(tmp_path: Path, examples: LoadExamples) -> None:
    one = jsonl(tmp_path / "a.jsonl", {"text": "a", "label": 1})
    two = jsonl(tmp_path / "b.jsonl", {"text": "b", "label": 0})
    splits = examples("classification", one, validation_data=str(two))
    assert splits["validation"].column("text") == ["b"]
    with pytest.raises(DataError, match="a single example, too few to hold some out"):
        examples("classification", one, validation_fraction=0.5)


@pytest.mark.parametrize(
    "test",
    [{"text": "x", "label": -1}, {"text": "x", "label": None}, {"text": "x"}, {"text": "x", "label": ""}],
)
def test_unlabelled_splits(test: dict[str, Any], tmp_path: Path, examples: LoadExamples, told: Told) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    jsonl(folder / "train.jsonl", {"text": "a", "label": 1}, {"text": "b", "label": 0})
    jsonl(folder / "test.jsonl", test, test)
    assert set(examples("classification", folder)) == {"train"}
    assert told.notes == [f"{folder} (test): unlabelled, so it is not used"]
    for settings in ({"validation_split": "test"}, {"wanted": ("test",)}):
        with pytest.raises(DataError, match=r"unlabelled|no column for the label"):
            examples("classification", folder, **settings)
    found = examples("classification", folder, wanted=("test",), labelled=False)["test"]
    assert not found.labelled
    assert found.column("text") == ["x", "x"]
    assert "label" not in found.table.column_names


# The Hub


def test_hub_tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: Told) -> None:
    asked = []
    names = datasets.ClassLabel(names=["negative", "positive"])
    features = datasets.Features({"sentence": datasets.Value("string"), "label": names})

    def part(*labels: int) -> datasets.Dataset:
        texts = [f"text {i}" for i in range(len(labels))]
        return datasets.Dataset.from_dict({"sentence": texts, "label": list(labels)}, features=features)

    def load_dataset(name: str, subset: str | None, **more: str) -> dict[str, datasets.Dataset]:
        asked.append((name, subset, more))
        return {"train": part(0, 1, 1), "validation": part(1), "test": part(-1, -1), "extra": part(0)}

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)

    def load(task: Task, **settings: Any) -> dict[str, Examples]:
        config = TaskData(task=task.name, **settings)
        return load_examples(config, task, progress=told, cache_dir=tmp_path / "cache")

    splits = load(find_task("sst2"))
    train = splits["train"]
    assert {name: found.column("label") for name, found in splits.items()} == {
        "train": ["negative", "positive", "positive"],
        "validation": ["positive"],
    }
    assert train.label_names == ("negative", "positive")
    assert train.place(2) == "nyu-mll/glue:sst2 (train): row 3"
    assert told.notes == ["nyu-mll/glue:sst2 (test): unlabelled, so it is not used"]
    task = Task("x", "classification", "org/x", revision="r", train_split="extra", validation_split="train")
    splits = load(task)
    assert (len(splits["train"]), len(splits["validation"])) == (1, 3)
    assert asked == [("nyu-mll/glue", "sst2", {}), ("org/x", None, {"revision": "r"})]
    task = Task("y", "classification", "org/y", train_split="validation")
    with pytest.raises(DataError, match="a single example"):  # not judged by what it learns from
        load(task)
    with pytest.raises(ConfigError, match="no split 'trian'; found: train, validation"):
        load(find_task("sst2"), train_split="trian")


def test_nested_translations_of_the_hub(
    monkeypatch: pytest.MonkeyPatch, examples: LoadExamples, told: Told
) -> None:
    pairs = [{"de": "eins", "en": "one"}, {"de": "zwei", "en": None}]
    features = datasets.Features(
        {"id": datasets.Value("string"), "translation": datasets.Translation(["de", "en"])}
    )
    rows_there = datasets.Dataset.from_dict(
        {"id": ["0", "1"], "translation": pairs[:1] * 2}, features=features
    )
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: {"train": rows_there})
    found = examples("translation", "org/books")["train"]
    assert rows(found, "text", "target") == [("eins", "one")] * 2
    assert told.notes == ["org/books (train): translating from 'de' to 'en'"]


# The cache


def test_the_second_call_reads_no_file(
    tmp_path: Path, examples: LoadExamples, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("review\tstars\n" + "".join(f"text {i}\t{i % 5}\n" for i in range(3000)) + "\t3\n")
    first = examples("classification", path)["train"]
    notes = list(told.notes)
    assert notes == [
        f"{path}: text from column 'review', label from column 'stars'",
        f"{path}: left out 1 example: empty text (first: {path}:3002)",
    ]
    monkeypatch.setattr("llmctl.data.files.opened", lambda _: pytest.fail("read again"))
    second = examples("classification", path)["train"]
    assert told.notes == notes * 2
    assert len(told.bars) == 1
    assert second.table.equals(first.table)
    assert second.fingerprint == first.fingerprint
    assert second.describe() == {
        "name": str(path),
        "num_examples": 3000,
        "columns": ["text", "label"],
        "fingerprint": first.fingerprint,
        "files": [{"path": str(path), "bytes": path.stat().st_size}],
    }


def test_a_changed_file_or_setting_is_read_anew(tmp_path: Path, examples: LoadExamples, told: Told) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": "a", "other": "b", "label": "x"})
    assert examples("classification", path)["train"].column("text") == ["a"]
    assert examples("classification", path, text_column="other")["train"].column("text") == ["b"]
    jsonl(path, {"text": "a!", "other": "b", "label": "x"})
    assert examples("classification", path)["train"].column("text") == ["a!"]
    for damaged in (tmp_path / "cache" / "examples").glob("*/examples.arrow"):
        damaged.write_bytes(b"")
    assert examples("classification", path)["train"].column("text") == ["a!"]
    assert len(told.bars) == 4


def test_selections(tmp_path: Path, examples: LoadExamples) -> None:
    found = examples(
        "classification", jsonl(tmp_path / "a.jsonl", *({"text": t, "label": t} for t in "abcd"))
    )["train"]
    chosen = found.select([3, 1])
    assert chosen.column("text") == ["d", "b"]
    assert chosen.place(0).endswith("a.jsonl:4")
    assert found.first(2).column("text") == ["a", "b"]
    assert found.first(None) is found
    assert found.first(9) is found
    assert len({found.fingerprint, chosen.fingerprint, found.first(2).fingerprint}) == 3


def test_built_in_reviews(examples: LoadExamples) -> None:
    found = examples("classification", "builtin:reviews:20")["train"]
    assert found.label_names == ("negative", "positive")
    assert set(found.column("label")) == {"negative", "positive"}
    assert found.place(0) == "builtin:reviews:20: row 1"


# What can be known before anything is read


@pytest.mark.parametrize(
    ("task", "source", "message"),
    [
        ("classification", None, "needs data"),
        ("classification", "nope.csv", "no such file: nope.csv"),
        ("classification", "plain.txt", "plain text has no labels"),
        ("summarization", "plain.txt", "unknown kind of file '.txt'"),
        ("classification", "builtin:stories", "stories have no labels"),
        ("ner", "builtin:reviews", "holds texts with a class"),
        ("classification", "empty", "a folder with no table"),
        ("translation", "empty", "a folder with no table"),
    ],
)
def test_sources_that_cannot_be(
    task: str, source: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=message) as caught:
        check_examples_source(TaskData(task=task, data=source), find_task(task))
    assert caught.value.hint


def test_checking_imports_nothing_heavy() -> None:
    code = (
        "import sys; from llmctl.config.data import TaskData; from llmctl.tasks import find_task\n"
        "from llmctl.data.examples import check_examples_source\n"
        "try: check_examples_source(TaskData(task='ner', data='missing.txt'), find_task('ner'))\n"
        "except Exception as exc: print(exc)\n"
        "heavy = {'torch', 'transformers', 'datasets', 'numpy', 'pandas', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "no such file: missing.txt\n[]\n"


# Real data


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("task", "source", "sizes", "first"),
    [
        ("classification", "sst2", (60_614, 6_735), {"text": "when are bears bears and ", "label": "1"}),
        ("classification", "agnews", (9_001, 1_000), {"label": "Sci/Tech"}),
        ("ner", "ner/wnut17", (3_394, 1_009), {}),
        ("ner", "ner/wikiann-en", (20_000, 10_000), {}),
        ("qa", "xquad", (876, 137), {}),
        ("translation", "multi30k", (29_000, 1_014), {}),
        ("summarization", "dialogsum", (450, 50), {}),
    ],
)
def test_real_data(
    task: str,
    source: str,
    sizes: tuple[int, int],
    first: dict[str, Any],
    real_data: Path,
    examples: LoadExamples,
) -> None:
    splits = examples(task, real_data / source, validation_fraction=0.1)
    assert (len(splits["train"]), len(splits["validation"])) == sizes
    example = splits["train"].table.slice(0, 1).to_pylist()[0]
    assert {role: example[role] for role in first} == first
    if task == "ner":
        tags = {tag for tags in splits["train"].column("label") for tag in tags}
        assert {tag[:2] for tag in tags} == {"O", "B-", "I-"}
        assert not any(words[0].startswith("en:") for words in splits["train"].column("tokens"))
    if task == "qa":
        for context, answers in rows(splits["train"], "context", "answers"):
            assert answers
            assert all(context.startswith(answer["text"], answer["start"]) for answer in answers)
