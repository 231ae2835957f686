"""What a size comes to in each family."""

from typing import Any

import pytest
import torch
import transformers

from llmctl import architectures, shapes
from llmctl.config import ModelShape
from llmctl.errors import ConfigError
from llmctl.purposes import MODEL_CLASSES
from tests.workflows.test_families import families

# README says what these have instead
ODD = {"mixtral": 10.03, "albert": 0.55, "squeezebert": 0.72}


@pytest.mark.parametrize(("objective", "architecture"), families())
def test_tiny_has_two_million_parameters_beside_the_embeddings(objective: str, architecture: str) -> None:
    config = architectures.new_config(
        ModelShape(architecture=architecture),
        None,
        vocab_size=4096,
        block_size=384,
        model_class=MODEL_CLASSES[objective],
    )
    with torch.device("meta"):
        model = getattr(transformers, MODEL_CLASSES[objective]).from_config(config)
    beside = model.num_parameters() - model.get_input_embeddings().weight.numel()
    assert beside / 1e6 == pytest.approx(ODD.get(architecture, 1.9), rel=0.2)


@pytest.mark.parametrize(
    ("architecture", "size", "word", "value"),
    [
        ("distilbert", {"intermediate_size": 48}, "hidden_dim", 48),
        ("opt", {"intermediate_size": 48}, "ffn_dim", 48),
        ("mamba", {"intermediate_size": 48}, "intermediate_size", 48),
        ("mamba", {}, "intermediate_size", 64),
        ("mamba", {}, "num_hidden_layers", 8),
        ("mamba2", {"num_attention_heads": 4}, "num_heads", 4),
        ("albert", {"hidden_size": 256, "num_attention_heads": 4}, "embedding_size", 128),
        ("convbert", {}, "embedding_size", 32),
        ("gptj", {}, "rotary_dim", 16),
        ("gemma2", {}, "query_pre_attn_scalar", 16),
    ],
)
def test_a_size_is_set_in_the_words_of_the_family(
    architecture: str, size: dict[str, int], word: str, value: int
) -> None:
    objective = "mlm" if "bert" in architecture else "clm"
    heads = {} if architecture == "mamba" else {"num_attention_heads": 2}
    shape = ModelShape(**{"architecture": architecture, "hidden_size": 32} | heads | size)
    config = architectures.new_config(
        shape, None, vocab_size=300, block_size=32, model_class=MODEL_CLASSES[objective]
    )
    assert getattr(config, word) == value


@pytest.mark.parametrize(
    ("architecture", "size", "message"),
    [
        ("mamba", {"num_attention_heads": 4}, "--num-attention-heads: architecture 'mamba' has no such"),
        ("rwkv", {"num_hidden_layers": 1}, "'rwkv' has 2 layers at least, not 1"),
        ("recurrent_gemma", {"num_hidden_layers": 2}, "'recurrent_gemma' has 3 layers at least"),
    ],
)
def test_what_a_family_does_not_have_is_refused_early(
    architecture: str, size: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        shapes.check_shape(ModelShape(**size), architecture, block_size=32)


@pytest.mark.parametrize(
    ("architecture", "size"),
    [
        ("mamba2", {"intermediate_size": 48}),
        ("bloom", {"max_position_embeddings": 48}),
        ("gpt2", {"num_key_value_heads": 2}),
    ],
)
def test_a_size_that_a_family_has_no_word_for_is_refused(architecture: str, size: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"architecture '{architecture}' has no such setting"):
        architectures.new_config(
            ModelShape(architecture=architecture, **size), None, vocab_size=300, block_size=32
        )


def test_a_width_needs_no_heads_to_divide_it_where_there_are_none() -> None:
    shapes.check_shape(ModelShape(hidden_size=100), "mamba", block_size=32)
    with pytest.raises(ConfigError, match="not divided"):
        shapes.check_shape(ModelShape(hidden_size=100), "llama", block_size=32)
