import errno
import os
import shutil
from collections import Counter, namedtuple
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from llmctl import locks
from llmctl.config import PretrainConfig
from llmctl.data import builtin, encode
from llmctl.data.blocks import Blocks, TokenizedDocuments, tokenize
from llmctl.data.documents import Documents
from llmctl.data.load import load_text
from llmctl.data.readers import Piece
from llmctl.errors import DataError, ModelError
from llmctl.progress import SILENT
from tests.data.conftest import Told

# Stories, and what they do not hold: indents, runs of spaces, accents, other scripts, long lines.
STORIES = "\n\n".join(builtin.stories(60))
ODDITIES = (
    "  two  spaces \n\n\n\tTab, café naïve cafe\u0301, 東京都は日本の首都です。\n1234 + 5678 = 6912!\r"
    "def f(x):\n    return x  # it's\n\n\n" + "word " * 300 + "\n" + "x" * 500 + "\nthe\nend\n \n"
)
TEXT = STORIES + (ODDITIES + STORIES[:3000]) * 3


def fast(backend: Tokenizer, **special: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


@cache
def gpt2_json() -> str:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return backend.to_str()


def gpt2() -> PreTrainedTokenizerFast:
    return fast(Tokenizer.from_str(gpt2_json()), eos_token="<|endoftext|>")


def bert() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=600, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False
    )
    backend.train_from_iterator([TEXT], trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return fast(backend, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


def unigram(scheme: str = "never") -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    backend.train_from_iterator(
        [TEXT[:6000]],
        trainers.UnigramTrainer(
            vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False
        ),
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return fast(backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "gpt2": gpt2,
    "bert": bert,
    "unigram": unigram,
    "unigram, prefix first": lambda: unigram("first"),
    "unigram, prefix always": lambda: unigram("always"),
}
# The tokens that frame a document: what the post-processor puts first and last, and the end of the sequence.
FRAMES: dict[str, tuple[list[int], list[int]]] = {
    "gpt2": ([], [0]),
    "bert": ([1], [2]),
    **{name: ([1], [2]) for name in TOKENIZERS if "unigram" in name},
}


def documents_of(texts: list[str], chunk: int = 1000) -> Documents:
    """Documents as they come from a file: in arbitrary chunks."""

    def stream() -> Iterator[Piece]:
        for text in texts:
            for i in range(0, len(text), chunk):
                yield Piece(text[i : i + chunk], i + chunk >= len(text))

    size = sum(len(text.encode()) for text in texts)
    fingerprint = f"{hash(tuple(texts)):x}"
    return Documents("test", len(texts), size, fingerprint, (), stream)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokens_of_pieces_are_the_tokens_of_the_whole(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "_CHARS_A_PIECE", 300)  # many cuts in little text
    monkeypatch.setattr(encode, "_CHARS_A_BATCH", 2000)
    tokenizer = TOKENIZERS[name]()
    texts = [TEXT, "short", "a\nb", ODDITIES, "two words"]
    prefix, suffix = FRAMES[name]
    result = tokenize(documents_of(texts), tokenizer, cache_dir=tmp_path, progress=SILENT)
    assert (result.prefix_length, result.suffix_length) == (len(prefix), len(suffix))
    assert result.tokens.dtype == np.uint16
    start = 0
    for text, end, num_bytes, num_words in zip(
        texts, result.ends, result.num_bytes, result.num_words, strict=True
    ):
        whole = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
        assert result.tokens[start:end].tolist() == prefix + whole + suffix
        assert num_bytes == len(text.encode())
        assert num_words == len(text.split())
        start = end
    assert start == len(result.tokens)


def test_a_tokenizer_that_joins_over_spaces_gets_whole_documents(tmp_path: Path, told: Told) -> None:
    """Without a pre-tokenizer merges reach over spaces and line ends, so no cut is right."""
    backend = Tokenizer(models.BPE())
    backend.train_from_iterator(
        [TEXT[:3000]], trainers.BpeTrainer(vocab_size=400, special_tokens=["</s>"], show_progress=False)
    )
    tokenizer = fast(backend, eos_token="</s>")
    result = tokenize(documents_of([TEXT[:20_000]]), tokenizer, cache_dir=tmp_path, progress=told)
    assert result.tokens[:-1].tolist() == backend.encode(TEXT[:20_000]).ids
    assert any("needs each document whole" in note for note in told.notes)


def test_no_eos_no_suffix(tmp_path: Path) -> None:
    tokenizer = fast(gpt2().backend_tokenizer)
    result = tokenize(documents_of(["a b", "c"]), tokenizer, cache_dir=tmp_path, progress=SILENT)
    assert (result.prefix_length, result.suffix_length) == (0, 0)
    assert tokenizer.decode(result.tokens.tolist()) == "a bc"


def test_truncation_and_padding_play_no_part_and_stay(tmp_path: Path) -> None:
    tokenizer = gpt2()
    plain = tokenize(documents_of([STORIES]), tokenizer, cache_dir=tmp_path / "a", progress=SILENT)
    tokenizer.backend_tokenizer.enable_truncation(max_length=5)
    tokenizer.backend_tokenizer.enable_padding(length=100)
    result = tokenize(documents_of([STORIES]), tokenizer, cache_dir=tmp_path / "b", progress=SILENT)
    assert np.array_equal(result.tokens, plain.tokens)
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 5
    assert tokenizer.backend_tokenizer.padding["length"] == 100
    # Nor do they make another entry of it.
    tokenize(documents_of([STORIES]), tokenizer, cache_dir=tmp_path / "a", progress=SILENT)
    assert len(list((tmp_path / "a" / "tokens").iterdir())) == 1


def test_large_vocabularies_take_four_bytes(tmp_path: Path) -> None:
    vocabulary = {f"w{i}": i for i in range(70_000)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    result = tokenize(documents_of(["w1 w69999"]), fast(backend), cache_dir=tmp_path, progress=SILENT)
    assert result.tokens.dtype == np.uint32
    assert result.tokens.tolist() == [1, 69_999]


# The cache


def test_the_second_time_nothing_is_tokenised(tmp_path: Path, told: Told) -> None:
    tokenizer = gpt2()
    first = tokenize(documents_of([STORIES]), tokenizer, cache_dir=tmp_path, progress=told)
    second = tokenize(documents_of([STORIES]), tokenizer, cache_dir=tmp_path, progress=told)
    assert told.bars == ["tokenising test"]
    assert np.array_equal(first.tokens, second.tokens)
    assert isinstance(second.tokens, np.memmap)
    assert not second.tokens.flags.writeable
    tokenize(documents_of([STORIES + "!"]), tokenizer, cache_dir=tmp_path, progress=told)
    tokenizer.add_tokens(["hen"])
    tokenize(documents_of([STORIES]), tokenizer, cache_dir=tmp_path, progress=told)
    assert len(told.bars) == 3


@pytest.mark.parametrize("damage", ["tokens.bin", "documents.bin", "meta.json"])
def test_a_damaged_entry_is_made_again(damage: str, tmp_path: Path) -> None:
    tokenizer = gpt2()
    good = tokenize(documents_of([STORIES]), tokenizer, cache_dir=tmp_path, progress=SILENT).tokens.tolist()
    (entry,) = (tmp_path / "tokens").iterdir()
    (entry / damage).write_bytes((entry / damage).read_bytes()[:-2])
    again = tokenize(documents_of([STORIES]), tokenizer, cache_dir=tmp_path, progress=SILENT)
    assert again.tokens.tolist() == good
    assert [path.name for path in (tmp_path / "tokens").iterdir()] == [entry.name]
    assert sorted(path.name for path in entry.iterdir()) == ["documents.bin", "meta.json", "tokens.bin"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DataError("bad file"), OSError(errno.ENOSPC, "full")])
def test_an_interrupted_writer_leaves_nothing(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "_CHARS_A_BATCH", 2000)
    whole = documents_of([STORIES[:3000]] * 40)
    pieces = list(whole.stream())

    def breaks_off() -> Iterator[Piece]:
        yield from pieces[: len(pieces) // 2]
        raise error

    broken = Documents("test", whole.num_documents, whole.num_bytes, whole.fingerprint, (), breaks_off)
    expected = DataError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected) as caught:
        tokenize(broken, gpt2(), cache_dir=tmp_path, progress=SILENT)
    if isinstance(error, OSError):
        assert "no space left" in str(caught.value)
    assert list((tmp_path / "tokens").iterdir()) == []
    assert len(tokenize(whole, gpt2(), cache_dir=tmp_path, progress=SILENT).ends) == 40


def test_text_unlike_what_was_counted_is_refused(tmp_path: Path) -> None:
    counted = documents_of([STORIES, "more"])
    shorter = Documents("test", 2, counted.num_bytes, "f", (), documents_of([STORIES]).stream)
    with pytest.raises(DataError, match="changed since it was counted"):
        tokenize(shorter, gpt2(), cache_dir=tmp_path, progress=SILENT)
    assert list((tmp_path / "tokens").iterdir()) == []


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 7))
    with pytest.raises(DataError, match=r"need .* MB, 0 MB are free"):
        tokenize(documents_of([STORIES]), gpt2(), cache_dir=tmp_path, progress=SILENT)


def test_no_permission(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="cannot write the tokens") as caught:
        tokenize(documents_of([STORIES]), gpt2(), cache_dir=tmp_path / "cache", progress=SILENT)
    assert "LLMCTL_CACHE_DIR" in str(caught.value.hint)


def test_litter_of_processes_that_are_gone_is_swept(tmp_path: Path) -> None:
    """What is locked is being made; what is young may be about to be locked."""
    for name, age in ((".gone.1", 1), (".young.2", 0), (".living.3", 30)):
        staged = tmp_path / "tokens" / name
        staged.mkdir(parents=True)
        (staged / "tokens.bin").write_bytes(b"x")
        for path in (staged / "tokens.bin", staged):
            stamp = path.stat().st_mtime - age * 24 * 3600
            os.utime(path, (stamp, stamp))
    with locks.held(tmp_path / "tokens" / ".living.3"):
        tokenize(documents_of([STORIES]), gpt2(), cache_dir=tmp_path, progress=SILENT)
    left = {path.name for path in (tmp_path / "tokens").glob(".*")}
    assert left == {".young.2", ".living.3"}


def tokens_of(saved: str, cache: Path) -> list[int]:
    tokenizer = fast(Tokenizer.from_str(saved), eos_token="<|endoftext|>")
    texts = list(builtin.stories(300))
    size = sum(len(text) for text in texts)
    documents = Documents(
        "test", 300, size, "stories", (), lambda: (Piece(text, True) for text in builtin.stories(300))
    )
    return tokenize(documents, tokenizer, cache_dir=cache, progress=SILENT).tokens.tolist()


@pytest.mark.slow
def test_writers_at_the_same_time(tmp_path: Path) -> None:
    saved = gpt2_json()
    with get_context("spawn").Pool(2) as pool:
        results = pool.starmap(tokens_of, [(saved, tmp_path)] * 2, chunksize=1)
    assert results[0] == results[1]
    (entry,) = (tmp_path / "tokens").iterdir()
    assert not entry.name.startswith(".")


def test_slow_tokenizers_are_refused(tmp_path: Path) -> None:
    class Slow:
        name_or_path = "old"

    with pytest.raises(ModelError, match="old: not a fast tokenizer"):
        tokenize(documents_of(["a"]), Slow(), cache_dir=tmp_path, progress=SILENT)


# Blocks


def stream_of(tokens: list[int]) -> TokenizedDocuments:
    counts = np.array([len(tokens)])
    return TokenizedDocuments(np.array(tokens, dtype=np.uint16), counts, counts, counts, 0, 0)


def as_lists(blocks: Blocks) -> list[tuple[list[int], list[int]]]:
    return [(block["input_ids"].tolist(), block["labels"].tolist()) for block in blocks]


def test_blocks_by_hand() -> None:
    assert as_lists(Blocks(stream_of([5, 6, 7, 8, 9]), 2)) == [([5, 6], [6, 7]), ([7, 8], [8, 9])]
    assert as_lists(Blocks(stream_of([5, 6, 7, 8]), 2)) == [([5, 6], [6, 7]), ([7, 8], [8, -100])]
    assert as_lists(Blocks(stream_of([5, 6]), 8)) == [([5, 6], [6, -100])]
    assert len(Blocks(stream_of([5]), 2)) == 0
    assert Blocks(stream_of([5, 6, 7, 8, 9]), 2)[-1]["input_ids"].tolist() == [7, 8]
    with pytest.raises(IndexError):
        Blocks(stream_of([5, 6, 7, 8, 9]), 2)[2]


@pytest.mark.parametrize("length", [2, 3, 15, 16, 17, 18, 100])
@pytest.mark.parametrize("block_size", [1, 2, 16, 200])
def test_every_token_but_the_first_is_a_label_once(length: int, block_size: int) -> None:
    tokens = list(range(1000, 1000 + length))
    blocks = Blocks(stream_of(tokens), block_size)
    labels: Counter[int] = Counter()
    for block in blocks:
        assert block["input_ids"].dtype == block["labels"].dtype == torch.int64
        assert len(block["input_ids"]) == len(block["labels"]) <= block_size
        for token, label in zip(block["input_ids"].tolist(), block["labels"].tolist(), strict=True):
            assert label in (token + 1, -100)
            labels[label] += 1
    assert labels.pop(-100, 0) <= 1
    assert labels == Counter(tokens[1:])
    assert all(len(block["input_ids"]) == block_size for block in list(blocks)[:-1])


def test_from_file_to_blocks_no_text_is_lost(tmp_path: Path) -> None:
    texts = list(builtin.stories(40))
    (tmp_path / "a.txt").write_text("\n".join(text.replace("\n", " ") for text in texts))
    config = PretrainConfig(data=str(tmp_path / "a.txt"), sample_by="line", validation_fraction=0.1)
    splits = load_text(config, progress=SILENT, cache_dir=tmp_path / "cache")
    tokenizer = gpt2()
    lines: list[str] = []
    for documents in splits.values():
        stored = tokenize(documents, tokenizer, cache_dir=tmp_path / "cache", progress=SILENT)
        blocks = Blocks(stored, 64)
        stream = [int(blocks[0]["input_ids"][0])]
        stream += [label for block in blocks for label in block["labels"].tolist() if label >= 0]
        lines += tokenizer.decode(stream).split("<|endoftext|>")[:-1]
    assert sorted(lines) == sorted(text.replace("\n", " ") for text in texts)


def test_disk_use_of_stories(tmp_path: Path) -> None:
    """Two bytes a token and 24 a document: a tenth of the 22 bytes a token of run_clm's Arrow files."""
    stored = tokenize(documents_of(list(builtin.stories(60))), gpt2(), cache_dir=tmp_path, progress=SILENT)
    (entry,) = (tmp_path / "tokens").iterdir()
    size = sum(path.stat().st_size for path in entry.iterdir() if path.suffix == ".bin")
    assert size == 2 * len(stored.tokens) + 24 * 60


@pytest.mark.parametrize(
    ("prefix", "suffix", "expected"),
    [
        # the end of a text is what the next one's first token is predicted from
        (0, 1, [0, 1, 2, 0, 1, 2, 3, 0, 1, 2]),
        (1, 1, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]),
        (0, 0, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]),
    ],
)
def test_positions_begin_anew_with_each_document(prefix: int, suffix: int, expected: list[int]) -> None:
    ends = np.array([4, 8, 11])
    found = TokenizedDocuments(np.arange(11, dtype=np.uint16), ends, ends, ends, prefix, suffix)
    whole = Blocks(found, 20, restart=True)[0]["position_ids"].tolist()
    assert whole[:10] == expected
    cut = Blocks(found, 3, restart=True)
    assert cut[1]["position_ids"][0] == 0  # a block sees nothing before it
    assert cut[1]["position_ids"][2] == (whole[5] if whole[3] == 0 else 1)
    assert "position_ids" not in Blocks(found, 3)[0]
