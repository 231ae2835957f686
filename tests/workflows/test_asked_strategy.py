"""Sharing a model among processes: what is refused before anything is loaded, and what follows from it."""

from typing import Any

import pytest
import torch

from llmctl.config import FinetuneConfig, PretrainConfig
from llmctl.errors import ConfigError
from llmctl.workflows import asked_strategy, pretrain


@pytest.fixture
def gpu_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has all that can be told without torch."""
    monkeypatch.setattr(asked_strategy, "version", lambda package: "2.13.0")
    monkeypatch.setattr(asked_strategy, "find_spec", lambda package: object())
    monkeypatch.delenv("WORLD_SIZE", raising=False)


@pytest.mark.parametrize("strategy", ["fsdp", "deepspeed"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_processes": 1}, "shares a model among processes, and one is asked for"),
        ({"optim": "muon"}, "--optim muon makes updates of whole matrices orthogonal; with --strategy"),
        ({"optim": "adafactor"}, "--optim adafactor works on rows, columns or blocks"),
    ],
)
def test_what_needs_whole_weights_is_refused(
    gpu_machine: None, strategy: Any, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        asked_strategy.check(PretrainConfig(strategy=strategy, **settings))
    assert message in refused.value.message
    assert "--strategy ddp" in (refused.value.hint or "")
    asked_strategy.check(PretrainConfig(strategy="ddp", **settings))


def test_an_adapter_is_refused(gpu_machine: None) -> None:
    with pytest.raises(ConfigError, match="--method lora saves an adapter"):
        asked_strategy.check(FinetuneConfig(strategy="fsdp", task="sst2", method="lora"))
    asked_strategy.check(FinetuneConfig(strategy="fsdp", task="sst2", method="full"))


def test_deepspeed_cannot_leave_steps_out(gpu_machine: None) -> None:
    with pytest.raises(ConfigError, match="DeepSpeed makes its step before the gradients can be looked at"):
        asked_strategy.check(PretrainConfig(strategy="deepspeed", on_nonfinite="skip"))
    asked_strategy.check(PretrainConfig(strategy="fsdp", on_nonfinite="skip"))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, gpu_machine: None) -> None:
    monkeypatch.setattr(asked_strategy, "find_spec", lambda package: None)
    with pytest.raises(ConfigError) as refused:
        asked_strategy.check_here(PretrainConfig(strategy="deepspeed"))
    assert refused.value.hint == "pip install deepspeed, or --strategy fsdp"
    monkeypatch.setattr(asked_strategy, "version", lambda package: "2.13.0+cpu")
    with pytest.raises(ConfigError, match="--strategy fsdp is for GPUs, and there is none"):
        asked_strategy.check_here(PretrainConfig(strategy="fsdp"))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="--strategy fsdp is for GPUs, and there is none"):
        asked_strategy.check_gpu(PretrainConfig(strategy="fsdp"))
    asked_strategy.check_gpu(PretrainConfig())


def test_one_process_that_a_launcher_started_is_one(
    monkeypatch: pytest.MonkeyPatch, gpu_machine: None
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(ConfigError, match="one is asked for"):
        asked_strategy.check(PretrainConfig(strategy="fsdp"))


def test_a_new_model_that_is_shared_learns_by_adamw() -> None:
    alone, shared = pretrain.settle(PretrainConfig()), pretrain.settle(PretrainConfig(strategy="fsdp"))
    adamw = pretrain.settle(PretrainConfig(optim="adamw_torch_fused"))
    assert (alone.optim, shared.optim) == ("muon", "adamw_torch_fused")
    assert shared.learning_rate == adamw.learning_rate
