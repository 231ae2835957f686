"""New models by architecture and shape: ``AutoConfig`` with sizes that fit each other and this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmctl.config import ModelShape
from llmctl.errors import ConfigError, LlmctlError
from llmctl.hub import first_line
from llmctl.recipe import suggestion

# model_size -> hidden_size, num_hidden_layers, num_attention_heads; the feed-forward width is the family's own
# multiple of hidden_size. 2M, 11M and 85M parameters beside the embeddings, for gpt2 and llama alike.
SIZES = {"tiny": (192, 4, 6), "small": (384, 6, 6), "base": (768, 12, 12)}
DEFAULT_ARCHITECTURE = "llama"
DEFAULT_SIZE = "tiny"
# A gated feed-forward layer has three matrices: 8/3 keeps its size that of a plain one at 4 (arXiv:2002.05202).
_GATED_MULTIPLE = 8 / 3
TRAINING_BYTES_PER_PARAMETER = 16  # fp32 weight, gradient and Adam's two moments


def new_config(shape: ModelShape, tokenizer: Any | None, *, vocab_size: int, block_size: int) -> Any:
    """The ``PretrainedConfig`` of a new causal language model (see :func:`new_causal_lm`)."""
    from transformers import AutoConfig

    architecture = shape.architecture or DEFAULT_ARCHITECTURE
    check_architecture(architecture)
    config = AutoConfig.for_model(architecture)
    hidden, layers, heads = SIZES[shape.model_size or DEFAULT_SIZE]
    hidden = shape.hidden_size or hidden
    settings: dict[str, Any] = {
        "vocab_size": vocab_size,
        **{
            f"{role}_token_id": getattr(tokenizer, f"{role}_token_id", None) for role in ("bos", "eos", "pad")
        },
        "hidden_size": hidden,
        "num_hidden_layers": shape.num_hidden_layers or layers,
        "num_attention_heads": shape.num_attention_heads or heads,
        "max_position_embeddings": shape.max_position_embeddings or block_size,
        "tie_word_embeddings": True,
    }
    gated = hasattr(config, "num_key_value_heads")
    width = shape.intermediate_size or (_round_up(hidden * _GATED_MULTIPLE, 32) if gated else 4 * hidden)
    for name in ("intermediate_size", "n_inner", "ffn_dim"):
        if hasattr(config, name):
            settings[name] = width
            break
    if gated:
        settings["num_key_value_heads"] = shape.num_key_value_heads or settings["num_attention_heads"]
    elif shape.num_key_value_heads:
        raise ConfigError(f"--num-key-value-heads: architecture {architecture!r} has no such setting")
    if "head_dim" in vars(config):
        settings["head_dim"] = hidden // settings["num_attention_heads"]
    for name in vars(config):
        if name.endswith(("dropout", "pdrop", "dropout_prob")) and isinstance(
            getattr(config, name), float | int
        ):
            settings[name] = shape.dropout or 0.0
    with shape_errors(architecture):
        return AutoConfig.for_model(architecture, **settings)


def count_parameters(shape: ModelShape, *, vocab_size: int, block_size: int) -> int:
    """Parameters of a new model, counted without taking memory for them."""
    import torch
    from transformers import AutoModelForCausalLM

    config = new_config(shape, None, vocab_size=vocab_size, block_size=block_size)
    with shape_errors(config.model_type), torch.device("meta"):
        return int(AutoModelForCausalLM.from_config(config).num_parameters())


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


def check_architecture(architecture: str) -> None:
    """Refuse a name that the library does not know, or whose models cannot predict a next token."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if architecture not in CONFIG_MAPPING_NAMES:
        near = suggestion(architecture, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
        raise ConfigError(
            f"unknown architecture {architecture!r}", hint=near or "for example: gpt2, llama, qwen2, mistral"
        )
    if architecture not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ConfigError(
            f"architecture {architecture!r} cannot predict a next token",
            hint="for example: gpt2, llama, qwen2",
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
