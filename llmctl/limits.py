"""What a model can read: how long a text, and which token ids."""

from collections.abc import Mapping
from typing import Any

from llmctl.errors import ConfigError, ModelError

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


def table_of_positions(model_type: str, num_positions: int, pad_token_id: int | None) -> int:
    """``max_position_embeddings`` of a model that shall read ``num_positions`` tokens."""
    return num_positions + _unused(model_type, pad_token_id)


def _unused(model_type: str | None, pad_token_id: int | None) -> int:
    """Rows of the table of positions that no text reaches."""
    return (pad_token_id or 0) + 1 if model_type in _COUNT_FROM_PADDING else 0


def num_positions(model: Any) -> int | None:
    """The longest text in tokens that a model, given as itself or by its config, can read; ``None``: no bound."""
    config = getattr(model, "config", model).get_text_config(decoder=True)
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:
        return None
    positions -= _unused(config.model_type, config.pad_token_id)
    # A learnt prefix or prompt (peft) stands where text could.
    return positions - getattr(getattr(model, "active_peft_config", None), "num_virtual_tokens", 0)


def positions_in(config: Mapping[str, Any]) -> int | None:
    """As :func:`num_positions`, of a ``config.json`` read without the library; ``None`` also where it tells nothing."""
    config = config.get("text_config") or config
    named = config.get("max_position_embeddings")
    # T5's file has n_positions, which bounds nothing
    if named is None and not config.get("is_encoder_decoder"):
        named = config.get("n_positions")
    if not isinstance(named, int) or named <= 0:
        return None
    return named - _unused(config.get("model_type"), config.get("pad_token_id", 1))


def check_length(option: str, length: int | None, positions: int | None) -> None:
    """Refuse a text that is longer than a model can read.

    Args:
        option: the config field that asks for ``length`` tokens; ``None``: none is asked for.
        positions: as :func:`num_positions`.

    Raises:
        ConfigError: naming both numbers.
    """
    if length is not None and positions is not None and length > positions:
        raise ConfigError(
            f"{option} {length} is beyond the model's {positions} positions",
            hint=f"--{option.replace('_', '-')} {positions}",
        )


def num_ids(tokenizer: Any) -> int:
    """How many embeddings a tokenizer needs: one more than its largest id, as some have gaps."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


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
