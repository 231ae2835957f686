"""Tokenizers and models: new ones by shape, or loaded from wherever they live.

A *source* is a run (name or path), a directory, a ``.gguf`` file, ``builtin:NAME`` or a Hub id. This is the only
place that knows where weights live. Weights are read from safetensors or GGUF alone, and no code that comes
with a model is ever run.
"""

from llmctl.models.checks import check_causal, check_complete, check_vocabulary, describe
from llmctl.models.guard import check_sizes
from llmctl.models.loading import (
    LoadedModel,
    for_training,
    load_adapted,
    load_causal_lm,
    load_config,
    load_for_training,
    load_tokenizer,
    load_weights,
    outline,
    positions_of,
)
from llmctl.models.making import extend_vocabulary, new_model, save
from llmctl.models.sources import Source, find_source, hide_bars, plain_config

__all__ = [
    "LoadedModel",
    "Source",
    "check_causal",
    "check_complete",
    "check_sizes",
    "check_vocabulary",
    "describe",
    "extend_vocabulary",
    "find_source",
    "for_training",
    "hide_bars",
    "load_adapted",
    "load_causal_lm",
    "load_config",
    "load_for_training",
    "load_tokenizer",
    "load_weights",
    "new_model",
    "outline",
    "plain_config",
    "positions_of",
    "save",
]
