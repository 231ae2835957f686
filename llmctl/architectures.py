"""New models by architecture and shape: ``AutoConfig`` with sizes that fit each other and this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmctl.config import ModelShape
from llmctl.errors import ConfigError, LlmctlError
from llmctl.hub import first_line
from llmctl.limits import table_of_positions
from llmctl.purposes import check_architecture

# model_size -> hidden_size, num_hidden_layers, num_attention_heads; the feed-forward width is the family's own
# multiple of hidden_size. 2M, 11M and 85M parameters beside the embeddings, for gpt2 and llama alike.
SIZES = {"tiny": (192, 4, 6), "small": (384, 6, 6), "base": (768, 12, 12)}
DEFAULT_ARCHITECTURE = "llama"
# objective of pretraining -> the architecture that is made where none is asked for
DEFAULT_ARCHITECTURES = {
    "clm": DEFAULT_ARCHITECTURE,
    "rclm": DEFAULT_ARCHITECTURE,
    "mlm": "bert",
    "mlm+nsp": "bert",
    "mlm+sop": "albert",
    "seq2seq": "t5",
}
DEFAULT_SIZE = "tiny"
# A gated feed-forward layer has three matrices: 8/3 keeps its size that of a plain one at 4 (arXiv:2002.05202).
_GATED_MULTIPLE = 8 / 3
TRAINING_BYTES_PER_PARAMETER = 16  # fp32 weight, gradient and Adam's two moments

# What a size is called in a single stack -> what the encoder-decoder families call it (BART's names, T5's).
_SEQ2SEQ_NAMES = {
    "hidden_size": ("d_model",),
    "num_hidden_layers": ("encoder_layers", "decoder_layers", "num_layers", "num_decoder_layers"),
    "num_attention_heads": ("encoder_attention_heads", "decoder_attention_heads", "num_heads"),
    "intermediate_size": ("encoder_ffn_dim", "decoder_ffn_dim", "d_ff"),
    "head_dim": ("d_kv",),
    "vocab_size": ("vocab_size", "decoder_vocab_size"),
    "max_position_embeddings": ("max_position_embeddings",),
}
# Their published models scale embeddings by sqrt(hidden_size), their configs by default do not: beside sinusoidal
# positions of size 1, new embeddings of size 0.02 would hardly be seen.
_SCALED_EMBEDDINGS = ("marian", "mbart", "pegasus")


def new_config(
    shape: ModelShape,
    tokenizer: Any | None,
    *,
    vocab_size: int,
    block_size: int,
    model_class: str = "AutoModelForCausalLM",
) -> Any:
    """The ``PretrainedConfig`` of a new model.

    Args:
        shape: architecture and sizes; what is ``None`` comes from ``model_size``.
        tokenizer: gives the ids of the special tokens; ``None`` will do to count parameters.
        vocab_size: number of embeddings.
        block_size: longest text in tokens; the number of positions unless ``shape`` gives one.
        model_class: name of the ``transformers`` Auto class that the model will be of. For an encoder-decoder
            (``AutoModelForSeq2SeqLM``) ``num_hidden_layers`` counts those of each side.

    Raises:
        ConfigError: unknown architecture, one without such models, or sizes that it refuses.
    """
    from transformers import AutoConfig

    architecture = shape.architecture or DEFAULT_ARCHITECTURE
    check_architecture(architecture, model_class)
    default = AutoConfig.for_model(architecture)
    ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id", None) for role in ("bos", "eos", "pad")}
    sizes = _seq2seq_settings if model_class == "AutoModelForSeq2SeqLM" else _stack_settings
    with shape_errors(architecture):
        settings = sizes(shape, default, vocab_size, shape.max_position_embeddings or block_size)
        if model_class == "AutoModelForSeq2SeqLM" and tokenizer is not None:
            settings |= _decoding_ids(default, ids)
        if positions := settings.get("max_position_embeddings"):
            settings["max_position_embeddings"] = table_of_positions(
                architecture, positions, ids["pad_token_id"]
            )
        return AutoConfig.for_model(architecture, **{"tie_word_embeddings": True} | ids | settings)


def _stack_settings(shape: ModelShape, default: Any, vocab_size: int, positions: int) -> dict[str, Any]:
    """The sizes of a single stack of layers, under the names that its family gives them."""
    hidden, layers, heads = SIZES[shape.model_size or DEFAULT_SIZE]
    hidden = shape.hidden_size or hidden
    settings: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": hidden,
        "num_hidden_layers": shape.num_hidden_layers or layers,
        "num_attention_heads": shape.num_attention_heads or heads,
        "max_position_embeddings": positions,
    }
    gated = hasattr(default, "num_key_value_heads")
    for name in ("intermediate_size", "n_inner", "ffn_dim"):
        if hasattr(default, name):
            settings[name] = _feed_forward(shape, hidden, gated=gated)
            break
    if gated:
        settings["num_key_value_heads"] = shape.num_key_value_heads or settings["num_attention_heads"]
    else:
        _no_key_value_heads(shape, default)
    if "head_dim" in vars(default):
        settings["head_dim"] = hidden // settings["num_attention_heads"]
    if "attention_types" in vars(default):  # GPT-Neo lists them: every other layer looks back a little only
        pairs, odd = divmod(settings["num_hidden_layers"], 2)
        settings["attention_types"] = [[["global", "local"], pairs], [["global"], odd]]
    for name in vars(default):
        if name.endswith(("dropout", "pdrop", "dropout_prob")) and isinstance(
            getattr(default, name), float | int
        ):
            settings[name] = shape.dropout or 0.0
    return settings


def _seq2seq_settings(shape: ModelShape, default: Any, vocab_size: int, positions: int) -> dict[str, Any]:
    """The sizes of an encoder and a decoder that are alike, under the names that their family gives them.

    A size has as many layers in all as one of a single stack. Dropout stays the family's own, where it has any.
    """
    if not hasattr(default, "d_model"):
        raise ConfigError(
            f"architecture {default.model_type!r} cannot be made by shape",
            hint="for example: t5, bart, marian, pegasus",
        )
    _no_key_value_heads(shape, default)
    hidden, layers, heads = SIZES[shape.model_size or DEFAULT_SIZE]
    hidden, heads = shape.hidden_size or hidden, shape.num_attention_heads or heads
    values = {
        "hidden_size": hidden,
        "num_hidden_layers": shape.num_hidden_layers or max(1, layers // 2),
        "num_attention_heads": heads,
        "intermediate_size": _feed_forward(shape, hidden, gated=getattr(default, "is_gated_act", False)),
        "head_dim": hidden // heads,
        "vocab_size": vocab_size,
        "max_position_embeddings": positions,
    }
    settings: dict[str, Any] = {
        name: values[role]
        for role, names in _SEQ2SEQ_NAMES.items()
        for name in names
        if name in vars(default)
    }
    if default.model_type in _SCALED_EMBEDDINGS:
        settings["scale_embedding"] = True
    if default.model_type == "mt5":  # unlike T5 it does not scale what goes into a tied output layer
        settings["tie_word_embeddings"] = False
    if shape.dropout is not None:
        settings |= {
            name: shape.dropout
            for name, value in vars(default).items()
            if name.endswith(("dropout", "dropout_rate")) and value
        }
    return settings


def _decoding_ids(default: Any, ids: dict[str, int | None]) -> dict[str, int | None]:
    """The token that decoding starts from and the one that ends it, as the family has them.

    T5, Marian and Pegasus start from the padding, BART and mBART from the end of a text.
    """
    start = getattr(default, "decoder_start_token_id", None)
    roles = [role for role in ("eos", "bos", "pad") if start == getattr(default, f"{role}_token_id", None)]
    ends = "forced_eos_token_id" in vars(default)
    role = roles[0] if start is not None and roles else "eos" if ends else "pad"
    found = {"decoder_start_token_id": ids[f"{role}_token_id"]}
    return found | {"forced_eos_token_id": ids["eos_token_id"]} if ends else found


def _feed_forward(shape: ModelShape, hidden: int, *, gated: bool) -> int:
    return shape.intermediate_size or (_round_up(hidden * _GATED_MULTIPLE, 32) if gated else 4 * hidden)


def _no_key_value_heads(shape: ModelShape, default: Any) -> None:
    if shape.num_key_value_heads:
        raise ConfigError(f"--num-key-value-heads: architecture {default.model_type!r} has no such setting")


def count_parameters(
    shape: ModelShape, *, vocab_size: int, block_size: int, model_class: str = "AutoModelForCausalLM"
) -> int:
    """Parameters of a new model, counted without taking memory for them."""
    import torch
    import transformers

    config = new_config(shape, None, vocab_size=vocab_size, block_size=block_size, model_class=model_class)
    with shape_errors(config.model_type), torch.device("meta"):
        return int(getattr(transformers, model_class).from_config(config).num_parameters())


def check_shape(shape: ModelShape, *, block_size: int) -> None:
    """Find sizes that cannot fit, without importing the libraries that would only say so later.

    Raises:
        ConfigError: heads that do not divide the width, too few positions.
    """
    hidden, _, heads = SIZES[shape.model_size or DEFAULT_SIZE]
    hidden, heads = shape.hidden_size or hidden, shape.num_attention_heads or heads
    if hidden % heads:
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


def check_memory(parameters: int) -> None:
    """Refuse to train a model whose weights, gradients and AdamW state exceed this machine's memory.

    Raises:
        ConfigError: on a CPU-only machine; on GPUs the strategy decides.
    """
    import psutil  # type: ignore[import-untyped]
    import torch

    needed = parameters * TRAINING_BYTES_PER_PARAMETER
    total = psutil.virtual_memory().total
    if not torch.cuda.is_available() and needed > total:
        raise ConfigError(
            f"{parameters:,} parameters need {needed / 2**30:,.1f} GiB to train in float32, "
            f"this machine has {total / 2**30:,.1f} GiB",
            hint="make --hidden-size, --num-hidden-layers or --vocab-size smaller",
        )


def _round_up(value: float, multiple: int) -> int:
    return -(-int(value) // multiple) * multiple


@contextmanager
def shape_errors(architecture: str) -> Iterator[None]:
    """What the library says of impossible sizes, as a ConfigError."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except LlmctlError:
        raise
    except (
        ValueError,
        TypeError,
        AssertionError,
        AttributeError,
        RuntimeError,
        StrictDataclassError,
    ) as error:
        reason = first_line(error.__cause__ or error)
        raise ConfigError(f"architecture {architecture!r} refuses this shape: {reason}") from error
