"""Training tokenizers: merges by hand, conventions of the families, exact round trips, bounds."""

import json
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoTokenizer

from llmctl import tokenization
from llmctl.config import TokenizerTraining
from llmctl.data.readers import Piece
from llmctl.errors import ConfigError
from llmctl.progress import SILENT, Silent
from llmctl.tokenization import feed
from llmctl.tokenization.distinct import DistinctWords

STORY = "Once upon a time there was a little fox. The fox had a red hat.\nOne day it ran away!\n" * 40
ODD = [
    "  two  spaces, tab\there\r\n\n\nand   end ",
    "naïve Ω≈ç√ 日本語 한국어 עברית 🧑‍🚀👩🏽‍🎤",
    "e\u0301 ﬁ \u200b\u00a0\ufeff\x00\x1b[31m\u2028",
    "<0x41> <unk> [UNK] ## Ġ",
    "",
]


class Texts:
    """A stand-in for ``Documents``: one piece a text."""

    name = "texts"

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.num_documents = len(texts)
        self.num_bytes = sum(len(text.encode()) for text in texts)

    def pieces(self, max_chars: int = 20_000) -> Iterator[Piece]:
        return (Piece(text, True) for text in self.texts)


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def train(*texts: str, architecture: str = "gpt2", progress=SILENT, **options):
    options = {"vocab_size": 400} | options
    return tokenization.train(Texts(*texts), TokenizerTraining(**options), architecture, progress=progress)


def test_bpe_merges_by_hand():
    # "aab" five times, "ab" twice: the pair ab occurs 7 times, aa and " a" less; then a+ab 5 times
    tokenizer = train("aab aab aab aab aab ab ab", vocab_size=262)
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    assert merges[:2] == [["a", "b"], ["a", "ab"]]
    assert tokenizer.tokenize("aab ab") == ["aab", "Ġab"]


def test_small_text_is_told_and_min_frequency_obeyed():
    progress = Notes()
    tokenizer = train("ab ab ab xy", progress=progress, min_frequency=3)
    # 2 special + 256 bytes + "ab"; " ab" stands there twice only
    assert len(tokenizer) == 259
    assert progress.notes == [
        "vocabulary has 259 tokens, not 400: the text has no more pairs that occur 3 times"
    ]


def test_unigram_and_wordpiece_tell_a_small_vocabulary_too():
    for algorithm in ("unigram", "wordpiece"):
        progress = Notes()
        tokenizer = train("ab ab ba", algorithm=algorithm, progress=progress, vocab_size=1000)
        assert progress.notes[-1].startswith(f"vocabulary has {len(tokenizer)} tokens, not 1000")


@pytest.mark.parametrize(
    ("architecture", "single", "pair", "types"),
    [
        ("gpt2", "a", "a b", None),
        ("qwen2", "a", "a b", None),
        ("bloom", "a", "a b", None),
        ("opt", "</s> a", "</s> a </s> b", None),
        ("llama", "<s> a", "<s> a <s> b", None),
        ("gemma", "<bos> a", "<bos> a <bos> b", None),
        ("bert", "[CLS] a [SEP]", "[CLS] a [SEP] b [SEP]", [0, 0, 0, 1, 1]),
        ("distilbert", "[CLS] a [SEP]", "[CLS] a [SEP] b [SEP]", None),
        ("modernbert", "[CLS] a [SEP]", "[CLS] a [SEP] b [SEP]", None),
        ("roberta", "<s> a </s>", "<s> a </s> </s> b </s>", None),
        ("bart", "<s> a </s>", "<s> a </s> </s> b </s>", None),
        ("t5", "a </s>", "a </s> b </s>", None),
        ("marian", "a </s>", "a </s> b </s>", None),
    ],
)
def test_post_processor_of_the_family(architecture, single, pair, types):
    tokenizer = train("a b a b", architecture=architecture)
    assert tokenizer.convert_ids_to_tokens(tokenizer("a")["input_ids"]) == single.split()
    both = tokenizer("a", "b")
    assert tokenizer.convert_ids_to_tokens(both["input_ids"]) == pair.split()
    assert both.get("token_type_ids") == types


@pytest.mark.parametrize("architecture", ["bert", "roberta", "t5"])
def test_templates_equal_the_librarys_own(architecture):
    """The classes of transformers, made without a vocabulary, carry the real families' templates."""
    from transformers import BertTokenizer, RobertaTokenizer, T5Tokenizer

    own = train("a b a b", architecture=architecture)
    real = {"bert": BertTokenizer, "roberta": RobertaTokenizer, "t5": T5Tokenizer}[architecture]()

    def shape(tokenizer, *texts):
        encoded = tokenizer(*texts)
        tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
        kept = [i for i, token in enumerate(tokens) if token in real.all_special_tokens]
        kept = [i for i in kept if tokens[i] != real.unk_token]
        return [tokens[i] for i in kept], [encoded.get("token_type_ids", [0] * 99)[i] for i in kept]

    assert shape(own, "a") == shape(real, "a")
    assert shape(own, "a", "b") == shape(real, "a", "b")


@pytest.mark.parametrize("architecture", sorted(tokenization.FAMILIES))
def test_special_tokens_are_single_and_padding_is_not_the_end(architecture):
    size = 300 + tokenization.family_of(architecture).sentinels
    tokenizer = train(STORY, architecture=architecture, special_tokens=("<|user|>",), vocab_size=size)
    assert tokenizer.pad_token is not None
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert len(tokenizer) == size
    assert (
        tokenizer("x <|user|>y", add_special_tokens=False)["input_ids"].count(
            tokenizer.convert_tokens_to_ids("<|user|>")
        )
        == 1
    )
    for token in tokenizer.all_special_tokens:
        assert tokenizer(token, add_special_tokens=False)["input_ids"] == [
            tokenizer.convert_tokens_to_ids(token)
        ]


def test_ids_agree_with_the_defaults_of_the_configs():
    for architecture, role in [
        ("roberta", "pad"),
        ("bart", "pad"),
        ("t5", "pad"),
        ("t5", "eos"),
        ("bert", "pad"),
    ]:
        config = AutoConfig.for_model(architecture)
        assert getattr(train("a", architecture=architecture), f"{role}_token_id") == getattr(
            config, f"{role}_token_id"
        )


def test_t5_sentinels_end_the_vocabulary():
    tokenizer = train(STORY, architecture="t5", algorithm="unigram", vocab_size=430)
    last = len(tokenizer) - 1
    assert tokenizer.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_99>"]) == [last, last - 99]


def test_mask_swallows_the_space_before_it():
    tokenizer = train(STORY, architecture="roberta")
    assert tokenizer("red <mask> hat")["input_ids"] == tokenizer("red<mask> hat")["input_ids"]


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
@pytest.mark.parametrize("text", [*ODD, STORY])
def test_round_trip_is_exact(algorithm, text):
    tokenizer = train(STORY, algorithm=algorithm, architecture="llama")
    ids = tokenizer(text.replace("<unk>", ""), add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text.replace("<unk>", "")


def test_nothing_is_truncated():
    tokenizer = train(STORY)
    assert tokenizer.model_max_length > 10**12
    assert tokenizer.decode(tokenizer(STORY * 50)["input_ids"]) == STORY * 50


@pytest.mark.parametrize(
    ("normalizer", "expected"),
    [
        ("none", ["É", "ﬁ"]),
        ("nfkc", ["É", "fi"]),
        ("lowercase", ["é", "ﬁ"]),
        ("lowercase-strip-accents", ["e", "ﬁ"]),
    ],
)
def test_normalizers(normalizer, expected):
    for algorithm in ("bpe", "wordpiece", "unigram"):
        tokenizer = train("É ﬁ fi é e", algorithm=algorithm, normalizer=normalizer, architecture="bert")
        words = tokenizer.decode(tokenizer("É ﬁ", add_special_tokens=False)["input_ids"]).split()
        assert words == expected, algorithm


def test_wordpiece_knows_every_character_of_its_text():
    tokenizer = train("zebra Zoo", algorithm="wordpiece", architecture="bert")
    assert tokenizer.unk_token_id not in tokenizer("Zebra aZ obZ")["input_ids"]
    assert tokenizer.tokenize("q") == ["[UNK]"]
    assert set(tokenizer.all_special_tokens) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}


def test_too_small_a_vocabulary_names_the_least():
    with pytest.raises(ConfigError, match="alone are 259 tokens"):
        train(STORY, vocab_size=258, special_tokens=("<x>",))
    assert len(train(STORY, vocab_size=259, special_tokens=("<x>",))) == 259
    with pytest.raises(ConfigError, match=r"characters of texts alone are 9 tokens"):
        train("ab ab", vocab_size=8, algorithm="wordpiece", architecture="bert")
    assert len(train("ab ab", vocab_size=9, algorithm="wordpiece", architecture="bert")) == 9
    with pytest.raises(ConfigError, match="too small for the characters"):
        train(STORY, vocab_size=262, algorithm="unigram")


def test_the_readme_names_every_architecture():
    rows = (
        Path(__file__)
        .parents[1]
        .joinpath("README.md")
        .read_text(encoding="utf-8")
        .partition("| conventions |")[2]
    )
    named = re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`]+)`", rows.partition("\n\n")[0])))
    assert sorted(set(named) - {"--architecture"}) == sorted(tokenization.FAMILIES)


def test_unknown_architecture_suggests():
    with pytest.raises(ConfigError) as caught:
        train("a", architecture="robrta")
    assert caught.value.hint == "did you mean roberta?"


_PRINT_ALL = """
import sys
from llmctl import tokenization
from llmctl.config import TokenizerTraining
from llmctl.data.readers import Piece
from llmctl.progress import SILENT
class Texts:
    name, num_documents, num_bytes = "texts", 1, len(sys.argv[1])
    def pieces(self, max_chars=0):
        yield Piece(sys.argv[1], True)
for algorithm in ("bpe", "wordpiece", "unigram"):
    config = TokenizerTraining(vocab_size=330, algorithm=algorithm)
    print(tokenization.train(Texts(), config, "gpt2", progress=SILENT).backend_tokenizer.to_str())
"""


def test_same_text_same_tokenizer_in_every_process():
    first, second = (
        subprocess.run(
            [sys.executable, "-c", _PRINT_ALL, STORY], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for _ in range(2)
    )
    assert len(first) == 3
    assert first == second


@pytest.mark.parametrize(
    ("architecture", "algorithm"),
    [("gpt2", "bpe"), ("llama", "bpe"), ("llama", "unigram"), ("gemma", "bpe"),
     ("qwen2", "bpe"), ("qwen3", "bpe"), ("opt", "bpe"), ("bloom", "bpe"), ("mistral", "bpe"), ("phi", "bpe"),
     ("bert", "wordpiece"), ("roberta", "bpe"), ("modernbert", "bpe"), ("t5", "unigram"),
     ("marian", "unigram")],
)  # fmt: skip
def test_loads_the_same_beside_the_models_config(architecture, algorithm, tmp_path):
    """AutoTokenizer picks its class by config.json; some classes rebuild the tokenizer their own way."""
    tokenizer = train(STORY, architecture=architecture, algorithm=algorithm, vocab_size=450)
    tokenizer.save_pretrained(tmp_path)
    AutoConfig.for_model(architecture).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for text in ["A little  fox, 12,345 times.\n\n\tThe end", "日本 É"]:
        assert dict(loaded(text)) == dict(tokenizer(text))
        assert dict(loaded(text, "b")) == dict(tokenizer(text, "b"))
    assert loaded.special_tokens_map == tokenizer.special_tokens_map


def test_qwen_gets_qwens_own_tokenizer(tmp_path):
    from transformers.models.qwen2 import Qwen2Tokenizer

    progress = Notes()
    tokenizer = train(STORY, architecture="qwen2", vocab_size=300, progress=progress)
    assert progress.notes == ["qwen2: text is brought to NFC and cut by Qwen's pattern, digits one by one"]
    tokens = ["<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"]
    assert tokenizer.convert_ids_to_tokens(range(4)) == tokens
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token) == (*tokens[:2], None)
    tokenizer.save_pretrained(tmp_path)
    alone = AutoTokenizer.from_pretrained(tmp_path)
    AutoConfig.for_model("qwen2").save_pretrained(tmp_path)
    beside_a_model = AutoTokenizer.from_pretrained(tmp_path)
    assert type(beside_a_model) is Qwen2Tokenizer
    chat = "<|im_start|>user\nIt's 2024, isn't it?\n\n<|im_end|>\n e\u0301\tx  y<|endoftext|>"
    ids = tokenizer(chat)["input_ids"]
    assert tokenizer.decode(ids) == chat.replace("e\u0301", "é")
    for loaded in (alone, beside_a_model):
        assert loaded(chat)["input_ids"] == ids
        assert loaded.special_tokens_map == tokenizer.special_tokens_map
        assert set(loaded.all_special_ids) == {0, 1, 2, 3}


@pytest.mark.parametrize("options", [{"algorithm": "unigram"}, {"normalizer": "lowercase"}])
def test_what_the_library_would_not_load_for_qwen_is_refused(options):
    with pytest.raises(ConfigError, match="'qwen2' takes byte-level BPE over NFC text, not") as caught:
        train(STORY, architecture="qwen2", **options)
    assert "another --architecture" in caught.value.hint


def test_unigram_learns_from_a_sample_of_a_large_text(monkeypatch):
    monkeypatch.setattr("llmctl.tokenization.algorithms.UNIGRAM_SAMPLE_BYTES", 5_000)
    progress = Notes()
    texts = [f"{STORY[:90]} word{i}" for i in range(500)]
    first = train(*texts, algorithm="unigram", progress=progress)
    assert "drawn with a fixed seed" in progress.notes[0]
    used = int(progress.notes[0].split()[2].replace(",", ""))
    assert 3_000 < used < 7_000
    assert train(*texts, algorithm="unigram").get_vocab() == first.get_vocab()


def test_distinct_words_are_bounded(monkeypatch):
    monkeypatch.setattr(feed, "MAX_DISTINCT_BYTES", 1)
    progress = Notes()
    # the first piece fills the bound; of the second only known words are learnt from, its spacing stays
    stream = feed.Feed(Texts("old words\n\nhere", "old new\n\nhere  newer"), share=1)
    assert list(stream) == ["old words\n\nhere", "old\n\nhere "]
    assert stream.dropped_words == 2
    train("old words", "old new newer", progress=progress)
    assert progress.notes[0] == "to bound the memory, 2 rare words of the text were not learnt from"


def keep_known(text: str, known: set[str]) -> tuple[str, int]:
    """What :meth:`DistinctWords.keep_known` should give, word by word."""
    lines = [line.split(" ") for line in text.split("\n")]
    kept = [[word for word in line if not word or word in known] for line in lines]
    return "\n".join(map(" ".join, kept)), sum(map(len, lines)) - sum(map(len, kept))


def test_unknown_words_are_left_out_as_word_by_word():
    draw = random.Random(0)
    words = ["a", "the", "né", "日本", "x" * 300, "un", "known", "wörter", "new"]
    known = set(words[:5])
    distinct = DistinctWords()
    assert distinct.add(" ".join(words[:5]) + " a a") == sum(len(word.encode()) for word in known)
    assert distinct.add("the a") == 0
    assert distinct.keep_known("") == ("", 0)
    for _ in range(2000):
        text = "".join(draw.choice([*words, *words, " ", " ", "\n"]) + draw.choice([" ", " ", "\n"])
                       for _ in range(draw.randrange(12)))  # fmt: skip
        assert distinct.keep_known(text) == keep_known(text, known), repr(text)


def test_words_are_parted_by_tabs_too():
    distinct = DistinctWords()
    distinct.add("one\ttwo")
    assert distinct.keep_known("one two\tnew one") == ("one two\tone", 1)


def test_many_words_are_told_apart():
    distinct = DistinctWords()
    known, others = (" ".join(f"word{i}" for i in range(n, n + 100_000)) for n in (0, 100_000))
    distinct.add(known)
    assert distinct.keep_known(known) == (known, 0)
    # the filter's own bound: (2 * 100,000 / 2^25)^2 of the others pass for known, some 4
    assert distinct.keep_known(others)[1] > 99_950


def test_progress_counts_every_byte_in_the_calling_thread():
    class Bars(Silent):
        def bar(self, description, total, unit):
            bars.append([description, total, 0])

            class Bar:
                def __enter__(self):
                    return self.advance

                def __exit__(self, *error):
                    return None

                def advance(self, count):
                    assert threading.current_thread() is threading.main_thread()
                    bars[-1][2] += count

            return Bar()

    bars: list[list] = []
    train("é" * 10, "abc", progress=Bars())
    assert bars[0] == ["reading text", 23, 23]


def test_an_error_in_the_text_comes_through():
    class Broken(Texts):
        def pieces(self, max_chars: int = 20_000) -> Iterator[Piece]:
            yield Piece("a", True)
            raise ConfigError("line 7 is broken")

    with pytest.raises(ConfigError, match="line 7"):
        tokenization.train(Broken("a"), TokenizerTraining(), "gpt2", progress=SILENT)
