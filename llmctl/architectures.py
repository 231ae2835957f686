"""New models by architecture and shape: ``AutoConfig`` with sizes that fit each other and this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmctl.config import ModelShape
from llmctl.errors import ConfigError, LlmctlError
from llmctl.hub import first_line
from llmctl.limits import table_of_positions
from llmctl.purposes import check_architecture
from llmctl.shapes import seq2seq_settings, stack_settings

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
TRAINING_BYTES_PER_PARAMETER = 16  # fp32 weight, gradient and Adam's two moments


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
    roles = ["bos", "eos", "pad", *(role for role in ("cls", "sep") if f"{role}_token_id" in vars(default))]
    ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id", None) for role in roles}
    sizes = seq2seq_settings if model_class == "AutoModelForSeq2SeqLM" else stack_settings
    with shape_errors(architecture):
        settings = sizes(shape, default, vocab_size, shape.max_position_embeddings or block_size)
        if model_class == "AutoModelForSeq2SeqLM" and tokenizer is not None:
            settings |= _decoding_ids(default, ids)
        if positions := settings.get("max_position_embeddings"):
            settings["max_position_embeddings"] = table_of_positions(
                architecture, positions, ids["pad_token_id"]
            )
        return AutoConfig.for_model(architecture, **{"tie_word_embeddings": True} | ids | settings)


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


def count_parameters(
    shape: ModelShape, *, vocab_size: int, block_size: int, model_class: str = "AutoModelForCausalLM"
) -> int:
    """Parameters of a new model, counted without taking memory for them."""
    import torch
    import transformers

    config = new_config(shape, None, vocab_size=vocab_size, block_size=block_size, model_class=model_class)
    with shape_errors(config.model_type), torch.device("meta"):
        return int(getattr(transformers, model_class).from_config(config).num_parameters())


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
