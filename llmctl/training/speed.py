"""What makes the same arithmetic faster or smaller on the machine at hand, chosen here and nowhere else.

Measured by ``python -m benchmarks training``; the objectives save what they need not compute themselves.
"""

import ctypes
import os
import sys
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn
from transformers.activations import FastGELUActivation, GELUTanh, NewGELUActivation

from llmctl.config import Training
from llmctl.runs import cache_dir
from llmctl.training.plan import Plan

# A compilation takes about as long as this many steps gain on a GPU.
_STEPS_WORTH_COMPILING = 1000
# glibc's malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4

ConfigT = TypeVar("ConfigT", bound=Training)


def for_this_machine(config: ConfigT, plan: Plan) -> ConfigT:
    """The config with what is left to the hardware decided.

    ``torch.compile`` gains on GPUs alone, and where the shapes of batches do not change: on processors its steps were
    no faster than those of :func:`with_native_kernels`.
    """
    gpu = torch.cuda.is_available()
    chosen: dict[str, bool] = {
        "bf16": gpu and torch.cuda.is_bf16_supported(),
        "tf32": gpu and torch.cuda.get_device_capability() >= (8, 0),
        "torch_compile": gpu
        and plan.equal_shapes
        and plan.steps >= _STEPS_WORTH_COMPILING
        and config.strategy == "ddp",
    }
    undecided: dict[str, Any] = {
        name: value for name, value in chosen.items() if getattr(config, name) is None
    }
    return replace(config, **undecided)


def describe(config: Training) -> str:
    """One line for a person: device and arithmetic."""
    device = (
        torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} threads"
    )
    number = "bfloat16" if config.bf16 else "float32"
    used = [name for name in ("tf32", "torch_compile", "use_liger_kernel") if getattr(config, name)]
    return ", ".join([device, number, *used])


def prepare(model: nn.Module, config: Training) -> None:
    """Set up process and model for training."""
    with_native_kernels(model)
    if config.torch_compile:  # what is compiled once serves the next run
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_dir() / "compiled"))
    if sys.platform == "linux" and not torch.cuda.is_available():
        _keep_pages()


def with_native_kernels(model: nn.Module) -> None:
    """Let torch's kernel compute the tanh form of GELU where a family spells it out.

    It rounds differently in the seventh digit, and keeps one tensor for the backward pass instead of seven: a third
    of the memory of a GPT-2 in training.
    """
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) in (NewGELUActivation, FastGELUActivation):
                setattr(module, name, GELUTanh())


def _keep_pages() -> None:
    """Tell glibc to give no memory back: each step would ask for the same again, page by page."""
    mallopt: Any = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 64 << 20)
