"""What a model must fit, and what it is."""

from typing import Any

from llmctl.errors import ModelError
from llmctl.limits import check_ids, num_ids
from llmctl.progress import many


def check_vocabulary(tokenizer: Any, model: Any, name: str) -> None:
    """Refuse a tokenizer whose ids the model has no embeddings for.

    Raises:
        ModelError: naming both numbers.
    """
    check_ids(model, num_ids(tokenizer), name)


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
    config = model.config
    embeddings = model.get_input_embeddings().weight.numel()
    total = model.num_parameters()
    return (
        f"{config.model_type}, {many(config.num_hidden_layers, 'layer')} x {config.hidden_size}: {total:,} parameters "
        f"({total - embeddings:,} without embeddings), {str(model.dtype).removeprefix('torch.')}"
    )
