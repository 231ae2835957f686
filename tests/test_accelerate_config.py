"""A file of ``accelerate config``: read as Accelerate reads it, refused where llmctl would do otherwise."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file

from llmctl import accelerate_config
from llmctl.config import EvalConfig, PretrainConfig
from llmctl.errors import ConfigError

# As ``accelerate config`` of 1.15 writes them.
DDP: dict[str, Any] = {
    "compute_environment": "LOCAL_MACHINE",
    "debug": False,
    "distributed_type": "MULTI_GPU",
    "downcast_bf16": "no",
    "enable_cpu_affinity": False,
    "gpu_ids": "all",
    "machine_rank": 0,
    "main_process_ip": "10.0.0.1",
    "main_process_port": 29501,
    "main_training_function": "main",
    "mixed_precision": "bf16",
    "num_machines": 2,
    "num_processes": 16,
    "rdzv_backend": "static",
    "same_network": True,
    "tpu_env": [],
    "tpu_use_cluster": False,
    "tpu_use_sudo": False,
    "use_cpu": False,
}
FSDP: dict[str, Any] = {
    **DDP,
    "distributed_type": "FSDP",
    "fsdp_config": {
        "fsdp_activation_checkpointing": True,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_cpu_ram_efficient_loading": True,
        "fsdp_offload_params": False,
        "fsdp_reshard_after_forward": False,
        "fsdp_state_dict_type": "FULL_STATE_DICT",
        "fsdp_transformer_layer_cls_to_wrap": "LlamaDecoderLayer,MyLayer",
        "fsdp_version": 2,
    },
}
DEEPSPEED: dict[str, Any] = {
    **DDP,
    "distributed_type": "DEEPSPEED",
    "deepspeed_config": {"zero_stage": 3, "offload_optimizer_device": "cpu", "zero3_save_16bit_model": True},
}


def write(folder: Path, content: Any, name: str = "own.yaml") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("content", [DDP, FSDP, DEEPSPEED], ids=["ddp", "fsdp", "deepspeed"])
def test_what_accelerate_reads_is_read(tmp_path: Path, content: dict[str, Any]) -> None:
    path = write(tmp_path, content)
    theirs, ours = load_config_from_file(str(path)), accelerate_config.read(path)
    assert ours.launch == {name: getattr(theirs, name) for name in ours.launch}
    assert len(ours.launch) == 6
    assert accelerate_config.STRATEGIES[theirs.distributed_type.value] == ours.strategy
    assert ours.bf16 is True


def test_the_engines_own_settings_are_in_their_words(tmp_path: Path) -> None:
    fsdp = accelerate_config.read(write(tmp_path, FSDP)).fsdp
    assert fsdp["transformer_layer_cls_to_wrap"] == ["LlamaDecoderLayer", "MyLayer"]
    assert (fsdp["reshard_after_forward"], fsdp["activation_checkpointing"]) == (False, True)
    found = accelerate_config.read(write(tmp_path, DEEPSPEED)).deepspeed["zero_optimization"]
    assert found["stage"] == 3
    assert found["offload_optimizer"] == {"device": "cpu"}


def test_a_deepspeed_file_beside_it_is_taken_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, '{"zero_optimization": {"stage": 2}}', "ds.json")
    path = write(tmp_path, {**DEEPSPEED, "deepspeed_config": {"deepspeed_config_file": "ds.json"}})
    assert accelerate_config.read(path).deepspeed_file == str(tmp_path / "ds.json")
    write(tmp_path, '{"zero_optimization": {"stage": 3}}', "ds.json")
    with pytest.raises(
        ConfigError, match=r"ds\.json: stage3_gather_16bit_weights_on_model_save should be true"
    ):
        accelerate_config.read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {**DDP, "distributed_type": "MEGATRON_LM"},
            "distributed_type is 'MEGATRON_LM', llmctl knows NO, MULTI_CPU",
        ),
        ({"num_processes": 2}, "distributed_type is missing"),
        ({**DDP, "mixed_precision": "fp16"}, "mixed_precision is 'fp16'; llmctl computes in bf16 or float32"),
        (
            {**FSDP, "fsdp_config": {"fsdp_offload_params": True}},
            "fsdp_config: fsdp_offload_params is True, llmctl trains with False",
        ),
        ({**DDP, "num_proceses": 2}, "unknown key 'num_proceses'"),
        ({**DDP, "num_processes": "two"}, "num_processes should be a whole number, found 'two'"),
        ({**DDP, "num_processes": -1}, "num_processes should be above 0, found -1"),
        ({**DDP, "gpu_ids": "0,1"}, "gpu_ids '0,1' is nothing that llmctl does"),
        ({**DDP, "fsdp_config": {"fsdp_version": 2}}, "fsdp_config is not for distributed_type MULTI_GPU"),
        ({**FSDP, "fsdp_config": {"fsdp_version": 1}}, "fsdp_version is 1, llmctl trains with 2"),
        (
            {**FSDP, "fsdp_config": {"fsdp_forward_prefetch": True}},
            "'fsdp_forward_prefetch', which FSDP2 does not",
        ),
        (
            {**DEEPSPEED, "deepspeed_config": {"zero3_init_flag": True}},
            "'zero3_init_flag', which llmctl does not",
        ),
        ("", "is empty"),
        ("- 1", "should be 'key: value' lines"),
        ("a: [", "neither YAML nor JSON"),
    ],
)
def test_what_llmctl_would_not_do_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        accelerate_config.read(write(tmp_path, content))
    assert message in refused.value.message
    assert "own.yaml" in refused.value.message


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"--accelerate-config nowhere\.yaml: No such file"):
        accelerate_config.read("nowhere.yaml")


def test_the_config_gets_what_the_file_says(tmp_path: Path) -> None:
    path = str(write(tmp_path, FSDP))
    found = accelerate_config.apply(PretrainConfig(accelerate_config=path, machine_rank=1))
    assert (found.num_processes, found.num_machines, found.machine_rank) == (16, 2, 1)
    assert (found.strategy, found.bf16, found.activation_checkpointing) == ("fsdp", True, True)
    assert accelerate_config.apply(found) == found
    assert accelerate_config.apply(EvalConfig(accelerate_config=path)).main_process_ip == "10.0.0.1"


def test_an_option_that_contradicts_the_file_is_refused_with_both(tmp_path: Path) -> None:
    path = str(write(tmp_path, DDP))
    with pytest.raises(ConfigError, match=r"--num-processes 4 contradicts .*own\.yaml, which says 16"):
        accelerate_config.apply(PretrainConfig(accelerate_config=path, num_processes=4))
    with pytest.raises(ConfigError, match=r"--strategy fsdp contradicts .*own\.yaml, which says ddp"):
        accelerate_config.apply(PretrainConfig(accelerate_config=path, strategy="fsdp"))


def test_the_command_line_reads_it(tmp_path: Path) -> None:
    path = write(tmp_path, DDP)
    command = [sys.executable, "-m", "llmctl", "pretrain", "--dry-run", "--accelerate-config", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "num_processes: 16" in shown.stdout, shown.stderr
