import bz2
import codecs
import gzip
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmctl.config import PretrainConfig
from llmctl.data.documents import Documents, between, part, place_to_cut
from llmctl.data.json_values import json_values
from llmctl.data.load import check_text, load_text
from llmctl.data.readers import Piece
from llmctl.errors import ConfigError, DataError
from tests.data.conftest import Told

Load = Callable[..., dict[str, Documents]]

TEXTS = ["One fine day.", "A second, with “quotes”, a tab\tand a line\nend.", "Third & last"]
ONE_LINE = ["One fine day.", "Two, with “quotes”.", 'He said "no']


def texts(documents: Documents) -> list[str]:
    whole = list(documents)
    assert len(whole) == documents.num_documents
    assert sum(len(text.encode()) for text in whole) == documents.num_bytes
    assert "".join(piece.text for piece in documents.pieces(7)) == "".join(whole)
    return whole


# Formats


def write(path: Path, rows: list[str | None]) -> Path:
    """Write rows as the format that the name tells."""
    name = path.name
    if ".jsonl" in name:
        data = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(rows)).encode()
    elif ".json" in name:
        data = json.dumps([{"id": i, "text": text} for i, text in enumerate(rows)], indent=1).encode()
    elif ".csv" in name:
        data = ("id,text\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(rows))).encode()
    elif ".tsv" in name:
        data = ("id\ttext\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(rows))).encode()
    elif ".parquet" in name:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"id": list(range(len(rows))), "text": rows}), sink)
        data = sink.getvalue().to_pybytes()
    elif ".arrow" in name:
        sink = pa.BufferOutputStream()
        table = pa.table({"id": list(range(len(rows))), "text": rows})
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue().to_pybytes()
    else:
        data = "\n".join(text or "" for text in rows).encode()
    if name.endswith(".gz"):
        data = gzip.compress(data)
    elif name.endswith(".bz2"):
        data = bz2.compress(data)
    elif name.endswith(".xz"):
        data = lzma.compress(data)
    elif name.endswith(".zst"):
        data = pa.compress(data, codec="zstd", asbytes=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".bz2", ".xz"])
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "arrow"])
def test_rows_of_every_format_and_compression(kind: str, suffix: str, tmp_path: Path, load: Load) -> None:
    rows = TEXTS if kind != "csv" else TEXTS[::2]
    assert texts(load(write(tmp_path / f"a.{kind}{suffix}", rows))["train"]) == rows


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".bz2", ".xz"])
def test_text_and_tsv_of_every_compression(suffix: str, tmp_path: Path, load: Load) -> None:
    assert texts(load(write(tmp_path / f"a.tsv{suffix}", ONE_LINE))["train"]) == ONE_LINE
    path = write(tmp_path / f"b.txt{suffix}", ONE_LINE)
    assert texts(load(path)["train"]) == ["\n".join(ONE_LINE)]
    assert texts(load(path, sample_by="line")["train"]) == ONE_LINE


def test_arrow_file_format_and_dictionaries(tmp_path: Path, load: Load) -> None:
    table = pa.table({"text": pa.array(TEXTS).dictionary_encode()})
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    assert texts(load(tmp_path / "a.arrow")["train"]) == TEXTS


def test_csv_cells_hold_lines_and_separators(tmp_path: Path, load: Load) -> None:
    (tmp_path / "a.csv").write_text('text,stars\n"one, with\n\na ""gap""",5\ntwo,1\n')
    assert texts(load(tmp_path / "a.csv")["train"]) == ['one, with\n\na "gap"', "two"]


def test_sample_by(tmp_path: Path, load: Load) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\ntwo\r\n\r\n  \r\nthree\nfour\n")
    assert texts(load(path)["train"]) == ["one\ntwo\n\n  \nthree\nfour\n"]
    assert texts(load(path, sample_by="paragraph")["train"]) == ["one\ntwo", "three\nfour"]
    assert texts(load(path, sample_by="line")["train"]) == ["one", "two", "three", "four"]


def test_json_values_across_every_chunk_border() -> None:
    values = [{"text": "a\nb \\u00e9 \u00e9"}, [1.5e3, None], "x", 12, True]
    array = json.dumps(values, indent=1, ensure_ascii=False)
    lines = "\n".join(json.dumps(value) for value in values)
    for text in (array, lines):
        for size in range(1, 9):
            chunks = (text[i : i + size] for i in range(0, len(text), size))
            assert [value for _, value in json_values(Path("a.json"), chunks)] == values
    assert [line for line, _ in json_values(Path("a"), iter([array]))] == [2, 5, 9, 10, 11]
    assert list(json_values(Path("a"), iter([" [ ] "]))) == []


# The text column


def test_the_only_text_column_is_taken_and_told(tmp_path: Path, load: Load, told: Told) -> None:
    (tmp_path / "a.jsonl").write_text('{"n": 1, "body": "x y"}\n')
    assert texts(load(tmp_path / "a.jsonl")["train"]) == ["x y"]
    assert any("'body'" in note for note in told.notes)


def test_columns_are_named_when_none_fits(tmp_path: Path, load: Load) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"title": "t", "body": "b", "n": 1}\n')
    for settings in ({}, {"text_column": "txt"}):
        with pytest.raises(DataError, match=r"a\.jsonl:1: no column .*found: title, body, n"):
            load(path, **settings)
    assert texts(load(path, text_column="body")["train"]) == ["b"]


def test_null_and_empty_rows_are_skipped_and_counted(tmp_path: Path, load: Load, told: Told) -> None:
    path = write(tmp_path / "a.jsonl", ["one", None, "", " \n ", "two"])
    assert texts(load(path)["train"]) == ["one", "two"]
    assert f"{path}: skipped 3 empty documents" in told.notes


# Sources


def test_folder_is_one_corpus_in_sorted_order(tmp_path: Path, load: Load, told: Told) -> None:
    folder = tmp_path / "corpus"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.txt").write_text("b")
    (folder / "a.md").write_text("a")
    (folder / "sub" / "latest.txt").write_text("c")  # "test" inside a word names no split
    (folder / ".hidden.txt").write_text("no")
    (folder / "x.png").write_bytes(b"\x89PNG")
    assert texts(load(folder)["train"]) == ["a", "b", "c"]
    assert told.notes == [f"{folder}: left out 1 other file: x.png"]


@pytest.mark.parametrize("name", ["dev", "val", "valid", "validation"])
def test_folder_with_splits(name: str, tmp_path: Path, load: Load) -> None:
    folder = tmp_path / "corpus"
    for path, text in (
        ("my-train.txt", "t"),
        (f"x.{name}/0.txt", "v"),
        ("test.txt", "e"),
        ("README.md", "r"),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    splits = load(folder, validation_fraction=0.5)
    assert {split: texts(documents) for split, documents in splits.items()} == {
        "train": ["t"],
        "validation": ["v"],
        "test": ["e"],
    }
    assert splits["train"].name == f"{folder} (train)"
    with pytest.raises(ConfigError, match="no split 'other'; found: "):
        load(folder, validation_split="other")


def test_dataset_saved_to_disk(tmp_path: Path, load: Load) -> None:
    rows = datasets.Dataset.from_dict({"text": TEXTS})
    datasets.DatasetDict({"train": rows, "test": rows.select([0])}).save_to_disk(tmp_path / "saved")
    splits = load(tmp_path / "saved")
    assert {name: texts(documents) for name, documents in splits.items()} == {
        "train": TEXTS,
        "test": TEXTS[:1],
    }


def test_glob(tmp_path: Path, load: Load) -> None:
    for name in ("b1.txt", "b2.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    assert texts(load(tmp_path / "b*.txt")["train"]) == ["b1.txt", "b2.txt"]
    with pytest.raises(ConfigError, match="no file matches"):
        load(tmp_path / "z*.txt")


def test_what_exists_is_no_pattern(tmp_path: Path, load: Load) -> None:
    (tmp_path / "d[1]").mkdir()
    (tmp_path / "d1").mkdir()
    for name in ("d[1]/a[1].txt", "d[1]/a1.txt", "d1/other.txt"):
        (tmp_path / name).write_text(name)
    assert texts(load(tmp_path / "d[1]" / "a[1].txt")["train"]) == ["d[1]/a[1].txt"]
    assert texts(load(tmp_path / "d[1]" / "*.txt")["train"]) == ["d[1]/a1.txt", "d[1]/a[1].txt"]
    assert texts(load(tmp_path / "d[1]" / "a[0-9].txt")["train"]) == ["d[1]/a1.txt"]


def test_validation_data(tmp_path: Path, load: Load) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    splits = load(tmp_path / "a.txt", validation_data=str(tmp_path / "b.txt"), validation_fraction=0.5)
    assert {name: texts(documents) for name, documents in splits.items()} == {
        "train": ["a"],
        "validation": ["b"],
    }


def test_builtin_text(load: Load) -> None:
    from llmctl.data import builtin

    assert texts(load("builtin:stories:7")["train"]) == list(builtin.stories(7))
    assert texts(load("builtin:reviews:7")["train"]) == [text for text, _ in builtin.reviews(7)]


def test_builtin_text_is_generated_once(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmctl.data import builtin

    calls: list[int] = []

    def stories(size: int) -> list[str]:
        calls.append(size)
        return [f"story\n{i}" for i in range(size)]

    monkeypatch.setattr(builtin, "stories", stories)
    splits = load("builtin:stories:20", validation_fraction=0.1)
    assert sorted(texts(splits["train"]) + texts(splits["validation"])) == sorted(stories(20))
    assert calls == [20, 20]  # the second is this test's own


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("playz.txt", "no such file: playz.txt", "did you mean plays.txt?"),
        ("nowhere/a.txt", "there is no folder nowhere", "org/name"),
        ("plays", "no such file: plays", "did you mean plays.txt?"),
        ("builtin:storys", "no built-in data 'storys'", "did you mean builtin:stories?"),
        ("builtin:stories:many", "'many' is not a positive whole number", "builtin:stories:5000"),
        ("a.xyz", "unknown kind of file '.xyz'", ".parquet"),
        ("empty", "a folder with no text file", ".jsonl"),
    ],
)
def test_sources_that_are_not_there(
    source: str, message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plays.txt").write_text("x")
    (tmp_path / "a.xyz").write_text("x")
    (tmp_path / "empty").mkdir()
    for config in (PretrainConfig(data=source), PretrainConfig(data="plays.txt", validation_data=source)):
        with pytest.raises(ConfigError) as caught:
            check_text(config)
        assert message in caught.value.message
        assert hint in str(caught.value.hint)


def test_unknown_encoding() -> None:
    for name in ("utf-9", "hex"):
        with pytest.raises(ConfigError, match=f"unknown encoding '{name}'"):
            check_text(PretrainConfig(encoding=name))


def test_checking_a_source_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from llmctl.config import PretrainConfig; from llmctl.data.load import check_text\n"
        "try: check_text(PretrainConfig(data='missing.txt'))\n"
        "except Exception as exc: print(exc)\n"
        "heavy = {'torch', 'transformers', 'datasets', 'numpy', 'pandas', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "no such file: missing.txt\n[]\n"


# The Hub


def test_hub_data_set(monkeypatch: pytest.MonkeyPatch, load: Load) -> None:
    asked = []

    def load_dataset(name: str, subset: str | None) -> dict[str, datasets.Dataset]:
        asked.append((name, subset))
        rows = datasets.Dataset.from_dict({"text": [*TEXTS, None], "label": [0, 1, 2, 3]})
        return {"train": rows, "dev": rows.select([1]), "unsupervised": rows.select([0])}

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    splits = load("org/name:sub", validation_fraction=0.5)
    assert {name: texts(documents) for name, documents in splits.items()} == {
        "train": TEXTS,
        "validation": TEXTS[1:2],
    }
    assert asked == [("org/name", "sub")]
    assert texts(load("org/name", train_split="unsupervised")["train"]) == TEXTS[:1]
    with pytest.raises(ConfigError, match="no split 'trian'; found: train, dev, unsupervised"):
        load("org/name", train_split="trian")
    with pytest.raises(DataError, match=r"no column 'txt'; found: text, label"):
        load("org/name", text_column="txt")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            ConnectionError("Couldn't reach 'org/name' on the Hub"),
            DataError,
            "offline and not in the cache: org/name",
        ),
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'org/name' is a gated dataset on the Hub."),
            DataError,
            "gated",
        ),
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'org/name' doesn't exist on the Hub"),
            ConfigError,
            "no such Hub data set",
        ),
        (
            ValueError("BuilderConfig 'x' not found. Available: ['a', 'b']"),
            ConfigError,
            "org/name: no subset 'x'",
        ),
        (
            RuntimeError("Dataset scripts are no longer supported"),
            DataError,
            "scripts are no longer supported",
        ),
    ],
)
def test_hub_complaints(
    error: Exception, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch, load: Load
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda name: ["a", "b"])
    with pytest.raises(kind, match=message) as caught:
        load("org/name:x")
    if "subset" in message:
        assert "org/name:a, org/name:b" in str(caught.value.hint)  # type: ignore[attr-defined]


# Bad files


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"", r"a\.txt: empty file"),
        ("a.txt", b" \n\n\t", r"a\.txt: no text in it, only white space"),
        ("a.txt", b"x\n" * 811 + b"caf\xe9 ol\xe9\n", r"a\.txt:812: byte 0xE9 is not UTF-8"),
        ("a.txt", b"x\n" * (1 << 20) + b"\xff", r"a\.txt:1048577: byte 0xFF is not UTF-8"),
        ("a.txt", b"a\r\nb\xc3", r"a\.txt:2: byte 0xC3 is not UTF-8"),
        ("a.txt", codecs.BOM_UTF16_LE + "hi".encode("utf-16-le"), r"a\.txt: starts with .* utf-16"),
        ("a.txt", codecs.BOM_UTF32_LE + "hi".encode("utf-32-le"), r"a\.txt: starts with .* utf-32"),
        ("a.txt", b"a\nb\nc\0d\n", r"a\.txt:3: NUL"),
        (
            "a.jsonl",
            b'{"text": "x"}\n' * 4999 + b'{"text": "x" "y"}',
            r"a\.jsonl:5000: invalid JSON, column 14: ",
        ),
        ("a.jsonl", b'{"text": "x"}\n["x"]\n', r"a\.jsonl:2: expected an object, found list"),
        (
            "a.jsonl",
            b'{"text": "x"}\n{"id": 1, "Text": "y"}',
            r"a\.jsonl:2: no column 'text'; found: id, Text",
        ),
        ("a.jsonl", b'{"text": "x"}\n\n{"text": 7}', r"a\.jsonl:3: column 'text' holds int 7"),
        ("a.jsonl", b'{"text": "\\ud800"}', r"a\.jsonl:1: half of a surrogate"),
        ("a.jsonl", b'{"text": "a\\u0000b"}', r"a\.jsonl:1: NUL"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl:1: invalid JSON"),
        ("a.json", b'[{"text": "x"},\n {"text": y}]', r"a\.json:2: invalid JSON, column 11"),
        ("a.json", b'[{"text": "x"},\n {"text": "y"', r"a\.json:2: invalid JSON"),
        ("a.json", b'[{"text": "x"}\n {"text": "y"}]', r"a\.json:2: invalid JSON, column 2: expected ','"),
        ("a.json", b'[{"text": "x"}] x', r"a\.json:1: invalid JSON, column 17: expected the end"),
        ("a.csv", b'text,n\n"a\nb",1\nc,2,3\n', r"a\.csv:4: 3 instead of 2 cells"),
        ("a.csv", b'text,n\na,1\n"b,2\n', r"a\.csv:3: unexpected end of data"),
        ("a.tsv", b"text\tn\na\t1\nb\n", r"a\.tsv:3: 1 instead of 2 cells"),
        ("a.csv", b"text,n\n", r"a\.csv: no text in it"),
        ("a.parquet", b"PAR1 and no more", r"a\.parquet: truncated or damaged Parquet"),
        ("a.arrow", b"ARROW1 and no more", r"a\.arrow: truncated or damaged Arrow"),
        ("a.txt.gz", b"not gzip", r"a\.txt\.gz: truncated or damaged \.gz"),
        ("a.txt.zst", b"not zstd", r"a\.txt\.zst: truncated or damaged \.zst"),
    ],
)
def test_bad_files(name: str, data: bytes, message: str, tmp_path: Path, load: Load) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path / name)
    assert caught.value.hint


@pytest.mark.parametrize(
    "name",
    ["a.txt.gz", "a.txt.bz2", "a.txt.xz", "a.txt.zst", "a.parquet", "a.arrow", "a.jsonl.gz", "a.parquet.xz"],
)
def test_truncated_files_are_named_so(name: str, tmp_path: Path, load: Load) -> None:
    path = write(tmp_path / name, [f"{i} {hash(str(i))}" for i in range(20_000)])
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match="truncated or damaged"):
        load(path)


def test_encoding(tmp_path: Path, load: Load) -> None:
    (tmp_path / "a.txt").write_bytes("café\nolé".encode("latin-1"))
    assert texts(load(tmp_path / "a.txt", encoding="latin-1")["train"]) == ["café\nolé"]
    (tmp_path / "b.txt").write_text("café\nolé", encoding="utf-16")
    assert texts(load(tmp_path / "b.txt", encoding="utf-16")["train"]) == ["café\nolé"]


def test_what_is_mended_is_told_each_time(tmp_path: Path, load: Load, told: Told) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(codecs.BOM_UTF8 + b"one\r\n" + b"x" * 12_000_000)
    for _ in range(2):
        assert next(iter(load(path)["train"]))[:5] == "one\nx"
    mended = ["removed a byte-order mark", "line 2 is 12 MB long"]
    assert told.notes == [f"{path}: {what}" for what in mended] * 2
    assert len(told.bars) == 1  # the second time it is not read again


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path: Path, load: Load) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "a.txt").chmod(0)
    with pytest.raises(DataError, match=r"a\.txt: permission denied"):
        load(tmp_path / "a.txt")


def test_a_file_that_changes_is_noticed(tmp_path: Path, load: Load) -> None:
    path = write(tmp_path / "a.jsonl", TEXTS)
    documents = load(path)["train"]
    old = documents.fingerprint
    write(path, [*TEXTS, "more"])
    with pytest.raises(DataError, match="changed while it was being read"):
        list(documents)
    again = load(path)["train"]
    assert again.num_documents == 4
    assert again.fingerprint != old


# Splits


def test_held_out_documents(tmp_path: Path, load: Load, told: Told) -> None:
    path = tmp_path / "a.txt"
    lines = [f"line {i}" for i in range(200)]
    path.write_text("\n".join(lines))
    splits = load(path, sample_by="line", validation_fraction=0.05)
    held_out, rest = texts(splits["validation"]), texts(splits["train"])
    assert len(held_out) == 10
    assert sorted(held_out + rest) == sorted(lines)
    assert rest == [line for line in lines if line not in held_out]
    assert told.notes == ["held out 10 of 200 documents for validation (5 %, split_seed 0)"]
    assert texts(load(path, sample_by="line", validation_fraction=0.05)["validation"]) == held_out
    other = load(path, sample_by="line", validation_fraction=0.05, split_seed=1)
    assert texts(other["validation"]) != held_out
    assert other["train"].fingerprint != splits["train"].fingerprint


@pytest.mark.parametrize(("fraction", "number"), [(0.001, 1), (0.3, 3), (0.99, 9)])
def test_how_many_are_held_out(fraction: float, number: int, tmp_path: Path, load: Load) -> None:
    (tmp_path / "a.txt").write_text("\n".join("abcdefghij"))
    splits = load(tmp_path / "a.txt", sample_by="line", validation_fraction=fraction)
    assert splits["validation"].num_documents == number
    assert splits["train"].num_documents == 10 - number


def test_the_share_that_is_told_is_the_real_one(tmp_path: Path, load: Load, told: Told) -> None:
    (tmp_path / "a.txt").write_text("a\nb\nc")
    load(tmp_path / "a.txt", sample_by="line", validation_fraction=0.02)
    assert told.notes == ["held out 1 of 3 documents for validation (33.3 %, split_seed 0)"]


def test_every_subset_has_the_same_chance() -> None:
    stream = [Piece(str(i), True) for i in range(5)]
    counts: dict[str, int] = {}
    for seed in range(2000):
        chosen = "".join(piece.text for piece in part(iter(stream), 5, 2, seed, True))
        counts[chosen] = counts.get(chosen, 0) + 1
    assert len(counts) == 10
    assert all(140 < count < 260 for count in counts.values())  # 200 expected, 4.5 standard deviations


def test_a_single_document_gives_its_end(tmp_path: Path, load: Load, told: Told) -> None:
    path = tmp_path / "a.txt"
    text = "".join(f"line {i:02}\n" for i in range(20))  # 8 characters a line
    path.write_text(text)
    splits = load(path, validation_fraction=0.12)  # 160 characters: 140.8 is inside of line 17
    assert texts(splits["train"]) == [text[:136]]
    assert texts(splits["validation"]) == [text[136:]]
    assert told.notes == ["held out the last 24 of 160 characters for validation (15 %): it is one document"]


def test_cutting_one_document_across_chunks() -> None:
    text = "ab\ncd ef\ngh ij"
    for size in range(1, 8):
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        stream = [Piece(piece, i == len(pieces) - 1) for i, piece in enumerate(pieces)]
        assert [place_to_cut(iter(stream), at) for at in (2, 3, 8, 9, 14)] == [2, 3, 3, 9, 9]
        for at in range(1, len(text)):
            assert "".join(piece.text for piece in between(iter(stream), 0, at)) == text[:at]
            assert "".join(piece.text for piece in between(iter(stream), at, None)) == text[at:]
            assert [piece.ends_document for piece in between(iter(stream), 0, at)][-1]
    assert place_to_cut(iter([Piece("one two", True)]), 6) == 3
    assert place_to_cut(iter([Piece("onetwo", True)]), 4) == 4


def test_too_short_to_hold_out(tmp_path: Path, load: Load) -> None:
    (tmp_path / "a.txt").write_text("word\n")
    with pytest.raises(DataError, match="too short to hold out"):
        load(tmp_path / "a.txt", validation_fraction=0.05)


def test_max_documents_are_the_first(tmp_path: Path, load: Load) -> None:
    path = write(tmp_path / "a.jsonl", ["", "one", "two", "three", "four", "five"])
    assert texts(load(path, max_documents=3)["train"]) == ["one", "two", "three"]
    splits = load(path, max_documents=4, validation_fraction=0.25)
    assert sorted(texts(splits["train"]) + texts(splits["validation"])) == ["four", "one", "three", "two"]


def test_splits_that_are_not_wanted_are_not_read(tmp_path: Path, told: Told) -> None:
    (tmp_path / "train.txt").write_bytes(b"\xff")
    (tmp_path / "dev.txt").write_text("fine")
    config = PretrainConfig(data=str(tmp_path))
    splits = load_text(config, progress=told, cache_dir=tmp_path / "cache", wanted=("validation",))
    assert {name: texts(documents) for name, documents in splits.items()} == {"validation": ["fine"]}
    with pytest.raises(DataError, match=r"train\.txt:1: byte 0xFF"):
        load_text(config, progress=told, cache_dir=tmp_path / "cache", wanted=("train",))


def test_describe(tmp_path: Path, load: Load) -> None:
    path = tmp_path / "a.txt"
    path.write_text("héllo")
    documents = load(path)["train"]
    assert documents.describe() == {
        "name": str(path),
        "num_documents": 1,
        "num_bytes": 6,
        "fingerprint": documents.fingerprint,
        "files": [{"path": str(path), "bytes": 6}],
    }


def test_fingerprint_follows_text_and_borders(tmp_path: Path, load: Load) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo")
    (tmp_path / "b.txt").write_text("one\ntwo")
    whole = load(tmp_path / "a.txt")["train"].fingerprint
    assert load(tmp_path / "b.txt")["train"].fingerprint == whole
    assert load(tmp_path / "a.txt", sample_by="line")["train"].fingerprint != whole


# Cuts within a document


def test_cuts_fall_where_no_token_spans() -> None:
    text = "One two  three\nfour\n\n five\u0301 six " * 20
    stream = Documents("", 1, 0, "", (), lambda: iter([Piece(text, True)]))
    pieces = [piece.text for piece in stream.pieces(12)]
    assert "".join(pieces) == text
    for left, right in pairwise(pieces):
        joint = left[-1] + right[0]
        assert (right[0] == " " and not left[-1].isspace() and not right[1].isspace()) or joint[0] == "\n"
        assert "\u0301" not in joint


def test_text_without_a_place_to_cut_stays_whole() -> None:
    for text in ("x" * 5000, "  \n\n" * 2000 + "x"):
        parts = [Piece(text[i : i + 100], i + 100 >= len(text)) for i in range(0, len(text), 100)]
        stream = SimpleNamespace(stream=lambda parts=parts: iter(parts))
        assert [piece.text for piece in Documents.pieces(stream, 50)] == [text]  # type: ignore[arg-type]


@pytest.mark.realdata
@pytest.mark.skipif("LLMCTL_REAL_DATA" not in os.environ, reason="needs LLMCTL_REAL_DATA")
def test_real_data(load: Load, told: Told) -> None:
    root = Path(os.environ["LLMCTL_REAL_DATA"])
    splits = load(root / "text" / "tinyshakespeare.txt", validation_fraction=0.1)
    whole = (root / "text" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    train, held_out = texts(splits["train"])[0], texts(splits["validation"])[0]
    assert train + held_out == whole
    assert 0 <= len(held_out) - len(whole) * 0.1 < 100
    assert load(root / "sst2")["train"].num_documents == 60_614
    assert load(root / "dialogsum" / "dev.jsonl", text_column="dialogue")["train"].num_documents == 500


def test_a_line_or_value_without_end_is_refused(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("files", "table_files", "json_values"):
        monkeypatch.setattr(f"llmctl.data.{module}.MAX_VALUE", 3 << 20)
    text = "a" * (5 << 20)
    files = {
        "a.jsonl": '{"text": "x"}\n{"text": "' + text,
        "b.json": '[{"text": "x"},\n{"text": "' + text,
        "c.csv": 'text\nx\n"' + text,
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        line = {"a": 2, "b": 2, "c": 3}[name[0]]
        with pytest.raises(
            DataError, match=rf"{name}:{line}: (a (line|JSON value) of more than 3 million|field larger)"
        ):
            load(tmp_path / name)
