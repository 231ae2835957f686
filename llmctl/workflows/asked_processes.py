"""What is asked of several processes, and the batch that they come to together."""

from dataclasses import replace
from typing import Any, TypeVar

from llmctl import launch
from llmctl.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound=Any)


def check(config: Any) -> None:
    """Refuse what several processes cannot do.

    Raises:
        ConfigError: naming the option.
    """
    processes = launch.num_processes(config)
    if processes == 1:
        return
    if config.auto_batch_size:
        raise ConfigError(
            "--auto-batch-size: when memory is short in one of several processes, the others cannot go on",
            hint="find the batch with --num-processes 1, then --per-device-train-batch-size N",
        )
    if config.find_learning_rate:
        raise ConfigError(
            f"--find-learning-rate tries the rates in one process, not in {processes}",
            hint="--num-processes 1; --gradient-accumulation-steps makes batches as large",
        )


def with_global_batch(config: ConfigT) -> ConfigT:
    """The config with the accumulation that makes ``global_batch_size`` of batches and processes, if it is asked for.

    Raises:
        ConfigError: it is no multiple of what the processes see at once.
    """
    wanted = config.global_batch_size
    if wanted is None:
        return config
    each, processes = config.per_device_train_batch_size, launch.num_processes(config)
    if wanted % (each * processes):
        raise ConfigError(
            f"global_batch_size {wanted} is no multiple of {each * processes}, "
            f"{each} examples at once in {'one process' if processes == 1 else f'each of {processes} processes'}",
            hint=f"a multiple of {processes} is needed, for each process sees as many"
            if wanted % processes
            else "choose --per-device-train-batch-size so that it is",
        )
    return replace(config, gradient_accumulation_steps=wanted // (each * processes))
