"""What several processes share: the work (DDP), or the weights, gradients and optimiser's state, too (FSDP, ZeRO-3).

Accelerate, torch and DeepSpeed do all of it. Here stand the settings that are shipped, in the words of
``TrainingArguments``, and a look at what came of them: Accelerate trains by another strategy without a word where it
cannot do that one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from accelerate.utils import DistributedType
from torch import nn

from llmctl import accelerate_config
from llmctl.config import Training
from llmctl.errors import ConfigError
from llmctl.sharding import is_sharded

# FSDP2 gathers one layer at a time, forward and backward again, and keeps nothing on the processor.
_FSDP = {
    "version": 2,
    "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "reshard_after_forward": True,
    "cpu_offload": False,
    "cpu_ram_efficient_loading": False,
    "state_dict_type": "FULL_STATE_DICT",
}
# ZeRO-3 (Rajbhandari et al., 2020, arXiv:1910.02054); "auto" is filled in from the training's own options.
_DEEPSPEED = {
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "train_batch_size": "auto",
    "gradient_clipping": "auto",
    "bf16": {"enabled": "auto"},
}
# SqueezeBERT runs ``layer.forward``, and torch gathers the weights of modules that are called.
_NOT_CALLED = ("SqueezeBertModule",)
_ZERO = {
    "stage": 3,
    "overlap_comm": True,
    "contiguous_gradients": True,
    "reduce_bucket_size": "auto",
    "stage3_prefetch_bucket_size": "auto",
    "stage3_param_persistence_threshold": "auto",
    "stage3_gather_16bit_weights_on_model_save": True,
    "offload_optimizer": {"device": "none"},
    "offload_param": {"device": "none"},
}


def settings(config: Training, model: nn.Module | None = None) -> dict[str, Any]:
    """The keywords of ``TrainingArguments`` that say how the processes work together.

    Those of ``--accelerate-config`` go before the shipped ones. FSDP recomputes activations itself: the model would
    gather its weights once more for it. It shares out the gradients of each accumulated batch: those of the whole model
    would stay on each process until the last.

    Args:
        model: its layers become FSDP's units; without one Accelerate asks the model that it is given.

    Raises:
        ConfigError: ``--accelerate-config`` cannot be read.
    """
    file = getattr(config, "accelerate_config", None)
    own = accelerate_config.read(file) if file else None
    if config.strategy == "fsdp":
        recomputed = {"activation_checkpointing": config.activation_checkpointing}
        return {
            "fsdp": True,
            "fsdp_config": {**_FSDP, **_units(model), **recomputed, **(own.fsdp if own else {})},
            "activation_checkpointing": False,
            "accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}},
        }
    if config.strategy == "deepspeed":
        return {
            "deepspeed": own.deepspeed_file
            if own and own.deepspeed_file
            else _deepspeed(own.deepspeed if own else {})
        }
    return {}


def _deepspeed(own: dict[str, Any]) -> dict[str, Any]:
    """The shipped settings with a person's own in their place."""
    zero = {**_ZERO, **own.get("zero_optimization", {})}
    return deepcopy({**_DEEPSPEED, **own, "zero_optimization": zero})


def _units(model: nn.Module | None) -> dict[str, Any]:
    if model is None:
        return {}
    if layers := layer_classes(model):
        return {"transformer_layer_cls_to_wrap": layers}
    return {"auto_wrap_policy": "NO_WRAP"}


def layer_classes(model: nn.Module) -> list[str]:
    """The classes of a model's layers, one of which at a time is gathered: what its outermost lists of modules hold.

    They are those of ``_no_split_modules`` where a family has it, which a dozen do not, without the embeddings that
    some name there: a layer's weights are its own, those of embeddings are shared with the output layer. Where there
    are none, all weights are gathered at once.
    """
    found: set[str] = set()

    def look(module: nn.Module) -> None:
        for child in module.children():
            if isinstance(child, nn.ModuleList):
                found.update(type(layer).__name__ for layer in child)
                found.difference_update(_NOT_CALLED)
            else:
                look(child)

    look(model)
    return sorted(found)


@contextmanager
def shared_weights_together(model: nn.Module) -> Iterator[None]:
    """Have Accelerate keep embeddings and output layer in one FSDP unit with all that shares weights with them.

    It would make units of their own of the two, and torch (2.13) refuses a weight that two units have: BERT's output
    bias stands in two modules, T5's embeddings in three.
    """
    if model.get_input_embeddings() is None or not _shares_weights(model):  # type: ignore[operator]
        yield
        return
    names = ("get_input_embeddings", "get_output_embeddings")
    for name in names:
        setattr(model, name, lambda: None)
    try:
        yield
    finally:
        for name in names:
            delattr(model, name)


def _shares_weights(model: nn.Module) -> bool:
    """Whether any weight stands in more than one module."""
    return len(list(model.named_parameters(remove_duplicate=False))) > len(list(model.parameters()))


def whole_weights(trainer: Any) -> dict[str, Any] | None:
    """The weights of a trainer's model, gathered from all processes, which must all ask, in the memory of rank 0.

    Returns:
        Names and tensors on rank 0, nothing of use on the others; ``None`` where every process has the whole model.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    if not is_sharded(model):
        return None
    found: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    first: dict[nn.Parameter, str] = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        if first.setdefault(weight, name) in found and name in found:
            found[name] = found[first[weight]]  # gathered by name, what is tied has come as copies
    return found


_TYPES = {"fsdp": DistributedType.FSDP, "deepspeed": DistributedType.DEEPSPEED}


def check_strategy(accelerator: Any, config: Training) -> None:
    """Refuse to train by another strategy than the one that is asked for.

    Raises:
        ConfigError: naming both, with what is likely to be the reason.
    """
    asked = _TYPES.get(config.strategy)
    found = accelerator.distributed_type
    if asked is None:
        if found in _TYPES.values():
            raise ConfigError(
                f"--strategy {config.strategy}, but ACCELERATE_USE_{found.value} is set in the environment",
                hint=f"--strategy {found.value.lower()}, so that its settings are those of llmctl",
            )
        return
    if found == asked:
        return
    if accelerator.num_processes == 1:
        why, hint = (
            "there is one process, which has nobody to share weights with",
            "--num-processes N, or --strategy ddp",
        )
    elif accelerator.device.type == "cpu":
        why, hint = (
            f"{accelerator.num_processes} processes work on processors, and it is for GPUs",
            "--strategy ddp",
        )
    else:
        why, hint = (
            f"Accelerate has set up {found.value}",
            "look at ACCELERATE_ variables and --accelerate-config",
        )
    raise ConfigError(f"--strategy {config.strategy}: {why}", hint=hint)
