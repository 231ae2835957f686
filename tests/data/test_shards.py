"""Broken shards: named, or skipped and told."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llmctl.data.documents import Documents
from llmctl.errors import DataError
from tests.data.conftest import Told
from tests.data.test_load import write

Load = Callable[..., dict[str, Documents]]
GOOD = [f"document {i} of the good shard" for i in range(20)]


def shard(path: Path, how: str) -> None:
    """A shard of many rows that is broken in one of several ways."""
    write(path, [f"document {i} of {os.urandom(40).hex()}" for i in range(5000)])
    whole = path.read_bytes()
    if how == "cut":
        path.write_bytes(whole[: len(whole) * 2 // 3])
    elif how == "another":
        path.write_bytes(b"this is no such file at all\n" * 9)
    elif how == "garbled":
        path.write_bytes(whole[: len(whole) // 2] + b"\xff" * 999 + whole[len(whole) // 2 + 999 :])


@pytest.mark.parametrize("how", ["cut", "another", "garbled"])
@pytest.mark.parametrize(
    "name",
    [
        "b.jsonl",
        "b.jsonl.gz",
        "b.jsonl.zst",
        "b.jsonl.bz2",
        "b.jsonl.xz",
        "b.parquet",
        "b.arrow",
        "b.json.gz",
    ],
)
def test_a_broken_shard_stops_and_is_named_or_is_skipped_and_told(
    name: str, how: str, tmp_path: Path, load: Load, told: Told
) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    write(folder / "a.jsonl", GOOD)
    shard(folder / name, how)
    write(folder / "c.jsonl", GOOD[:7])
    with pytest.raises(DataError, match=name) as caught:
        load(folder)
    assert "--on-bad-shard skip goes on with the next" in str(caught.value.hint)
    found = load(folder, on_bad_shard="skip")["train"]
    texts = list(found)
    assert (texts[:20], texts[-7:]) == (GOOD, GOOD[:7])
    kept = len(texts) - 27
    assert kept < 5000
    (line,) = found.lost
    assert (f"behind its first {kept:,} document" if kept else "as a whole") in line
    assert name in line
    assert line in told.notes
    assert any("1 of 3 shards skipped" in note for note in told.notes)
    assert found.describe()["bad_shards"] == [line]


def test_half_a_document_ends_where_its_shard_breaks(tmp_path: Path, load: Load) -> None:
    text = "\n".join(os.urandom(30).hex() for _ in range(60_000))
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text.encode())[:-20])
    (tmp_path / "b.txt").write_text("the other document")
    first, second = load(str(tmp_path / "*.t*"), on_bad_shard="skip")["train"]
    assert second == "the other document"
    assert text.startswith(first)
    assert len(first) > 100_000


def test_what_was_skipped_is_looked_at_again_the_next_time(tmp_path: Path, load: Load, told: Told) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": name}) + "\n")
    (tmp_path / "b.jsonl").write_text('{"text": \n')
    status = (tmp_path / "b.jsonl").stat()
    assert list(load(str(tmp_path / "*.jsonl"), on_bad_shard="skip")["train"]) == ["a"]
    (tmp_path / "b.jsonl").write_text('{"text":0}')  # as long as before, and as old
    os.utime(tmp_path / "b.jsonl", ns=(status.st_atime_ns, status.st_mtime_ns))
    told.notes.clear()
    load(str(tmp_path / "*.jsonl"), on_bad_shard="skip")
    assert any("holds int 0, expected text" in note for note in told.notes)


def test_nothing_but_bad_shards_is_no_text(tmp_path: Path, load: Load) -> None:
    (tmp_path / "a.jsonl").write_text("{")
    with pytest.raises(
        DataError, match=r"no text is left when bad shards are skipped; .*a\.jsonl:1: invalid JSON"
    ):
        load(tmp_path / "a.jsonl", on_bad_shard="skip")


def test_held_out_documents_come_of_what_can_be_read(tmp_path: Path, load: Load) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    write(folder / "a.jsonl", GOOD)
    (folder / "b.jsonl").write_text("{")
    splits = load(folder, on_bad_shard="skip", validation_fraction=0.2)
    assert sorted([*splits["train"], *splits["validation"]]) == sorted(GOOD)
    assert len(splits["train"].lost) == 1
