"""What a size comes to in each family of models: the words of its config, and what those words do not tell, as data."""

from collections.abc import Mapping
from typing import Any

from llmctl.config import ModelShape
from llmctl.errors import ConfigError

# model_size -> hidden_size, num_hidden_layers, num_attention_heads; the feed-forward width is the family's own
# multiple of hidden_size. 2M, 11M and 85M parameters beside the embeddings, for gpt2 and llama alike.
SIZES = {"tiny": (192, 4, 6), "small": (384, 6, 6), "base": (768, 12, 12)}
DEFAULT_SIZE = "tiny"

# What a size is called where a family does not call it as we do; the first that its config has is meant.
_WORDS = {
    "num_attention_heads": ("num_attention_heads", "num_heads"),
    "intermediate_size": (
        "intermediate_size", "n_inner", "ffn_dim", "hidden_dim", "ffn_hidden_size", "d_inner", "dff",
    ),
}  # fmt: skip
# What a size is called in the families of encoder-decoders (BART's names, T5's); all that a config has are meant.
_SEQ2SEQ_WORDS = {
    "hidden_size": ("d_model",),
    "num_hidden_layers": ("encoder_layers", "decoder_layers", "num_layers", "num_decoder_layers"),
    "num_attention_heads": ("encoder_attention_heads", "decoder_attention_heads", "num_heads"),
    "intermediate_size": ("encoder_ffn_dim", "decoder_ffn_dim", "d_ff"),
    "head_dim": ("d_kv",),
    "vocab_size": ("vocab_size", "decoder_vocab_size"),
    "max_position_embeddings": ("max_position_embeddings",),
}

# A gated feed-forward layer has three matrices: 8/3 keeps its size that of a plain one at 4 (arXiv:2002.05202).
_PLAIN, _GATED = 4, 8 / 3
# Families whose feed-forward layer is not what their other words suggest, which is gated where keys and values may
# have heads of their own. Mamba's width is that of its one layer; RecurrentGemma halves the width that it is given.
_FEED_FORWARD = {
    "phi": _PLAIN,
    "starcoder2": _PLAIN,
    "modernbert": _GATED,
    "recurrent_gemma": 2 * _GATED,
    "mamba": 2,
    "falcon_mamba": 2,
}
# A layer of Mamba stands for attention or feed-forward, not for both: it takes two (arXiv:2312.00752).
_LAYERS = {"mamba": 2, "mamba2": 2, "falcon_mamba": 2}
# RWKV's first weights are spaced over its layers; RecurrentGemma writes only where one, its third, attends.
_FEWEST_LAYERS = {"rwkv": 2, "recurrent_gemma": 3}
_HEADLESS = frozenset(["mamba", "falcon_mamba", "rwkv"])

# Families that normalise after each layer's sum, as the first Transformer did: their gradients bear less of a learning
# rate than those of the families that normalise before (arXiv:2002.04745).
POST_NORM = frozenset(
    [
        *(
            "albert",
            "bart",
            "bert",
            "camembert",
            "convbert",
            "deberta",
            "deberta-v2",
            "distilbert",
            "electra",
        ),
        *("ernie", "longformer", "marian", "mobilebert", "roberta", "squeezebert", "xlm-roberta"),
    ]
)

# What makes a family what it is, where its config's defaults say something else.
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    # their published models scale embeddings by sqrt(hidden_size): beside sinusoidal positions of size 1, new ones of
    # size 0.02 would hardly be seen
    "marian": {"scale_embedding": True},
    "mbart": {"scale_embedding": True},
    "pegasus": {"scale_embedding": True},
    "mt5": {"tie_word_embeddings": False},  # unlike T5 it does not scale what goes into a tied output layer
    "rwkv": {"rescale_every": 0},  # meant for float16: it would halve the weights in place
    "mamba2": {"n_groups": 1},  # as published; 8 divide few numbers of heads
    "deberta": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "position_buckets": 256,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
    },
}


def stack_settings(shape: ModelShape, default: Any, vocab_size: int, positions: int) -> dict[str, Any]:
    """The settings of a single stack of layers, under the names that its family gives them.

    Args:
        shape: what is ``None`` comes from ``model_size``.
        default: the family's config as it is by itself.
        vocab_size: number of embeddings.
        positions: tokens in the longest text; left out where the family has no bound.

    Raises:
        ConfigError: a size is asked for that the family does not have.
    """
    family = default.model_type
    hidden, layers, heads = _sizes(shape, family)
    gated = _has(default, "num_key_value_heads")
    values = {
        "vocab_size": vocab_size,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": shape.num_key_value_heads or heads,
        "intermediate_size": shape.intermediate_size or _feed_forward(family, hidden, gated=gated),
        "max_position_embeddings": positions,
    }
    settings: dict[str, Any] = {}
    for size, value in values.items():
        word = next((word for word in _WORDS.get(size, (size,)) if _has(default, word)), None)
        if word:
            settings[word] = value
        elif size in ("hidden_size", "num_hidden_layers"):
            raise ConfigError(f"architecture {family!r} cannot be made by shape")
        elif getattr(shape, size, None):
            raise _no_such_setting(size, family)
    settings |= _parts_of_width(default, hidden, heads) | _layer_kinds(default, layers)
    settings |= {
        name: shape.dropout or 0.0
        for name, value in vars(default).items()
        if name.endswith(("dropout", "pdrop", "dropout_prob")) and _is_number(value)
    }
    return {**settings, **_SETTINGS.get(family, {})}


def seq2seq_settings(shape: ModelShape, default: Any, vocab_size: int, positions: int) -> dict[str, Any]:
    """As :func:`stack_settings`, of an encoder and a decoder that are alike.

    A size has as many layers in all as one of a single stack. Dropout stays the family's own, where it has any.
    """
    family = default.model_type
    if not hasattr(default, "d_model"):
        raise ConfigError(
            f"architecture {family!r} cannot be made by shape", hint="for example: t5, bart, marian, pegasus"
        )
    if shape.num_key_value_heads:
        raise _no_such_setting("num_key_value_heads", family)
    hidden, layers, heads = _sizes(shape, family)
    gated = getattr(default, "is_gated_act", False)
    values = {
        "hidden_size": hidden,
        "num_hidden_layers": shape.num_hidden_layers or max(1, layers // 2),
        "num_attention_heads": heads,
        "intermediate_size": shape.intermediate_size or _feed_forward(family, hidden, gated=gated),
        "head_dim": hidden // heads,
        "vocab_size": vocab_size,
        "max_position_embeddings": positions,
    }
    settings: dict[str, Any] = {
        word: values[size]
        for size, words in _SEQ2SEQ_WORDS.items()
        for word in words
        if word in vars(default)
    }
    if shape.dropout is not None:
        settings |= {
            name: shape.dropout
            for name, value in vars(default).items()
            if name.endswith(("dropout", "dropout_rate")) and value
        }
    return {**settings, **_SETTINGS.get(family, {})}


def check_shape(shape: ModelShape, architecture: str, *, block_size: int) -> None:
    """Find sizes that cannot fit, without importing the libraries that would only say so later.

    Raises:
        ConfigError: heads that do not divide the width, or that the family does not have; too few layers or positions.
    """
    hidden, layers, heads = _sizes(shape, architecture)
    if layers < (fewest := _FEWEST_LAYERS.get(architecture, 1)):
        raise ConfigError(
            f"architecture {architecture!r} has {fewest} layers at least, not {layers}",
            hint=f"--num-hidden-layers {fewest}",
        )
    if architecture in _HEADLESS:
        if shape.num_attention_heads:
            raise _no_such_setting("num_attention_heads", architecture)
    elif hidden % heads:
        near = min((n for n in range(1, hidden + 1) if hidden % n == 0), key=lambda n: abs(n - heads))
        raise ConfigError(
            f"hidden_size {hidden} is not divided by num_attention_heads {heads}",
            hint=f"--num-attention-heads {near} would",
        )
    if shape.num_key_value_heads and heads % shape.num_key_value_heads:
        raise ConfigError(
            f"num_attention_heads {heads} is not divided by num_key_value_heads {shape.num_key_value_heads}"
        )
    if shape.max_position_embeddings and shape.max_position_embeddings < block_size:
        raise ConfigError(
            f"block_size {block_size} is beyond max_position_embeddings {shape.max_position_embeddings}",
            hint=f"--block-size {shape.max_position_embeddings}",
        )


def _sizes(shape: ModelShape, family: str) -> tuple[int, int, int]:
    """Width, layers and heads."""
    hidden, layers, heads = SIZES[shape.model_size or DEFAULT_SIZE]
    return (
        shape.hidden_size or hidden,
        shape.num_hidden_layers or layers * _LAYERS.get(family, 1),
        shape.num_attention_heads or heads,
    )


def _has(default: Any, word: str) -> bool:
    """Whether a config has a setting, also where it calls it otherwise; a property is none."""
    return default.attribute_map.get(word, word) in vars(default)


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def _feed_forward(family: str, hidden: int, *, gated: bool) -> int:
    multiple = _FEED_FORWARD.get(family, _GATED if gated else _PLAIN)
    return int(hidden * multiple) if multiple == int(multiple) else _round_up(hidden * multiple, 32)


def _parts_of_width(default: Any, hidden: int, heads: int) -> dict[str, int]:
    """The sizes that follow from the width."""
    found = {}
    if "head_dim" in vars(default):
        found["head_dim"] = hidden * getattr(default, "expand", 1) // heads
    if "query_pre_attn_scalar" in vars(default):  # Gemma divides by its root
        found["query_pre_attn_scalar"] = hidden // heads
    if "rotary_dim" in vars(default):
        found["rotary_dim"] = min(default.rotary_dim, hidden // heads)
    if width := vars(default).get("embedding_size"):  # ALBERT's and ELECTRA's are factorised, 128 wide
        found["embedding_size"] = hidden if width == default.hidden_size else min(width, hidden)
    return found


def _layer_kinds(default: Any, layers: int) -> dict[str, Any]:
    """GPT-Neo lists what its layers are: every other one looks back a little only."""
    if "attention_types" not in vars(default):
        return {}
    pairs, odd = divmod(layers, 2)
    return {"attention_types": [[["global", "local"], pairs], [["global"], odd]]}


def _round_up(value: float, multiple: int) -> int:
    return -(-int(value) // multiple) * multiple


def _no_such_setting(size: str, family: str) -> ConfigError:
    return ConfigError(f"--{size.replace('_', '-')}: architecture {family!r} has no such setting")
