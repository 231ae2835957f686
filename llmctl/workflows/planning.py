"""A training planned on paper, for ``--dry-run``: what it would take of each rank, how much it computes, how long."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from llmctl import costs, launch, runs
from llmctl.config import Device, FinetuneConfig, PretrainConfig
from llmctl.progress import Progress, many
from llmctl.purposes import MODEL_CLASSES
from llmctl.tokenization.families import FAMILIES

if TYPE_CHECKING:
    from llmctl.costs import Memory, Weights
    from llmctl.training.blank import Blank
    from llmctl.training.rehearsal import Make, Numbers, Rehearsal

Settled = Any  # a PretrainConfig or FinetuneConfig of which nothing that a plan needs is left out
TrainConfig = PretrainConfig | FinetuneConfig
NOT_COUNTED = (
    "not counted: what kernels and the exchange between processes (NCCL) take, an optimiser's passing results "
    "but Muon's, what the allocator keeps and cannot use, evaluation"
)


@dataclass(frozen=True)
class Amount:
    """How much a run reads, as far as it is known before the data.

    Attributes:
        rows: examples of one step of all processes, each as long as they can be.
        tokens: that it reads in a step.
        steps: ``None``: the data decides.
    """

    rows: int
    tokens: int
    steps: int | None


def plan(
    config: TrainConfig, make: "Make", batch: "Blank", *, length: int, device: Device, progress: Progress
) -> dict[str, Any]:
    """Tell what a run would take, and give the figures.

    Args:
        config: settled.
        make: the model, with what shall learn.
        batch: what one device reads at once.
        length: of an example, in tokens.

    Returns:
        ``parameters``, ``parameters_learning``, ``processes``, ``tokens_a_step``; where they are known ``steps``,
        ``tokens``, ``flops``, ``memory_of_a_rank`` (:class:`llmctl.costs.Memory`), ``memory_bytes``, its peak, and
        ``seconds``.
    """
    from llmctl.training import rehearsal

    weights = rehearsal.weights_of(make)
    processes = launch.num_processes(config)
    sharded = config.strategy != "ddp" and processes > 1
    batch = replace(batch, chunked=not sharded and not config.torch_compile)
    amount = _amount(config, processes, length)
    figures: dict[str, Any] = {
        "parameters": weights.number,
        "parameters_learning": weights.learning,
        "processes": processes,
        "tokens_a_step": amount.tokens,
    }
    few = f", {weights.learning:,} of which learn" if weights.learning < weights.number else ""
    vocabulary = "" if config.model else f" with {config.vocab_size:,} tokens"
    progress.note(f"{weights.number:,} parameters{vocabulary}{few}")
    numbers = _numbers(config, sharded)
    try:
        rehearsed = rehearsal.rehearse(
            make, batch, numbers=numbers, checkpointing=config.activation_checkpointing
        )
    except rehearsal.NotRehearsedError as error:
        states = costs.states(weights, **_states(config, processes, numbers))
        progress.note(
            f"{_place(config, processes, numbers)}: {_told(sum(states))} for weights, gradients and the optimiser; "
            f"activations and operations of this family are not known: {error.message}"
        )
        return figures | {"memory_bytes": sum(states)}
    memory = _memory(config, weights, rehearsed, processes, numbers)
    progress.note(f"{_place(config, processes, numbers)}: {_memory_told(memory, batch)}")
    progress.note(NOT_COUNTED)
    if config.accelerate_config:
        progress.note(
            f"the strategy is planned as it is shipped: {config.accelerate_config} may say otherwise"
        )
    figures |= {"memory_bytes": memory.peak, "memory_of_a_rank": asdict(memory)}
    a_step = rehearsed.flops * amount.rows // batch.rows
    return figures | _work(amount, a_step, processes, device, progress)


def make_new(config: TrainConfig, objective: str, longest: int) -> "Make":
    """What gives the new model that is asked for, with the special tokens that its family has.

    Args:
        objective: a key of ``llmctl.purposes.MODEL_CLASSES``.
        longest: text that it is to read or write, in tokens.

    Raises:
        ConfigError: sizes that the library refuses; what is given raises it, too.
    """
    from llmctl.architectures import DEFAULT_ARCHITECTURES, new_config, shape_errors

    architecture = config.architecture or DEFAULT_ARCHITECTURES[objective]
    model_class = MODEL_CLASSES[objective]
    settings = new_config(
        config,
        _Tokens(architecture),
        vocab_size=config.vocab_size,
        block_size=longest,
        model_class=model_class,
    )

    def make(dtype: Any) -> Any:
        with shape_errors(architecture):
            return _from(settings, model_class, dtype)

    return make


def make_loaded(config: TrainConfig, objective: str, progress: Progress) -> "Make | None":
    """What gives the model that is to be gone on with, without its weights; ``None``: it is not at hand.

    Raises:
        ConfigError, RunError, ModelError: as ``models.outline``.
    """
    from llmctl import models

    assert config.model
    root = runs.runs_dir(config.runs_dir)
    found = models.find_source(config.model, root)
    if not found.local and models.plain_config(found) is None:
        progress.note(f"{config.model} is not in the Hub's cache: its size is told when it is loaded")
        return None
    model_class = MODEL_CLASSES[objective]
    settings = models.outline(config.model, model_class, runs_dir=root).config
    return lambda dtype: _from(settings, model_class, dtype)


def readable(config: TrainConfig, length: int) -> int:
    """A length in tokens, at most what a loaded model can read."""
    from llmctl import models

    positions = (
        models.positions_of(config.model, runs_dir=runs.runs_dir(config.runs_dir)) if config.model else None
    )
    return min(length, positions or length)


def lengths_with_gaps(config: PretrainConfig) -> tuple[int, int]:
    """Tokens that an encoder-decoder reads and writes of a block with gaps (``llmctl.objectives.denoising``).

    A family without sentinels writes the whole text; so does one whose tokenizer is not known here.
    """
    missing = round(config.block_size * config.mlm_probability)
    gaps = max(1, round(missing / config.mean_span_length))
    family = FAMILIES.get(config.architecture or "")
    written = missing + gaps + 1 if family and family.sentinels else config.block_size
    return config.block_size - missing + gaps, written


def _from(settings: Any, model_class: str, dtype: Any) -> Any:
    import transformers

    return getattr(transformers, model_class).from_config(settings, dtype=dtype)


class _Tokens:
    """The ids that a family's own tokenizer gives its special tokens, before there is one."""

    def __init__(self, architecture: str) -> None:
        family = FAMILIES.get(architecture)
        roles: Mapping[str, str] = family.roles if family else {"pad_token": ""}
        order = list(dict.fromkeys(roles.values()))
        vars(self).update({f"{role}_id": order.index(token) for role, token in roles.items()})


def _numbers(config: TrainConfig, sharded: bool) -> "Numbers":
    import torch

    here = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    if not (here if config.bf16 is None else config.bf16):
        return "float32"
    return "bfloat16" if sharded else "autocast"


def _amount(config: Settled, processes: int, length: int) -> Amount:
    each = config.per_device_train_batch_size * processes
    rows = config.global_batch_size or each * config.gradient_accumulation_steps
    tokens = rows * length
    wanted = config.max_tokens if isinstance(config, PretrainConfig) else None
    return Amount(rows, tokens, math.ceil(wanted / tokens) if wanted else config.max_steps)


def _states(config: TrainConfig, processes: int, numbers: "Numbers") -> dict[str, Any]:
    return {
        "optim": config.optim,
        "strategy": config.strategy if processes > 1 else "ddp",
        "processes": processes,
        "bf16": numbers != "float32",
    }


def _memory(
    config: Settled, weights: "Weights", rehearsed: "Rehearsal", processes: int, numbers: "Numbers"
) -> "Memory":
    each = config.per_device_train_batch_size * processes
    accumulates = config.gradient_accumulation_steps > 1 or (config.global_batch_size or 0) > each
    return costs.rank_memory(
        weights,
        activations=rehearsed.activations,
        backward=rehearsed.peak,
        accumulates=accumulates,
        **_states(config, processes, numbers),
    )


def _work(
    amount: Amount, a_step: int, processes: int, device: Device, progress: Progress
) -> dict[str, float | int]:
    """Tell tokens, operations and time of the whole run, and give the figures."""
    if amount.steps is None:
        progress.note(
            f"a step: {amount.tokens:,} tokens at most, {a_step:.3g} FLOPs; the data tells how many steps there are, "
            "or --max-steps"
        )
        return {"flops_a_step": a_step}
    tokens, flops = amount.tokens * amount.steps, a_step * amount.steps
    progress.note(
        f"{many(amount.steps, 'step')} of {amount.tokens:,} tokens at most, {tokens:,} in all: {flops:.3g} FLOPs"
    )
    found: dict[str, float | int] = {
        "flops_a_step": a_step,
        "steps": amount.steps,
        "tokens": tokens,
        "flops": flops,
    }
    if device.peak_flops is None:
        return found
    mfu = device.mfu or costs.DEFAULT_MFU
    seconds = costs.seconds(flops, processes=processes, peak_flops=device.peak_flops, mfu=mfu)
    progress.note(
        f"time: {_time_told(seconds)} at {mfu:.0%} of {device.peak_flops / 1e12:,.4g} TFLOP/s a device, "
        f"{seconds * processes / 3600:,.3g} device-hours"
    )
    return found | {"seconds": seconds}


def _place(config: TrainConfig, processes: int, numbers: "Numbers") -> str:
    arithmetic = "float32" if numbers == "float32" else "bfloat16"
    if processes == 1:
        return f"memory, {config.optim}, {arithmetic}"
    return f"memory of each of {processes:,} processes, {config.strategy}, {config.optim}, {arithmetic}"


def _memory_told(memory: "Memory", batch: "Blank") -> str:
    parts = [
        f"weights {_told(memory.weights)}",
        f"gradients {_told(memory.gradients)}",
        f"optimiser {_told(memory.optimizer)}",
        f"activations of {batch.rows} x {batch.length:,} tokens {_told(memory.activations)}",
    ]
    if memory.working:
        parts.append(f"strategy and optimiser in passing {_told(memory.working)}")
    last = ", when each reads back the whole model at the end" if memory.peak == memory.read_back else ""
    return f"{', '.join(parts)}; {_told(memory.peak)} at the peak{last}"


def _told(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"


def _time_told(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:,.1f} days"
