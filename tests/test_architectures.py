"""New encoder-decoders by shape; single stacks are tested in ``test_models``."""

import pytest
import torch

from llmctl import architectures, models
from llmctl.config import ModelShape
from llmctl.errors import ConfigError


class Vocabulary:
    """What a new model asks of a tokenizer."""

    bos_token_id = eos_token_id = 0
    pad_token_id = 1

    def __len__(self) -> int:
        return 300

    def get_vocab(self) -> dict[str, int]:
        return {f"token {number}": number for number in range(300)}


@pytest.mark.parametrize("architecture", ["t5", "mt5", "bart", "mbart", "marian", "pegasus"])
def test_an_encoder_decoder_takes_the_shape_that_is_asked_for(architecture: str) -> None:
    shape = ModelShape(
        architecture=architecture, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, dropout=0.2
    )
    model = models.new_model(shape, Vocabulary(), model_class="AutoModelForSeq2SeqLM", block_size=40)
    config = model.config
    assert (config.hidden_size, config.num_attention_heads, config.vocab_size) == (32, 2, 300)
    modules = [type(module).__name__ for module in model.modules()]
    blocks = [name for name in modules if name.endswith(("Block", "EncoderLayer", "DecoderLayer"))]
    assert len(blocks) == 6, "3 layers on each side"
    assert {module.out_features for module in model.modules() if isinstance(module, torch.nn.Linear)} >= {
        32,
        300,
    }
    starts_from_eos = architecture in ("bart", "mbart")
    assert config.decoder_start_token_id == (0 if starts_from_eos else 1)
    assert (config.eos_token_id, config.pad_token_id) == (0, 1)
    assert getattr(config, "dropout", getattr(config, "dropout_rate", None)) == 0.2
    if not architecture.endswith("t5"):
        assert (config.max_position_embeddings, config.attention_dropout) == (40, 0.0)
        assert model.generation_config.forced_eos_token_id == 0
    loss = model(input_ids=torch.tensor([[5, 6, 0]]), labels=torch.tensor([[7, 8, 9, 0]])).loss.item()
    assert loss < 30, "new weights are of a size that can learn"


def test_an_encoder_decoder_of_a_size_has_as_many_layers_as_a_single_stack() -> None:
    config = architectures.new_config(
        ModelShape(architecture="bart", model_size="base"),
        Vocabulary(),
        vocab_size=300,
        block_size=1024,
        model_class="AutoModelForSeq2SeqLM",
    )
    bart_base = (768, 6, 6, 12, 3072, 0.1)
    assert bart_base == (
        config.d_model,
        config.encoder_layers,
        config.decoder_layers,
        config.decoder_attention_heads,
        config.decoder_ffn_dim,
        config.dropout,
    )


@pytest.mark.parametrize("architecture", ["t5", "mt5", "bart", "mbart", "marian", "pegasus"])
def test_the_count_without_tokenizer_and_memory_is_the_models(architecture: str) -> None:
    shape = ModelShape(architecture=architecture, hidden_size=32, num_attention_heads=2)
    counted = architectures.count_parameters(
        shape, vocab_size=300, block_size=32, model_class="AutoModelForSeq2SeqLM"
    )
    made = models.new_model(shape, Vocabulary(), model_class="AutoModelForSeq2SeqLM", block_size=32)
    assert counted == made.num_parameters()


@pytest.mark.parametrize(
    ("architecture", "model_class", "message"),
    [
        ("gpt2", "AutoModelForSeq2SeqLM", "cannot write a text for a text"),
        ("prophetnet", "AutoModelForSeq2SeqLM", "cannot be made by shape"),
        ("marian", "AutoModelForTokenClassification", "cannot tag words"),
        ("bart5", "AutoModelForSeq2SeqLM", "unknown architecture"),
    ],
)
def test_an_architecture_without_such_models_is_refused(
    architecture: str, model_class: str, message: str
) -> None:
    shape = ModelShape(architecture=architecture)
    with pytest.raises(ConfigError, match=message):
        architectures.new_config(shape, None, vocab_size=9, block_size=8, model_class=model_class)
