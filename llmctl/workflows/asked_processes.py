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


def with_global_batch(config: ConfigT, *, fixed: bool) -> ConfigT:
    """The config with the accumulation that makes ``global_batch_size`` of batches and processes, if it is asked for.

    Args:
        fixed: whether the batch of a device was asked for; else it may be made smaller, to fit.

    Raises:
        ConfigError: it is no multiple of what the processes see at once, or another accumulation was typed.
    """
    wanted = config.global_batch_size
    if wanted is None:
        return config
    each, processes = config.per_device_train_batch_size, launch.num_processes(config)
    if wanted % processes:
        can = [str(count) for count in range(1, 2 * processes) if wanted % count == 0]
        raise ConfigError(
            f"global_batch_size {wanted}: the examples of a step cannot be shared out evenly "
            f"among {processes} processes",
            hint=f"among {' or '.join(can[-3:])} they can: --num-processes, or another --global-batch-size",
        )
    fits = fitting_batch(wanted, processes, each)
    if fits and not fixed:
        each = fits
    if wanted % (each * processes):
        raise ConfigError(
            f"global_batch_size {wanted} is no multiple of {each * processes}, "
            f"{each} examples at once in {'one process' if processes == 1 else f'each of {processes} processes'}",
            hint=f"--per-device-train-batch-size {fits or wanted // processes}",
        )
    accumulated = wanted // (each * processes)
    typed = "gradient_accumulation_steps" in config.typed
    if typed and config.gradient_accumulation_steps != accumulated:
        raise ConfigError(
            f"gradient_accumulation_steps {config.gradient_accumulation_steps}: global_batch_size {wanted} takes "
            f"{accumulated} batches of {each} in each of {processes}",
            hint="leave one of the two out",
        )
    return replace(config, per_device_train_batch_size=each, gradient_accumulation_steps=accumulated)


def fitting_batch(wanted: int, processes: int, most: int) -> int | None:
    """The most examples at once, up to ``most``, whose batches make up ``wanted``; ``None``: less than half as many."""
    share, rest = divmod(wanted, processes)
    if rest:
        return None
    most = min(most, share)
    best = max(size for size in range(1, most + 1) if share % size == 0)
    return best if 2 * best >= most else None
