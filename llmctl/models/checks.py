"""What a model must fit, and what it is."""

from collections.abc import Iterable
from typing import Any

from llmctl.errors import ModelError
from llmctl.limits import check_ids, num_ids
from llmctl.models.fields import PUT_BACK
from llmctl.progress import many


def check_vocabulary(tokenizer: Any, model: Any, name: str) -> None:
    """Refuse a tokenizer whose ids the model has no embeddings for.

    Raises:
        ModelError: naming both numbers.
    """
    check_ids(model, num_ids(tokenizer), name)


def check_complete(missing: Iterable[str], model: Any, name: str) -> None:
    """Refuse a model that is to write, some of whose weights no file gave.

    Args:
        missing: their names.

    Raises:
        ModelError: naming the first; the hint knows whether only its head is missing.
    """
    lost = sorted(missing)
    if not lost:
        return
    hint = f"name a model that was saved whole, or {PUT_BACK.format('config.json')}"
    if not any(weight.startswith(f"{model.base_model_prefix}.") for weight in lost):
        hint = "its head is gone; if its embeddings are the head too, config.json must say tie_word_embeddings true"
    raise ModelError(
        f"{name}: {many(len(lost), 'weight is', 'weights are')} not in the checkpoint (first: {lost[0]})",
        hint=hint,
    )


def check_causal(model: Any, name: str) -> None:
    """Refuse a model whose output at a token depends on later tokens.

    Raises:
        ModelError: e.g. a BERT, which has a next-token head but reads both ways.
    """
    import torch

    was_training = model.training
    model.eval()
    last = model.get_input_embeddings().num_embeddings - 1
    pair = torch.tensor([[0, 0, 0], [0, 0, last]], device=model.device)
    with torch.no_grad():
        first, second = model(input_ids=pair).logits[:, :2].float()
    model.train(was_training)
    if not torch.allclose(first, second, atol=1e-3, equal_nan=True):
        raise ModelError(
            f"{name} reads text both ways: it cannot be trained or judged as a causal model",
            hint="choose a decoder, such as gpt2 or llama",
        )


def describe(model: Any) -> str:
    """One line: family, shape and number of parameters."""
    config = model.config.get_text_config()
    embeddings = model.get_input_embeddings().weight.numel()
    total = model.num_parameters()
    return (
        f"{model.config.model_type}, {many(config.num_hidden_layers, 'layer')} x {config.hidden_size}: "
        f"{total:,} parameters ({total - embeddings:,} without embeddings), {str(model.dtype).removeprefix('torch.')}"
    )
