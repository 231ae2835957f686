"""New models by shape, and models on disk."""

from pathlib import Path
from typing import Any

from llmctl import adapters, disk
from llmctl.architectures import check_memory, new_config, shape_errors
from llmctl.config import ModelShape
from llmctl.errors import ModelError
from llmctl.limits import num_ids
from llmctl.models.sources import hide_bars


def new_model(
    shape: ModelShape, tokenizer: Any, *, model_class: str, block_size: int, **settings: Any
) -> Any:
    """Make a model with random weights.

    Args:
        shape: architecture and sizes; what is ``None`` comes from ``model_size``.
        tokenizer: gives the vocabulary's size and the ids of the special tokens.
        model_class: name of the ``transformers`` Auto class that has the head.
        block_size: length of a training example; the number of positions unless ``shape`` gives one.
        settings: what the model's config shall say besides.

    Raises:
        ConfigError: unknown architecture, or sizes that do not fit each other or this machine.
    """
    import torch
    import transformers

    config = new_config(
        shape, tokenizer, vocab_size=num_ids(tokenizer), block_size=block_size, model_class=model_class
    )
    for name, value in settings.items():
        setattr(config, name, value)
    auto_class = getattr(transformers, model_class)
    with shape_errors(config.model_type):
        with torch.device("meta"):
            parameters = auto_class.from_config(config).num_parameters()
        check_memory(parameters)
        return auto_class.from_config(config, dtype=torch.float32)


def extend_vocabulary(model: Any, num_tokens: int) -> int:
    """Give a model embeddings for the tokens that it has none for, each near the mean of those that it has.

    Tied embeddings stay tied. Fewer tokens than embeddings change nothing.

    Returns:
        How many were added.
    """
    from transformers.utils import logging

    missing: int = num_tokens - model.get_input_embeddings().weight.shape[0]
    if missing <= 0:
        return 0
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # else it explains what the caller tells
    try:
        model.resize_token_embeddings(num_tokens, mean_resizing=True)
    finally:
        logging.set_verbosity(verbosity)
    return missing


def save(model: Any, tokenizer: Any, folder: Path, *, weights: dict[str, Any] | None = None) -> None:
    """Save a plain Hugging Face directory: complete, or not there at all.

    Args:
        weights: of a sharded model, gathered on this process (``training.whole_weights``).

    Raises:
        ModelError: it cannot be written.
    """
    hide_bars()
    try:
        with disk.staged_directory(folder) as staging:
            model.save_pretrained(staging, state_dict=weights)
            adapters.complete(model, staging)
            tokenizer.save_pretrained(staging)
    except OSError as error:
        raise ModelError(
            f"cannot write {folder}: {error.strerror or error}", hint=disk.remedy(error.errno)
        ) from error
