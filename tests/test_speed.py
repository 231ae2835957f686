"""What is chosen for the machine at hand."""

import pytest
import torch
from transformers.activations import NewGELUActivation

from llmctl.config import PretrainConfig
from llmctl.errors import ConfigError
from llmctl.training import Plan, describe, for_this_machine
from llmctl.training.speed import with_native_kernels
from llmctl.workflows import asked_model
from tests import tiny


def plan(steps: int) -> Plan:
    return Plan(steps, steps, "loss", False, "tokens", 1, equal_shapes=True)


def test_a_model_with_native_kernels_computes_the_same() -> None:
    model, ids = tiny.gpt2(), torch.arange(20)[None]
    before = model(input_ids=ids).logits
    with_native_kernels(model)
    assert not any(isinstance(module, NewGELUActivation) for module in model.modules())
    assert torch.allclose(model(input_ids=ids).logits, before, atol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_on_a_processor_nothing_of_a_gpu_is_chosen_and_what_is_given_stays() -> None:
    chosen = for_this_machine(PretrainConfig(), plan(10**6))
    assert (chosen.bf16, chosen.tf32, chosen.torch_compile) == (False, False, False)
    assert "threads, float32" in describe(chosen)
    assert for_this_machine(PretrainConfig(torch_compile=True), plan(1)).torch_compile
    for option in ("bf16", "tf32", "use_liger_kernel"):
        with pytest.raises(ConfigError, match=option.replace("_", "-")):
            asked_model.check_hardware(PretrainConfig(**{option: True}))


def test_on_a_gpu_long_runs_of_equal_shapes_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, answer in {
        "is_available": True,
        "is_bf16_supported": True,
        "get_device_capability": (8, 0),
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: answer)
    chosen = for_this_machine(PretrainConfig(), plan(5000))
    assert (chosen.bf16, chosen.tf32, chosen.torch_compile) == (True, True, True)
    assert not for_this_machine(PretrainConfig(), plan(100)).torch_compile
    uneven = Plan(5000, 5, "loss", False, "tokens", 1)
    assert not for_this_machine(PretrainConfig(), uneven).torch_compile
