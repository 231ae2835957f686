"""The bounds of models, by their configs."""

import pytest
from transformers import AutoConfig

from llmctl.errors import ConfigError
from llmctl.limits import check_length, num_positions, positions_in


@pytest.mark.parametrize(
    ("architecture", "settings", "expected"),
    [
        ("gpt2", {"n_positions": 7}, 7),
        ("llama", {"max_position_embeddings": 9}, 9),
        ("bert", {"max_position_embeddings": 512}, 512),
        ("roberta", {"max_position_embeddings": 514}, 512),  # positions count from pad_token_id + 1 = 2
        ("bart", {"max_position_embeddings": 1024}, 1024),
        ("t5", {}, None),
        ("mamba", {}, None),
    ],
)
def test_positions_are_those_of_text(
    architecture: str, settings: dict[str, int], expected: int | None
) -> None:
    config = AutoConfig.for_model(architecture, **settings)
    assert num_positions(config) == expected
    assert positions_in(config.to_dict()) == expected
    assert positions_in(config.to_diff_dict()) == expected


def test_a_length_beyond_them_is_refused() -> None:
    check_length("max_length", 64, 64)
    check_length("max_length", 65, None)
    check_length("max_length", None, 64)
    with pytest.raises(ConfigError, match="max_length 65 is beyond the model's 64 positions") as refused:
        check_length("max_length", 65, 64)
    assert refused.value.hint == "--max-length 64"


def test_a_roberta_reads_what_its_bound_says_and_no_more() -> None:
    import torch
    from transformers import RobertaModel

    config = AutoConfig.for_model(
        "roberta", hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=14, vocab_size=20,
    )  # fmt: skip
    model = RobertaModel(config).eval()
    positions = num_positions(model)
    assert positions == 12
    model(torch.full((1, positions), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, positions + 1), 5))
