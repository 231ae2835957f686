"""A tokenizer that was not trained with its model: tokens that are new to it, or that meant something else to it."""

from typing import Any

from llmctl import runs
from llmctl.config import PretrainConfig
from llmctl.errors import ModelError
from llmctl.limits import num_ids
from llmctl.progress import Progress, many

_OF_NEW_TOKENIZERS = ("algorithm", "vocab_size", "min_frequency", "normalizer")


def tell_unused(config: PretrainConfig, progress: Progress) -> None:
    """Warn of options for a new tokenizer where one was named."""
    source = config.tokenizer or config.model
    given = [name for name in _OF_NEW_TOKENIZERS if getattr(config, name) != getattr(PretrainConfig, name)]
    if source and given:
        progress.warn(
            f"not used: {', '.join(given)}, which are for a new tokenizer; this one is that of {source}"
        )


def fit(model: Any, tokenizer: Any, config: PretrainConfig, progress: Progress) -> None:
    """Give a loaded model embeddings for new tokens; tell of those, and of tokens that mean something else to it."""
    from llmctl import models

    known = model.get_input_embeddings().weight.shape[0]
    if added := models.extend_vocabulary(model, num_ids(tokenizer)):
        progress.note(
            f"{config.model}: {many(added, 'embedding')} added to its {known:,}, each begins as the mean of those"
        )
    if not config.tokenizer:
        return
    try:
        own = models.load_tokenizer(config.model or "", runs_dir=runs.runs_dir(config.runs_dir)).get_vocab()
    except ModelError:  # weights alone: nothing tells what its ids stand for
        return
    given = tokenizer.get_vocab()
    if lost := sum(given.get(token) != number for token, number in own.items()):
        progress.warn(
            f"{config.tokenizer}: {lost:,} of the {len(own):,} tokens of {config.model} have another number here, or "
            "none: what it knows of them is lost"
        )
