"""Runs planned on paper: what ``--dry-run`` tells of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmctl.config import Device, FinetuneConfig, PretrainConfig
from llmctl.progress import SILENT
from llmctl.workflows import finetune, pretrain
from tests.data.conftest import Told
from tests.verdicts import save_base_model

LLAMA_7B = PretrainConfig(
    architecture="llama",
    hidden_size=4096,
    num_hidden_layers=32,
    num_attention_heads=32,
    intermediate_size=11008,
    vocab_size=32000,
    block_size=2048,
    optim="adamw_torch_fused",
    per_device_train_batch_size=2,
    num_processes=64,
    num_machines=8,
    strategy="fsdp",
    bf16=True,
    max_tokens=10**12,
)


def planned(config: Any, device: Device | None = None, progress: Any = SILENT) -> dict[str, Any]:
    workflow: Any = pretrain if isinstance(config, PretrainConfig) else finetune
    found: dict[str, Any] = workflow.plan(
        workflow.settle(config), device=device or Device(), progress=progress
    )
    return found


def test_a_run_that_does_not_fit_here_is_planned_to_its_last_hour() -> None:
    told = Told()
    found = planned(LLAMA_7B, Device(peak_flops=989e12, mfu=0.5), told)
    number = found["parameters"]
    assert number == 32000 * 4096 + 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096) + 4096
    rank = found["memory_of_a_rank"]
    assert (rank["weights"], rank["gradients"], rank["optimizer"]) == (
        number // 16,
        number // 16,
        number // 8,
    )
    assert found["tokens_a_step"] == 64 * 2 * 2048
    assert 0 <= found["tokens"] - 10**12 < found["tokens_a_step"]
    palm = (6 * number + 12 * 32 * 4096 * 2048) * found["tokens"]
    assert found["flops"] == pytest.approx(palm, rel=0.01)
    assert found["seconds"] == pytest.approx(found["flops"] / (64 * 989e12 * 0.5))
    for part in ("64 processes, fsdp", "at the peak", "not counted", "at 50% of 989 TFLOP/s", "device-hours"):
        assert part in "\n".join(told.notes)


def test_strategies_checkpointing_and_batches_say_what_they_save() -> None:
    shallow = replace(LLAMA_7B, num_hidden_layers=12)
    plan = planned(shallow)
    fsdp = plan["memory_of_a_rank"]
    again = planned(replace(shallow, activation_checkpointing=True))["memory_of_a_rank"]
    whole = planned(replace(shallow, strategy="ddp"))["memory_of_a_rank"]
    assert again["activations"] < fsdp["activations"] / 4
    assert whole["weights"] == pytest.approx(64 * fsdp["weights"])
    assert whole["peak"] > 20 * plan["parameters"]  # 16 bytes, the buckets, and activations


def test_that_the_whole_model_must_fit_at_the_end_is_told() -> None:
    told = Told()
    shallow = replace(LLAMA_7B, num_hidden_layers=12, activation_checkpointing=True, num_processes=512)
    rank = planned(shallow, progress=told)["memory_of_a_rank"]
    assert rank["peak"] == rank["read_back"]
    assert "at the peak, when each reads back the whole model at the end" in "\n".join(told.notes)


def test_the_effective_batch_is_that_of_all_processes() -> None:
    small = PretrainConfig(block_size=64, vocab_size=512, num_processes=4, max_steps=10)
    assert planned(small)["tokens_a_step"] == 4 * 6 * 64
    summed = planned(replace(small, global_batch_size=48))
    assert (summed["tokens_a_step"], summed["tokens"]) == (48 * 64, 480 * 64)
    rank = summed["memory_of_a_rank"]
    assert (
        rank["peak"]
        == sum(rank[part] for part in ("weights", "optimizer", "activations")) + 2 * rank["gradients"]
    )


def test_what_the_data_decides_is_left_open() -> None:
    told = Told()
    found = planned(PretrainConfig(block_size=64, vocab_size=512), progress=told)
    assert not {"steps", "tokens", "flops", "seconds"} & set(found)
    assert found["flops_a_step"]
    assert "the data tells how many steps" in "\n".join(told.notes)


def test_an_unknown_family_is_told_without_activations() -> None:
    told = Told()
    found = planned(PretrainConfig(architecture="rwkv", optim="adamw_torch", block_size=64), progress=told)
    assert found["memory_bytes"] == 16 * found["parameters"]
    assert "memory_of_a_rank" not in found
    assert "flops_a_step" not in found
    assert "not known: it reads one token after the other" in "\n".join(told.notes)


@pytest.mark.parametrize(("architecture", "written"), [("t5", 58 + 19 + 1), ("bart", 384)])
def test_an_encoder_decoder_reads_gaps_and_writes_what_they_hold(architecture: str, written: int) -> None:
    from llmctl.workflows import planning

    config = PretrainConfig(objective="seq2seq", architecture=architecture)
    assert planning.lengths_with_gaps(config) == (384 - 58 + 19, written)
    assert planned(config)["memory_of_a_rank"]["activations"] > 0


def test_a_method_that_trains_few_weights_has_few_gradients() -> None:
    config = FinetuneConfig(task="classification", data="builtin:reviews", architecture="bert", max_steps=5)
    whole = planned(config)
    assert whole["tokens"] == 5 * whole["tokens_a_step"]
    assert whole["memory_of_a_rank"]["gradients"] == 4 * whole["parameters"]


def test_a_loaded_model_is_planned_by_what_it_can_read(tmp_path: Path) -> None:
    import transformers

    small = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=48, vocab_size=300)
    transformers.GPT2LMHeadModel(small).save_pretrained(tmp_path / "small")
    found = planned(PretrainConfig(model=str(tmp_path / "small"), max_steps=2))
    assert found["tokens"] == 2 * 6 * 48
    assert found["memory_of_a_rank"]["optimizer"] == 8 * found["parameters"]


def test_adapters_learn_few_weights_and_methods_that_are_not_known_are_told(tmp_path: Path) -> None:
    model = str(save_base_model(tmp_path / "bert"))
    config = FinetuneConfig(task="classification", data="builtin:reviews", model=model, method="lora")
    found = planned(config)
    assert 0 < found["parameters_learning"] < found["parameters"]
    assert found["memory_of_a_rank"]["optimizer"] == 8 * found["parameters_learning"]
    told = Told()
    assert planned(replace(config, method="prompt"), progress=told) == {}
    assert "full, lora, ffn and head" in told.notes[-1]
