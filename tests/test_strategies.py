"""DDP, FSDP and DeepSpeed: what is shipped, whether it is in force, and what sharded weights come to."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from safetensors.torch import load_file
from torch.distributed.fsdp import OffloadPolicy
from transformers import TrainingArguments

from llmctl.config import PretrainConfig
from llmctl.errors import ConfigError, ModelError
from llmctl.training import strategies
from llmctl.training.finite import check_weights
from tests import tiny
from tests.test_accelerate_config import DEEPSPEED, FSDP, write

ROOT = Path(__file__).parents[1]


def test_ddp_asks_for_nothing() -> None:
    assert strategies.settings(PretrainConfig()) == {}


def test_the_plugin_of_fsdp_is_built(tmp_path: Path) -> None:
    config = PretrainConfig(strategy="fsdp", activation_checkpointing=True)
    given = strategies.settings(config, tiny.llama())
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, **given)
    assert not arguments.activation_checkpointing, "FSDP does that"
    accumulation = arguments.accelerator_config.gradient_accumulation_kwargs
    assert accumulation == {"sync_each_batch": True}, "no process keeps gradients of the whole model"
    assert arguments.fsdp_plugin_args is not None
    plugin = FullyShardedDataParallelPlugin(**arguments.fsdp_plugin_args)
    assert (plugin.fsdp_version, plugin.reshard_after_forward, plugin.activation_checkpointing) == (
        2,
        True,
        True,
    )
    assert plugin.state_dict_type.name == "FULL_STATE_DICT"
    assert type(plugin.cpu_offload) is OffloadPolicy, "nothing is kept on the processor"
    assert plugin.transformer_cls_names_to_wrap == ["LlamaDecoderLayer"]
    plugin.set_auto_wrap_policy(tiny.llama())


def test_the_config_of_deepspeed_is_whole() -> None:
    found = strategies.settings(PretrainConfig(strategy="deepspeed"))["deepspeed"]
    assert json.loads(json.dumps(found)) == found
    assert found["zero_optimization"]["stage"] == 3
    assert found["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] is True
    # What the options say is "auto" there, which transformers fills in; a key that it does not know would stay so.
    source = Path(transformers.integrations.deepspeed.__file__).read_text()
    for name in autos(found):
        assert f'"{name}"' in source, f"nobody fills in {name}"


def autos(section: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in section.items():
        if isinstance(value, dict):
            found += autos(value, f"{prefix}{key}.")
        elif value == "auto":
            found.append(prefix + key)
    return found


def test_a_persons_own_settings_go_before_the_shipped_ones(tmp_path: Path) -> None:
    path = str(write(tmp_path, FSDP))
    found = strategies.settings(PretrainConfig(strategy="fsdp", accelerate_config=path), tiny.llama())
    assert found["fsdp_config"]["reshard_after_forward"] is False
    assert found["fsdp_config"]["transformer_layer_cls_to_wrap"] == ["LlamaDecoderLayer", "MyLayer"]
    path = str(write(tmp_path, DEEPSPEED))
    zero = strategies.settings(PretrainConfig(strategy="deepspeed", accelerate_config=path))["deepspeed"]
    assert zero["zero_optimization"]["offload_optimizer"] == {"device": "cpu"}
    assert zero["zero_optimization"]["stage3_prefetch_bucket_size"] == "auto"
    write(tmp_path, '{"zero_optimization": {"stage": 2}}', "ds.json")
    path = str(write(tmp_path, {**DEEPSPEED, "deepspeed_config": {"deepspeed_config_file": "ds.json"}}))
    own = strategies.settings(PretrainConfig(strategy="deepspeed", accelerate_config=path))
    assert own == {"deepspeed": str(tmp_path / "ds.json")}


def accelerator(kind: DistributedType, processes: int = 2, device: str = "cpu") -> Any:
    return SimpleNamespace(distributed_type=kind, num_processes=processes, device=torch.device(device))


@pytest.mark.parametrize(
    ("strategy", "found", "message"),
    [
        (
            "fsdp",
            accelerator(DistributedType.MULTI_CPU),
            "2 processes work on processors, and it is for GPUs",
        ),
        ("deepspeed", accelerator(DistributedType.MULTI_CPU), "2 processes work on processors"),
        ("fsdp", accelerator(DistributedType.NO, 1, "cuda"), "there is one process"),
        ("fsdp", accelerator(DistributedType.MULTI_GPU, 2, "cuda"), "Accelerate has set up MULTI_GPU"),
        (
            "ddp",
            accelerator(DistributedType.FSDP, 2, "cuda"),
            "but ACCELERATE_USE_FSDP is set in the environment",
        ),
    ],
)
def test_a_strategy_that_is_not_in_force_is_refused(strategy: Any, found: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        strategies.check_strategy(found, PretrainConfig(strategy=strategy))
    assert message in refused.value.message
    for kind, name in ((DistributedType.MULTI_CPU, "ddp"), (DistributedType.FSDP, "fsdp")):
        strategies.check_strategy(accelerator(kind), PretrainConfig(strategy=name))  # type: ignore[arg-type]


def test_weights_of_which_there_is_a_part_are_looked_at() -> None:
    """As DeepSpeed keeps them: empty, with the part in ``ds_tensor``."""
    model = torch.nn.Linear(2, 2)
    for weight in model.parameters():
        weight.ds_tensor = torch.ones(1)  # type: ignore[attr-defined]
        weight.data = torch.empty(0)
    check_weights(model, 1)
    model.weight.ds_tensor.fill_(float("nan"))  # type: ignore[operator]
    with pytest.raises(ModelError, match=r"\(weight\)"):
        check_weights(model, 1)


def two_ranks(what: str, place: Path) -> Any:
    """What ``tests.sharded_ranks`` finds with two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    with (place / "said").open("w") as said:
        ranks = subprocess.Popen(
            [*command, "-m", "tests.sharded_ranks", what, str(place)],
            cwd=ROOT,
            env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
            stderr=said,
            stdout=said,
            start_new_session=True,
        )
        try:
            code = ranks.wait(timeout=500)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(ranks.pid, signal.SIGKILL)
    assert code == 0, (place / "said").read_text()[-4000:]
    return json.loads((place / "found.json").read_text())


@pytest.mark.soak
def test_each_family_is_sharded_by_its_own_layers_and_put_together_again(tmp_path: Path) -> None:
    found = two_ranks("families", tmp_path)
    assert len(found) > 40
    for family, result in found.items():
        assert result["same"], family
        assert result["layers"] or family == "mlm/squeezebert", family
        assert result["sharded"] == result["layers"], family


@pytest.mark.slow
def test_fsdp_learns_what_ddp_learns_and_leaves_the_same_model(tmp_path: Path) -> None:
    """Of families whose weights are shared in different ways; also cut short, and with activations recomputed."""
    found = two_ranks("clm/llama,mlm/bert,seq2seq/t5", tmp_path)
    for family, events in found.items():
        expected = curve(events["ddp"])
        assert len(expected) == 6, "losses of four steps, and two evaluations"
        assert curve(events["fsdp"]) == pytest.approx(expected, rel=1e-5)
        assert curve(events["cut"]) == pytest.approx(expected, rel=1e-5)
        models = {name: tmp_path / f"{family.split('/')[1]}-{name}" / "model" for name in events}
        plain = load_file(models["ddp"] / "model.safetensors")
        for name in ("fsdp", "cut"):
            weights = load_file(models[name] / "model.safetensors")
            assert weights.keys() == plain.keys()
            for key, weight in weights.items():
                torch.testing.assert_close(weight, plain[key], atol=1e-4, rtol=0)
            assert config_of(models[name]) == config_of(models["ddp"])


def curve(events: list[dict[str, Any]]) -> list[float]:
    return [event[name] for event in events for name in ("loss", "eval_loss") if name in event]


def config_of(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())
