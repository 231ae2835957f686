"""The only place that builds ``TrainingArguments``."""

import os
from dataclasses import fields

import torch
from torch import nn
from transformers import TrainingArguments
from transformers.trainer_utils import SaveStrategy

from llmctl.config import Training
from llmctl.errors import ConfigError
from llmctl.runs import RunDir
from llmctl.training import strategies
from llmctl.training.plan import Plan
from llmctl.training.schedules import schedule_settings

LOGS_A_RUN = 100
MUON = "muon"
LION = "lion"
# what ``TrainingArguments`` does not know
_OURS = (
    "time_limit",
    "num_decay_steps",
    "min_lr_rate",
    "lr_power",
    "on_nonfinite",
    "auto_batch_size",
    "global_batch_size",
    "strategy",
)


def _eval_steps(config: Training, plan: Plan) -> int:
    """The plan's, or the nearest to it of which a whole number fits between two saves that are asked for."""
    if not config.save_steps:
        return plan.eval_steps
    fitting = (steps for steps in range(1, config.save_steps + 1) if config.save_steps % steps == 0)
    return min(fitting, key=lambda steps: max(steps / plan.eval_steps, plan.eval_steps / steps))


def make_arguments(
    config: Training, run: RunDir, plan: Plan, *, validated: bool, model: nn.Module | None = None
) -> TrainingArguments:
    """The ``TrainingArguments`` of a run: the config's own words, and what follows from them.

    Args:
        config: every field that is not ``None`` and that the library knows is passed on under its own name.
        run: its ``checkpoints`` is the output directory.
        plan: see :class:`Plan`.
        validated: whether there is a validation split.
        model: whose layers ``--strategy fsdp`` shares out.

    Raises:
        ConfigError: the library refuses a value, nothing is evaluated that could stop the training early, warm-up
            and decay are longer than the run, or the environment asks for another precision than the config.
    """
    _check_precision(config)
    given = {item.name: getattr(config, item.name) for item in fields(Training)}
    given = {name: value for name, value in given.items() if value is not None and name not in _OURS}
    given["max_steps"] = plan.steps
    if config.optim in (MUON, LION):
        given["optim"] = "adamw_torch_fused"  # with Muon the rule of the weights that are no matrices
    given["report_to"] = list(config.report_to) or "none"
    given.setdefault("eval_steps", _eval_steps(config, plan))
    given.setdefault("save_steps", given["eval_steps"])
    given.setdefault("logging_steps", max(1, plan.steps // LOGS_A_RUN))
    given |= schedule_settings(config, plan.steps)
    given |= strategies.settings(config, model)
    given["load_best_model_at_end"] = config.load_best_model_at_end and validated
    if plan.patience and not validated:
        raise ConfigError(
            "early_stopping_patience: there is no validation split to judge by",
            hint="leave it out, or --validation-data FILE",
        )
    try:
        arguments = TrainingArguments(
            output_dir=str(run.checkpoints),
            run_name=run.name,
            eval_strategy="steps" if validated else "no",
            save_strategy=SaveStrategy.STEPS,
            metric_for_best_model=plan.best if validated else None,
            greater_is_better=plan.greater_is_better if validated else None,
            logging_nan_inf_filter=False,
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=torch.cuda.is_available(),
            **given,
        )
    except (ValueError, ImportError) as error:
        raise ConfigError(f"the training's settings are refused: {error}") from error
    # one process would share out its batches to all GPUs by itself
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _check_precision(config: Training) -> None:
    """Hold what ``accelerate launch --mixed_precision`` leaves, which ``TrainingArguments`` obeys, to ``--bf16``."""
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    ours = "bf16" if config.bf16 else "no"
    if asked not in ("no", ours):
        raise ConfigError(
            f"ACCELERATE_MIXED_PRECISION is {asked!r:.60}, as accelerate launch --mixed_precision sets it, "
            f"but llmctl computes in {'bf16' if config.bf16 else 'float32'}",
            hint=("--bf16, or " if asked == "bf16" else "") + "--mixed_precision no",
        )
