"""The loss in chunks is the loss."""

from typing import Any

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, PhiConfig, PhiForCausalLM

from llmctl.config import PretrainConfig
from llmctl.objectives import chunked_loss
from llmctl.objectives.causal_lm import CausalLM
from llmctl.objectives.chunked_loss import can_be_chunked
from tests import tiny


def phi() -> PhiForCausalLM:  # its output layer has a bias
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2}
    model = PhiForCausalLM(PhiConfig(**sizes, vocab_size=tiny.VOCABULARY))
    torch.nn.init.normal_(model.lm_head.bias)
    return model


@pytest.mark.parametrize("make", [tiny.gpt2, tiny.llama, phi])
@pytest.mark.parametrize("chunk", [1 << 22, 7 * tiny.VOCABULARY])
@pytest.mark.parametrize("bf16", [False, True])
def test_loss_and_gradients_are_those_of_the_stock_loss(
    make: Any, chunk: int, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked_loss, "_CHUNK", chunk)
    tokens = torch.randint(0, 256, (3, 12), generator=torch.Generator().manual_seed(1))
    labels = tokens[:, 1:].clone()
    labels[1, 4:] = -100
    batch = {"input_ids": tokens[:, :-1], "labels": labels, "shift_labels": labels}
    objective = CausalLM(PretrainConfig(), tiny.byte_tokenizer())
    found = []
    for chunked in (False, True):
        model = make().train()
        assert can_be_chunked(model)
        monkeypatch.setattr("llmctl.objectives.causal_lm.can_be_chunked", lambda _, answer=chunked: answer)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = objective.loss(model, batch, torch.tensor(7))
        loss.backward()
        found.append((loss.item(), {name: each.grad for name, each in model.named_parameters()}))
    (stock, stock_gradients), (ours, gradients) = found
    assert ours == pytest.approx(stock, rel=2e-2 if bf16 else 1e-5)
    for name, gradient in gradients.items():
        scale = stock_gradients[name].abs().max()
        assert (gradient - stock_gradients[name]).abs().max() <= (0.1 if bf16 else 1e-5) * scale, name


def test_what_is_more_than_a_body_and_an_output_layer_is_not_chunked() -> None:
    config = Gemma2Config(
        num_hidden_layers=1, hidden_size=32, intermediate_size=48, num_attention_heads=2, num_key_value_heads=1,
        head_dim=16, vocab_size=tiny.VOCABULARY, final_logit_softcapping=1.0,
    )  # fmt: skip
    assert not can_be_chunked(Gemma2ForCausalLM(config))


def test_a_model_of_few_positions_is_tried_within_them() -> None:
    assert can_be_chunked(tiny.gpt2(n_positions=8))
