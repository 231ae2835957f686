"""Text that is streamed: every document once a pass, the same from any place on, in bounded buffers."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from llmctl.config import PretrainConfig
from llmctl.data import stream as stream_module
from llmctl.data.encode import Encoder
from llmctl.data.load import load_streamed, load_text
from llmctl.data.stream import Buffer, Place, buffers, start_of
from llmctl.data.streamed import StreamedText
from llmctl.errors import DataError
from tests.data.conftest import Told
from tests.data.test_load import write
from tests.tiny import EOS, byte_tokenizer

Load = Callable[..., dict[str, Any]]


@pytest.fixture
def streamed(tmp_path: Path, told: Told) -> Load:
    def load(data: Any, **settings: Any) -> dict[str, Any]:
        source = data if isinstance(data, tuple) else str(data)
        config = PretrainConfig(data=source, streaming=True, **settings)
        return load_streamed(config, progress=told, cache_dir=tmp_path / "cache")

    return load


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Five shards of different formats, one of them compressed."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, suffix in enumerate(("jsonl", "jsonl.gz", "parquet", "csv", "txt.zst")):
        write(
            folder / f"s{number}.{suffix}",
            [f"shard {number} document {i} " * 3 for i in range(8 + 5 * number)],
        )
    return folder


def of(
    text: StreamedText, told: Told, *, size: int = 10, seed: int = 0, place: Place | None = None
) -> Iterator[Buffer]:
    encoder = Encoder(byte_tokenizer().backend_tokenizer, EOS)
    marks = encoder.marks(text.start, told)
    return buffers(text, encoder, marks, size=size, seed=seed, place=place or start_of(text))


def one_pass(found: Iterator[Buffer]) -> list[Buffer]:
    read = []
    for buffer in found:
        read.append(buffer)
        if buffer.ends_pass:
            return read
    raise AssertionError


def texts(found: list[Buffer]) -> list[str]:
    """The documents, joined over the borders of buffers."""
    tokenizer = byte_tokenizer()
    tokens = [int(token) for buffer in found for part in buffer.documents.values() for token in part.tokens]
    return tokenizer.decode(tokens).split("</s>")[:-1]


def test_a_pass_has_every_document_once_but_those_held_out(corpus: Path, streamed: Load, told: Told) -> None:
    settings = {"sample_by": "line", "validation_fraction": 0.05, "buffer_size": 60}
    splits = streamed(corpus, **settings)
    everything = load_text(
        PretrainConfig(data=str(corpus), sample_by="line", validation_fraction=0.0),
        progress=told,
        cache_dir=corpus.parent / "cache",
    )["train"]
    whole = list(everything)
    held_out = list(splits["validation"])
    assert held_out == whole[:3]
    assert "held out 3 documents for validation: the first of 60 that the stream begins with" in told.notes
    first = texts(one_pass(of(splits["train"], told)))
    assert Counter(first) == Counter(whole[3:])
    assert first != whole[3:], "shards come in an order of their own"
    assert texts(one_pass(of(splits["train"], told, seed=1))) != first
    assert list(splits["train"].start) == whole[3:63]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_passes_follow_each_other_and_buffers_are_bounded(
    size: int, corpus: Path, streamed: Load, told: Told
) -> None:
    text = streamed(corpus, sample_by="line")["train"]
    found = of(text, told, size=size)
    first, second = one_pass(found), one_pass(found)
    assert texts(first) == texts(second)
    assert len(first) == len(second), "so that a pass is always as many batches"
    most = max(len(part.ends) for buffer in first for part in buffer.documents.values())
    assert most <= size * 1.15 or size == 1
    assert first[-1].behind.positions[text.name.removesuffix(" (train)")].passes == 1


@pytest.mark.parametrize("size", [1, 10, 33])
def test_it_goes_on_from_any_place(size: int, corpus: Path, streamed: Load, told: Told) -> None:
    """From what JSON keeps of a place, token for token."""
    text = streamed(corpus, sample_by="line")["train"]
    whole = list(islice(of(text, told, size=size), 40))
    for number, buffer in enumerate(whole[:-1]):
        positions, drawn = json.loads(json.dumps(buffer.behind))
        following = next(of(text, told, size=size, place=Place.read(positions, drawn)))
        for name, part in whole[number + 1].documents.items():
            assert following.documents[name].tokens.tolist() == part.tokens.tolist()
            assert following.documents[name].ends.tolist() == part.ends.tolist()
        assert following.behind == whole[number + 1].behind


def test_a_long_document_goes_on_in_the_next_buffer(
    tmp_path: Path, streamed: Load, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "BUFFER_BYTES", 300_000)
    long = " ".join(f"word{i}" for i in range(120_000))
    (tmp_path / "a.txt").write_text("a short one")
    (tmp_path / "b.txt").write_text(long)
    text = streamed(str(tmp_path / "*.txt"), validation_fraction=0.0)["train"]
    found = one_pass(of(text, told))
    assert len(found) > 2
    assert sorted(texts(found)) == ["a short one", long]
    for number, buffer in enumerate(found[:-1]):
        (part,) = buffer.documents.values()
        assert part.ends[-1] == len(part.tokens) <= 600_000
        following = next(of(text, told, place=buffer.behind))
        (expected,), (part,) = found[number + 1].documents.values(), following.documents.values()
        assert part.tokens.tolist() == expected.tokens.tolist(), "the rest of a document begins none"


def test_sources_have_their_shares(tmp_path: Path, streamed: Load, told: Told) -> None:
    for name, count in (("a", 300), ("b", 40)):
        (tmp_path / f"{name}.txt").write_text("\n".join(f"{name} line {i} " * 20 for i in range(count)))
    data = (f"{tmp_path}/a.txt:0.8", f"{tmp_path}/b.txt:0.2")
    text = streamed(data, sample_by="line")["train"]
    found = list(islice(of(text, told, size=80), 30))
    drawn = found[-1].behind.drawn
    assert drawn[f"{tmp_path}/a.txt"] / sum(drawn.values()) == pytest.approx(0.8, abs=0.01)
    assert not any(buffer.ends_pass for buffer in found)
    following = next(of(text, told, size=80, place=found[-2].behind))
    assert following.behind == found[-1].behind
    plain = streamed(tuple(source.rpartition(":")[0] for source in data), sample_by="line")["train"]
    read = texts(one_pass(of(plain, told, size=80)))
    assert len(read) == 340 - 7, "without weights all of both, once"


def test_a_bad_shard_is_named_or_skipped(corpus: Path, streamed: Load, told: Told) -> None:
    whole = (corpus / "s1.jsonl.gz").read_bytes()
    (corpus / "s1.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"s1\.jsonl\.gz: truncated or damaged"):
        one_pass(of(streamed(corpus, sample_by="line", buffer_size=4)["train"], told))
    text = streamed(corpus, sample_by="line", buffer_size=4, on_bad_shard="skip")["train"]
    read = texts(one_pass(of(text, told)))
    assert not any(line.startswith("shard 1") for line in read)
    assert len(read) == 8 + 18 + 23 + 28 - 1
    (line,) = text.lost
    assert "s1.jsonl.gz: truncated or damaged" in line


def test_a_stream_of_one_document_has_nothing_to_hold_out(tmp_path: Path, streamed: Load) -> None:
    (tmp_path / "a.txt").write_text("all of it is one document")
    with pytest.raises(DataError, match="begins with a single document"):
        streamed(tmp_path / "a.txt")
    assert list(streamed(tmp_path / "a.txt", validation_fraction=0.0)["train"].start)


def test_a_split_of_its_own_is_judged_by(tmp_path: Path, streamed: Load) -> None:
    write(tmp_path / "train.jsonl", ["one", "two"])
    write(tmp_path / "dev.jsonl", ["three"])
    splits = streamed(tmp_path)
    assert list(splits["validation"]) == ["three"]
    assert list(splits["train"].start) == ["one", "two"]
    assert not splits["train"].describe()["num_held_out"]
