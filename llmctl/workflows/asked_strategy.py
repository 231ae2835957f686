"""How the processes of a training share a model: what that needs, and what cannot be done with parts of weights."""

import os
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec

from llmctl.config import FinetuneConfig, PretrainConfig, Training
from llmctl.config.fields import Optimiser
from llmctl.errors import ConfigError

TrainConfig = PretrainConfig | FinetuneConfig

# Optimisers that look at each number by itself, so that a part of a weight is as good as the whole.
_ELEMENTWISE = ("adamw_torch_fused", "adamw_torch", "lion", "sgd", "rmsprop", "adagrad")
# What needs whole weights on a process, and the way round it.
_NEEDS_WHOLE_WEIGHTS: tuple[tuple[Callable[[Training], bool], str, str], ...] = (
    (
        lambda config: config.optim == "muon",
        "--optim muon makes updates of whole matrices orthogonal",
        "--optim adamw_torch_fused",
    ),
    (
        lambda config: config.optim not in (None, *_ELEMENTWISE),
        "--optim {optim} works on rows, columns or blocks of whole weights, or was not tried on parts",
        "--optim adamw_torch_fused",
    ),
    (
        lambda config: getattr(config, "method", "full") in ("lora", "prefix", "prompt"),
        "--method {method} saves an adapter, which is taken from whole weights",
        "--method full or ffn",
    ),
)


def default_optimiser(config: Training, new: Optimiser) -> Optimiser:
    """``new`` where each process holds whole weights, else AdamW."""
    return new if config.strategy == "ddp" else "adamw_torch_fused"


def check(config: TrainConfig) -> None:
    """Refuse what is known not to work without importing the heavy libraries.

    Raises:
        ConfigError: naming the options.
    """
    if config.strategy == "ddp":
        return
    if (os.environ.get("WORLD_SIZE") or str(config.num_processes)) == "1":
        raise ConfigError(
            f"--strategy {config.strategy} shares a model among processes, and one is asked for",
            hint="--num-processes N, or --strategy ddp",
        )
    for applies, what, instead in _NEEDS_WHOLE_WEIGHTS:
        if applies(config):
            raise ConfigError(
                f"{what.format(**vars(config))}; with --strategy {config.strategy} each process has a part of them",
                hint=f"{instead}, or --strategy ddp",
            )
    if config.strategy == "deepspeed" and config.on_nonfinite == "skip":
        raise ConfigError(
            "--on-nonfinite skip: DeepSpeed makes its step before the gradients can be looked at",
            hint="leave it out: weights that are NaN or infinite are not saved; or --strategy fsdp",
        )


def check_here(config: Training) -> None:
    """Refuse what this machine lacks, as far as no heavy library has to be asked; a run may be planned without it.

    Raises:
        ConfigError: naming the option.
    """
    if config.strategy != "ddp" and version("torch").endswith("+cpu"):
        raise _no_gpu(config)
    if config.strategy == "deepspeed" and find_spec("deepspeed") is None:
        raise ConfigError(
            "--strategy deepspeed needs GPUs and a package", hint="pip install deepspeed, or --strategy fsdp"
        )


def check_gpu(config: Training) -> None:
    """Refuse to share a model among processes without GPUs.

    Raises:
        ConfigError: naming the option.
    """
    if config.strategy == "ddp":
        return
    import torch

    if not torch.accelerator.is_available():
        raise _no_gpu(config)


def _no_gpu(config: Training) -> ConfigError:
    return ConfigError(
        f"--strategy {config.strategy} is for GPUs, and there is none that torch could use",
        hint="--strategy ddp: processes on processors share the work",
    )
