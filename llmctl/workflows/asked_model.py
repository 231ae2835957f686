"""The model that a training is asked for: checked before its data is read, and again before it is encoded."""

from collections.abc import Iterable
from importlib.util import find_spec

from llmctl import runs
from llmctl.config import FinetuneConfig, PretrainConfig
from llmctl.errors import ConfigError
from llmctl.limits import positions_in
from llmctl.purposes import MODEL_CLASSES, READS_BACKWARDS, check_architecture, check_saved

TrainConfig = PretrainConfig | FinetuneConfig


def check_new(config: TrainConfig, objective: str, architecture: str, *, block_size: int) -> None:
    """Find what is wrong with a new model's shape and tokenizer without importing the heavy libraries.

    Args:
        objective: a key of ``llmctl.purposes.MODEL_CLASSES``.
        block_size: the longest text that it is to read, in tokens.

    Raises:
        ConfigError: an unknown architecture, or one that is made for something else; sizes that do not fit.
    """
    from llmctl import tokenization
    from llmctl.shapes import check_shape

    check_architecture(architecture, MODEL_CLASSES[objective], objectives=_alternatives(config))
    check_shape(config, architecture, block_size=block_size)
    if not config.tokenizer:
        tokenization.check(config, architecture)


def check_loaded(config: TrainConfig, objective: str) -> int | None:
    """Find what is wrong with ``config.model``, as far as its ``config.json`` tells without the heavy libraries.

    Returns:
        The longest text that it can read, in tokens; ``None``: that is not told, or not bounded.

    Raises:
        ConfigError, RunError: it is not there, or has no head for ``objective``, a key of ``MODEL_CLASSES``.
    """
    from llmctl import models

    found = models.find_source(config.model or "", runs.runs_dir(config.runs_dir))
    saved = models.plain_config(found)
    if saved is None:
        return None
    check_saved(found.name, saved, MODEL_CLASSES[objective], objectives=_alternatives(config))
    if saved.get(READS_BACKWARDS) and objective in ("clm", "chat"):
        raise ConfigError(
            f"{found.name} reads text backwards: it cannot learn to go on from it",
            hint=f"llmctl pretrain --model {found.name} --objective rclm",
        )
    return positions_in(saved)


def _alternatives(config: TrainConfig) -> Iterable[str]:
    """The objectives of pretraining, where that is asked for."""
    from llmctl.architectures import DEFAULT_ARCHITECTURES

    return DEFAULT_ARCHITECTURES if isinstance(config, PretrainConfig) else ()


def check_tokenizer(config: TrainConfig) -> None:
    """Refuse a tokenizer that is not there.

    Raises:
        ConfigError, RunError: as ``models.find_source``.
    """
    from llmctl import models

    if config.tokenizer:
        models.find_source(config.tokenizer, runs.runs_dir(config.runs_dir))


def check_kernels(config: TrainConfig) -> None:
    """Refuse kernels whose package is not installed.

    Raises:
        ConfigError: saying which package.
    """
    if config.use_liger_kernel and find_spec("liger_kernel") is None:
        raise ConfigError(
            "--use-liger-kernel needs a GPU and a package", hint="pip install liger-kernel, or leave it out"
        )


def check_hardware(config: TrainConfig) -> None:
    """Refuse arithmetic that no accelerator here has, where the library would once all data is encoded.

    Raises:
        ConfigError: naming the option.
    """
    from transformers.utils import (
        is_torch_bf16_gpu_available,
        is_torch_cuda_available,
        is_torch_tf32_available,
        is_torch_xla_available,
    )

    if config.bf16 and not (is_torch_bf16_gpu_available() or is_torch_xla_available()):
        raise ConfigError(
            "--bf16: no GPU here computes in bfloat16", hint="leave it out: processors train in float32"
        )
    if config.tf32 and not is_torch_tf32_available():
        raise ConfigError("--tf32: no GPU here computes in TensorFloat-32", hint="leave it out")
    if config.use_liger_kernel and not is_torch_cuda_available():
        raise ConfigError(
            "--use-liger-kernel: its kernels are for GPUs, and none is here", hint="leave it out"
        )


def count_new(config: TrainConfig, objective: str, block_size: int) -> int:
    """Parameters of the new model with the vocabulary that is asked for.

    Raises:
        ConfigError: sizes that the library refuses.
    """
    from llmctl.architectures import count_parameters

    return count_parameters(
        config, vocab_size=config.vocab_size, block_size=block_size, model_class=MODEL_CLASSES[objective]
    )
