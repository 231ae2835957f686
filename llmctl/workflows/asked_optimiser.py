"""The optimiser, schedule and saves that a training is asked for: what they need, what they read, what follows."""

from importlib.util import find_spec
from typing import Any

from llmctl.config import FinetuneConfig, PretrainConfig, Training
from llmctl.config.fields import Schedule
from llmctl.errors import ConfigError

SCHEDULE_FREE = "schedule_free_adamw"
# Peak learning rate as a multiple of AdamW's, whose updates are about 0.2 a weight in units of the rate. Those of Lion
# are 1; those of plain SGD are the gradients, which clipping bounds as a whole: measured, as RMSprop's, on stories.
RATES = {
    **dict.fromkeys(("lion", "lion_8bit", "lion_32bit", "paged_lion_8bit", "paged_lion_32bit"), 0.2),
    "sgd": 100.0,
    "rmsprop": 0.2,
}
# options that not every schedule reads
_OPTIONS_OF_SCHEDULES = {
    "num_decay_steps": ("warmup_stable_decay",),
    "min_lr_rate": ("cosine_with_min_lr", "warmup_stable_decay", "polynomial"),
    "lr_power": ("polynomial",),
}


def schedule_of(config: Training) -> Schedule:
    """The schedule that is asked for, else the one that fits the command and the optimiser."""
    if config.lr_scheduler_type:
        return config.lr_scheduler_type
    if config.optim == SCHEDULE_FREE:
        return "constant"
    return "cosine" if isinstance(config, PretrainConfig) else "linear"


def rate_of(optim: str, adamw: float) -> float:
    """The default learning rate of an optimiser where AdamW's is ``adamw``."""
    return round(adamw * RATES.get(optim, 1.0), 9)


def check(config: PretrainConfig | FinetuneConfig) -> None:
    """Refuse an optimiser whose package is not installed, options that the schedule would not look at, and bad saves.

    Raises:
        ConfigError: naming the option.
    """
    optim = config.optim or ""
    if optim.endswith("bit") and find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"--optim {optim} needs a GPU and a package",
            hint="pip install bitsandbytes, or leave the option out",
        )
    if optim == SCHEDULE_FREE and find_spec("schedulefree") is None:
        raise ConfigError(
            f"--optim {optim} needs a package", hint="pip install schedulefree, or leave the option out"
        )
    schedule = schedule_of(config)
    if optim == SCHEDULE_FREE and schedule != "constant":
        raise ConfigError(
            f"--optim {optim} learns at a constant rate, and lr_scheduler_type is {schedule}",
            hint="leave --lr-scheduler-type out; --warmup-steps is obeyed",
        )
    _check_schedule(config, schedule)
    if (
        config.validation_data or config.validation_fraction
    ):  # else only the data tells whether anything is judged
        check_saves(config)


def check_saves(config: Training) -> None:
    """Refuse saves between evaluations, where there is something to judge by.

    Raises:
        ConfigError: naming both intervals.
    """
    if not (config.load_best_model_at_end and config.save_steps and config.eval_steps):
        return
    if config.save_steps % config.eval_steps:
        raise ConfigError(
            f"save_steps {config.save_steps} is no multiple of eval_steps {config.eval_steps}, "
            "so the best model could not be kept",
            hint="make it one, or --no-load-best-model-at-end",
        )


def _check_schedule(config: Any, schedule: str) -> None:
    for name, schedules in _OPTIONS_OF_SCHEDULES.items():
        if getattr(config, name) is not None and schedule not in schedules:
            raise ConfigError(
                f"{name} is not for lr_scheduler_type {schedule}",
                hint=f"leave it out, or --lr-scheduler-type {' or '.join(schedules)}",
            )
    asked = config.warmup_steps not in (0, Training.warmup_steps)
    if schedule == "constant" and asked and config.optim != SCHEDULE_FREE:
        raise ConfigError(
            "warmup_steps is not for lr_scheduler_type constant",
            hint="leave it out, or --lr-scheduler-type constant_with_warmup",
        )


def check_gpu(config: Training) -> None:
    """Refuse an optimiser that only GPUs have where there is none.

    Raises:
        ConfigError: naming the optimiser.
    """
    if not config.optim.endswith("bit"):
        return
    import torch

    if not torch.cuda.is_available():
        raise ConfigError(
            f"--optim {config.optim} needs a GPU, and there is none", hint="leave it out, or --optim lion"
        )
