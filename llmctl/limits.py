"""What a model can read: how long a text, and which token ids."""

from typing import Any

from llmctl.errors import ModelError

# RoBERTa's kin number positions from behind the padding's id, so that so many of their rows are never used.
_COUNT_FROM_PADDING = frozenset(
    [
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "camembert",
        "data2vec-text",
        "ibert",
        "longformer",
        "luke",
        "mpnet",
        "xmod",
    ]
)


def num_positions(model: Any) -> int | None:
    """The longest text in tokens that a model, given as itself or by its config, can read; ``None``: no bound."""
    config = getattr(model, "config", model).get_text_config(decoder=True)
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:
        return None
    if config.model_type in _COUNT_FROM_PADDING:
        positions -= (config.pad_token_id or 0) + 1
    # A learnt prefix or prompt (peft) stands where text could.
    return positions - getattr(getattr(model, "active_peft_config", None), "num_virtual_tokens", 0)


def check_ids(model: Any, num_ids: int, name: str = "the model") -> None:
    """Refuse token ids that a model has no embeddings for.

    Args:
        num_ids: all ids are below this number.
        name: of the model, for the message.

    Raises:
        ModelError: naming both numbers.
    """
    embeddings = model.get_input_embeddings().weight.shape[0]
    if num_ids > embeddings:
        raise ModelError(
            f"the tokenizer has the id {num_ids - 1:,}, {name} has {embeddings:,} embeddings",
            hint="use the tokenizer that the model was trained with",
        )
