"""The three algorithms, from a stream of text to a bare ``tokenizers.Tokenizer``."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from llmctl.config import TokenizerTraining
from llmctl.data.documents import Documents
from llmctl.errors import ConfigError
from llmctl.progress import Progress
from llmctl.tokenization.feed import learn, num_bytes

# Unigram training is more than five times slower than BPE: larger texts are sampled.
UNIGRAM_SAMPLE_BYTES = 16_000_000
_BYTE_SCORE = -1000.0  # far below any learnt piece: a byte token is never chosen where a piece fits
_SPACE = "▁"


@dataclass(frozen=True)
class Plan:
    """What is to be learnt.

    Attributes:
        config: algorithm, normaliser, least frequency.
        special: the special tokens that come first, in the order of their ids.
        unk: the one of them that stands for unknown characters; byte-level BPE needs none.
        size: ids to fill, special tokens included, what is added at the end not.
        splits_as_qwen: words are cut by Qwen's pattern, not GPT-2's.
    """

    config: TokenizerTraining
    special: list[str]
    unk: str
    size: int
    splits_as_qwen: bool = False


def check_size(vocab_size: int, least: int, what: str) -> None:
    """Raise a ConfigError if ``vocab_size`` is below ``least``, the number of tokens that ``what`` needs."""
    if vocab_size < least:
        raise ConfigError(
            f"vocab_size {vocab_size} is too small: {what} alone are {least} tokens",
            hint=f"--vocab-size {least} is the least; 8192 suits a small model",
        )


def train_bpe(documents: Documents, plan: Plan, progress: Progress) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = _normalizer(plan.config.normalizer)
    tokenizer.pre_tokenizer = (
        _qwen_splitting() if plan.splits_as_qwen else pre_tokenizers.ByteLevel(add_prefix_space=False)
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=plan.size,
        min_frequency=plan.config.min_frequency,
        special_tokens=plan.special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learn(tokenizer, trainer, documents, progress)
    return tokenizer


def _qwen_splitting() -> Any:
    from tokenizers import Regex, pre_tokenizers
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    cut = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated")
    return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def train_wordpiece(documents: Documents, plan: Plan, progress: Progress) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=plan.unk))
    tokenizer.normalizer = _bert_normalizer(plan.config.normalizer)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    initial, continuing = _wordpiece_alphabet(documents, tokenizer, progress)
    check_size(
        plan.config.vocab_size,
        len({*plan.special, *initial, *continuing}) + plan.config.vocab_size - plan.size,
        f"the special tokens and the characters of {documents.name}",
    )
    # The library would number the continuing characters in the random order of a hash map, and ties between
    # merges are broken by number: handing them over sorted makes the vocabulary reproducible.
    trainer = trainers.WordPieceTrainer(
        vocab_size=plan.size,
        min_frequency=plan.config.min_frequency,
        special_tokens=[*plan.special, *continuing],
        initial_alphabet=initial,
        show_progress=False,
    )
    vocabulary = learn(tokenizer, trainer, documents, progress)["vocab"]
    learnt = Tokenizer(models.WordPiece(vocabulary, unk_token=plan.unk))  # where they are no special tokens
    learnt.normalizer, learnt.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    learnt.decoder = tokenizer.decoder
    return learnt


def _wordpiece_alphabet(
    documents: Documents, tokenizer: Any, progress: Progress
) -> tuple[list[str], list[str]]:
    """Characters that may start a word, and ``##`` forms of those that may go on one, each sorted."""
    characters: set[str] = set()
    with progress.bar("reading the alphabet", documents.num_bytes, "bytes") as advance:
        for piece in documents.pieces():
            characters.update(piece.text)
            advance(num_bytes(piece.text))
    kept = {c for raw in characters for c in tokenizer.normalizer.normalize_str(raw) if not c.isspace()}
    split = tokenizer.pre_tokenizer.pre_tokenize_str
    return sorted(kept), sorted("##" + c for c in kept if len(split("a" + c)) == 1)


def train_unigram(documents: Documents, plan: Plan, progress: Progress) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = _normalizer(plan.config.normalizer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\n+"), "isolated"),
            pre_tokenizers.Metaspace(_SPACE, prepend_scheme="never"),
        ]
    )
    room = plan.size - len(plan.special) - 256
    trainer = trainers.UnigramTrainer(
        vocab_size=room + 1,
        special_tokens=[plan.unk],
        unk_token=plan.unk,
        initial_alphabet=sorted(set("<0x>0123456789ABCDEF")),  # so that a text's "<0x41>" is no byte token
        show_progress=False,
    )
    try:
        learnt = learn(tokenizer, trainer, documents, progress, sample_bytes=UNIGRAM_SAMPLE_BYTES)["vocab"]
    except Exception as error:  # the library has no kind of its own
        if "not large enough to contain all chars" not in str(error):
            raise
        raise ConfigError(
            f"vocab_size {plan.config.vocab_size} is too small for the characters of {documents.name}",
            hint="ask for more, or for --algorithm bpe, which covers any text with 256 bytes",
        ) from None
    pieces = _in_order((piece, score) for piece, score in learnt if piece not in plan.special)[:room]
    vocabulary = [(token, 0.0) for token in plan.special]
    vocabulary += [(f"<0x{byte:02X}>", _BYTE_SCORE) for byte in range(256)] + pieces
    tokenizer.model = models.Unigram(vocabulary, plan.special.index(plan.unk), byte_fallback=True)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def _in_order(pieces: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Sort Unigram pieces by score, the same in every process although the library sums over hash maps.

    Sums differ in their last digits, so scores are rounded. Characters that did not earn a place get the
    lowest score plus 0.0001 times their place in a hash map: that part is taken off again.
    """
    scores = {piece: round(score, 6) for piece, score in pieces}
    low = min(scores.values(), default=0.0)
    unearned = low + 1e-4 * sum(len(piece) == 1 for piece in scores)
    levelled = {p: low if len(p) == 1 and score <= unearned else score for p, score in scores.items()}
    return sorted(levelled.items(), key=lambda item: (-item[1], item[0]))


def _normalizer(name: str) -> Any:
    from tokenizers import normalizers

    steps: dict[str, list[Any]] = {
        "none": [],
        "nfc": [normalizers.NFC()],
        "nfkc": [normalizers.NFKC()],
        "lowercase": [normalizers.Lowercase()],
        # NFC at the end, for what is composed without an accent: Hangul
        "lowercase-strip-accents": [
            normalizers.Lowercase(),
            normalizers.NFD(),
            normalizers.StripAccents(),
            normalizers.NFC(),
        ],
    }
    return normalizers.Sequence(steps[name]) if steps[name] else None


def _bert_normalizer(name: str) -> Any:
    """BERT's cleaning: control characters go, white space becomes spaces, Chinese characters stand alone."""
    from tokenizers import normalizers

    bert = normalizers.BertNormalizer(
        lowercase=name.startswith("lowercase"), strip_accents=name == "lowercase-strip-accents"
    )
    return normalizers.Sequence([_normalizer(name), bert]) if name in ("nfc", "nfkc") else bert
