"""Tiny models with random weights, and tokenizers of bytes and of words: all tests take theirs here."""

import string
from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

POSITIONS = 64
VOCABULARY = 258  # 256 bytes, <s>, </s>
BOS, EOS = 256, 257

torch.set_num_threads(1)  # these models are too small for two


def byte_tokenizer(*, adds_bos: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level, without merges: é is two tokens."""
    vocabulary = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary |= {"<s>": BOS, "</s>": EOS}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", BOS)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def gpt2(**changes: Any) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    settings = {
        "n_layer": 2, "n_embd": 32, "n_head": 2, "n_positions": POSITIONS, "vocab_size": VOCABULARY,
        "bos_token_id": BOS, "eos_token_id": EOS, "initializer_range": 0.4,
    }  # fmt: skip
    return GPT2LMHeadModel(GPT2Config(**(settings | changes))).eval()


def llama(**changes: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    settings = {
        "num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": POSITIONS, "vocab_size": VOCABULARY,
        "bos_token_id": BOS, "eos_token_id": EOS, "initializer_range": 0.4,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**(settings | changes))).eval()


def word_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """BERT's WordPiece: each of ``words`` is a token, any other is spelt."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*special, *letters, *words]))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{token.strip('[]').lower()}_token": token for token in special},
    )


def masked_tokenizer() -> PreTrainedTokenizerFast:
    """Sixty tokens: [PAD] 0, [UNK], [CLS], [SEP], [MASK] 4, words of two letters, and the full stop."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [a + b for a in "abcdefgh" for b in "aeiouyw"][:54]
    vocabulary = {word: number for number, word in enumerate([*special, *words, "."])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    roles = {f"{name.strip('[]').lower()}_token": name for name in special}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles)


def bert(
    tokenizer: Any, head: type[Any] = BertForSequenceClassification, *, seed: int = 0, **changes: Any
) -> Any:
    """A BERT with a head; ``head`` may be ``BertModel``, which has none."""
    torch.manual_seed(seed)
    settings = {
        "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64,
        "max_position_embeddings": POSITIONS, "vocab_size": len(tokenizer), "initializer_range": 0.2,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    return head(BertConfig(**(settings | changes))).eval()
