"""Tiny models with random weights, and a tokenizer in which every byte is a token."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
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


@pytest.fixture(params=[gpt2, llama], ids=["gpt2", "llama"])
def model(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer()


@pytest.fixture
def make_documents() -> Callable[..., Any]:
    """Documents of given lengths in random tokens, shaped like ``llmctl.data.blocks.TokenizedDocuments``."""

    def make(lengths: list[int], *, prefix: bool = False, suffix: bool = True, seed: int = 0) -> Any:
        draw = np.random.default_rng(seed)
        texts = [draw.integers(0, 256, length) for length in lengths]
        framed = [[*([BOS] * prefix), *text, *([EOS] * suffix)] for text in texts]
        return SimpleNamespace(
            tokens=np.concatenate(framed).astype(np.uint16),
            ends=np.cumsum([len(document) for document in framed]),
            num_bytes=np.array(lengths) * 3,
            num_words=np.maximum(1, np.array(lengths) // 2),
            prefix_length=int(prefix),
            suffix_length=int(suffix),
        )

    return make
