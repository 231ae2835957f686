"""Tiny checkpoints of the families that methods are tried on, saved to disk as a base model is."""

from pathlib import Path
from typing import Any

import torch
import transformers

from llmctl import methods
from llmctl.config import FinetuneConfig
from llmctl.progress import SILENT
from tests.tiny import byte_tokenizer

_SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_ENCODER_DECODER = {
    f"{side}_{name}": value
    for side in ("encoder", "decoder")
    for name, value in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 64))
} | {"d_model": 32, "max_position_embeddings": 64}
_FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {**_SHAPE, "max_position_embeddings": 64},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "llama": {**_SHAPE, "num_key_value_heads": 1},
    "t5": {
        "d_model": 32,
        "d_kv": 16,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 2,
        "decoder_start_token_id": 0,
    },
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2},
    "marian": {**_ENCODER_DECODER, "decoder_start_token_id": 0},
    "pegasus": {**_ENCODER_DECODER, "decoder_start_token_id": 0},
    "roformer": {**_SHAPE, "max_position_embeddings": 64},
}
HEADS = {
    "classification": "AutoModelForSequenceClassification",
    "ner": "AutoModelForTokenClassification",
    "qa": "AutoModelForQuestionAnswering",
    "translation": "AutoModelForSeq2SeqLM",
    "chat": "AutoModelForCausalLM",
}


def checkpoint(folder: Path, family: str, kind: str, **settings: Any) -> Path:
    """Save a tiny model with random weights, its head among them, and a tokenizer of bytes."""
    torch.manual_seed(0)
    shape = {**_FAMILIES[family], "vocab_size": 258, "eos_token_id": 257, "pad_token_id": 0, **settings}
    config = transformers.AutoConfig.for_model(family, **shape)
    getattr(transformers, HEADS[kind]).from_config(config).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def load(folder: Path, kind: str) -> Any:
    return getattr(transformers, HEADS[kind]).from_pretrained(folder)


def learnt(folder: Path, kind: str, method: str, **settings: Any) -> Any:
    """The checkpoint with a method applied, and with what may learn moved somewhere by chance."""
    config = FinetuneConfig(method=method, num_virtual_tokens=4, **settings)  # type: ignore[arg-type]
    model = methods.apply(load(folder, kind), config, kind=kind, progress=SILENT)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()
