"""Training a tokenizer: the algorithm, and what the architecture family wants around the text.

Three algorithms of the ``tokenizers`` library:

- ``bpe``: byte-level BPE as GPT-2 has it (no prefix space, all 256 bytes): any text comes back exactly. Qwen's
  models get Qwen's splitting and NFC.
- ``wordpiece``: BERT's; text is cleaned and split at white space and punctuation, so spaces are lost.
- ``unigram``: SentencePiece's, over words with their leading space, line breaks being words of their own,
  and the 256 bytes as a fallback: any text comes back exactly, but for U+2581, which stands for a space.

Token ids are reproducible: the same text and settings give the same tokenizer in every process.
"""

from dataclasses import replace
from typing import Any

from llmctl.config import TokenizerTraining
from llmctl.data.documents import Documents
from llmctl.errors import ConfigError
from llmctl.progress import Progress
from llmctl.tokenization.algorithms import Plan, check_size, train_bpe, train_unigram, train_wordpiece
from llmctl.tokenization.families import FAMILIES, Family, family_of

__all__ = ["FAMILIES", "Family", "check", "family_of", "train"]

_UNK = "<unk>"  # where the family has none of its own and the algorithm needs one


def check(config: TokenizerTraining, architecture: str) -> None:
    """Refuse, before any text is read, what cannot be trained.

    Raises:
        ConfigError: unknown architecture, ``vocab_size`` cannot hold the 256 bytes and the special tokens, or
            the library would not load such a tokenizer for this architecture.
    """
    family = family_of(architecture)
    if family.splits_as_qwen:
        _check_qwen(config, architecture)
    least = len(_special_tokens(config, family)) + family.sentinels
    least += {"bpe": 256, "wordpiece": 1, "unigram": 257}[config.algorithm]
    check_size(config.vocab_size, least, "the bytes and the special tokens")


def train(documents: Documents, config: TokenizerTraining, architecture: str, *, progress: Progress) -> Any:
    """Train a tokenizer on a stream of text, in bounded memory.

    ``vocab_size`` counts everything; the vocabulary is smaller where the text gives no more.

    Args:
        documents: the text; it is read once, for WordPiece twice.
        config: algorithm, size and further special tokens.
        architecture: a ``model_type``, whose family decides on special tokens and post-processor.

    Returns:
        A ``PreTrainedTokenizerFast`` that neither truncates (no ``model_max_length``) nor pads by itself.

    Raises:
        ConfigError: see :func:`check`; or ``vocab_size`` cannot hold the characters of the text.
    """
    check(config, architecture)
    family = family_of(architecture)
    if family.splits_as_qwen:
        config = replace(config, normalizer="nfc")
        progress.note(f"{architecture}: text is brought to NFC and cut by Qwen's pattern, digits one by one")
    plan = Plan(
        config,
        _special_tokens(config, family),
        family.roles.get("unk_token", _UNK),
        config.vocab_size - family.sentinels,
        family.splits_as_qwen,
    )
    learn = {"bpe": train_bpe, "wordpiece": train_wordpiece, "unigram": train_unigram}[config.algorithm]
    tokenizer = _dress(learn(documents, plan, progress), family, plan)
    if len(tokenizer) < config.vocab_size:
        pairs = f"pairs that occur {config.min_frequency} times"
        more = "pieces to learn" if config.algorithm == "unigram" else pairs
        progress.note(
            f"vocabulary has {len(tokenizer)} tokens, not {config.vocab_size}: the text has no more {more}"
        )
    return tokenizer


def _check_qwen(config: TokenizerTraining, architecture: str) -> None:
    why = f"architecture {architecture!r} takes byte-level BPE over NFC text"
    if config.algorithm != "bpe":
        raise ConfigError(f"{why}, not {config.algorithm}", hint="--algorithm bpe, or another --architecture")
    if config.normalizer not in ("none", "nfc"):
        raise ConfigError(
            f"{why}, not --normalizer {config.normalizer}",
            hint="leave it out, or choose another --architecture",
        )


def _special_tokens(config: TokenizerTraining, family: Family) -> list[str]:
    """The family's tokens and the user's, in the order of their ids, each once."""
    tokens = [*family.roles.values(), *family.further]
    if config.algorithm != "bpe" and "unk_token" not in family.roles:
        tokens.append(_UNK)
    return list(dict.fromkeys([*tokens, *config.special_tokens]))


def _dress(tokenizer: Any, family: Family, plan: Plan) -> Any:
    """Add special tokens, post-processor and the names of the roles."""
    from tokenizers import AddedToken
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    sentinels = [f"<extra_id_{n}>" for n in reversed(range(family.sentinels))]
    mask = family.roles.get("mask_token")
    added = {
        token: AddedToken(
            token, special=True, normalized=False, lstrip=family.mask_takes_space and token == mask
        )
        for token in [*plan.special, *sentinels]
    }
    tokenizer.add_special_tokens(list(added.values()))
    named = [(token, tokenizer.token_to_id(token)) for token in family.roles.values()]
    tokenizer.post_processor = TemplateProcessing(
        single=family.single, pair=family.pair, special_tokens=list(dict(named).items())
    )
    roles = dict(family.roles)
    if plan.config.algorithm != "bpe":
        roles.setdefault("unk_token", _UNK)
    extra = [token for token in plan.special if token not in roles.values()] + sentinels[::-1]
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=inputs if family.token_types else [inputs[0], inputs[2]],
        clean_up_tokenization_spaces=False,
        extra_special_tokens=[added[token] for token in extra],
        **{role: added[token] for role, token in roles.items()},
    )
