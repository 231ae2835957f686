"""What architectures are made for."""

import pytest
from transformers.models.auto import modeling_auto

from llmctl import purposes
from llmctl.errors import ConfigError
from llmctl.tasks import KINDS


def test_the_tables_are_the_librarys() -> None:
    """They are read off its source text, whose layout may change."""
    for purpose in purposes._PURPOSES.values():
        for table in (purpose.table, *purpose.unlike):
            own = getattr(modeling_auto, f"MODEL_FOR_{table}_MAPPING_NAMES")
            assert purposes._tables()[table] == set(own), table
    assert {"gpt2", "bert", "t5", "mamba"} <= purposes._tables()[""], "MODEL_MAPPING_NAMES"


def test_every_objective_has_a_class() -> None:
    assert {kind.objective for kind in KINDS.values()} <= set(purposes.MODEL_CLASSES)
    assert set(purposes.MODEL_CLASSES.values()) == set(purposes._PURPOSES)


@pytest.mark.parametrize(
    ("architecture", "message", "hint"),
    [
        ("bert", "'bert' reads text both ways: it cannot predict a next token", "gpt2"),
        ("bart", "'bart' is an encoder with a decoder: it cannot predict a next token", "gpt2"),
        ("vit", "'vit' cannot predict a next token", "gpt2"),
        ("lama", "unknown architecture 'lama'", "did you mean llama?"),
        ("xyz123", "unknown architecture 'xyz123'", "for example: gpt2"),
    ],
)
def test_what_cannot_predict_a_next_token(architecture: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        purposes.check_architecture(architecture)
    assert message in refused.value.message
    assert hint in str(refused.value.hint)


def test_a_saved_bert_may_be_a_decoder() -> None:
    with pytest.raises(ConfigError, match="m is a bert model, which reads text both ways"):
        purposes.check_saved("m", {"model_type": "bert"}, "AutoModelForCausalLM")
    purposes.check_saved("m", {"model_type": "bert", "is_decoder": True}, "AutoModelForCausalLM")
    purposes.check_saved("m", {"model_type": "of the future"}, "AutoModelForCausalLM")
