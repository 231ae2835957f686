"""What may change while a run goes on, and what does."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from llmctl import manifest
from llmctl.config import FinetuneConfig, Launch, PretrainConfig, RunPlace, Training, options
from llmctl.data.mixture import ingredients
from llmctl.errors import ConfigError
from llmctl.recipe import resolve, suggestion
from llmctl.runs import RunDir

SAFE = frozenset(
    (
        "dataloader_num_workers",
        "keep_checkpoints",
        "logging_steps",
        "report_to",
        "save_steps",
        "save_total_limit",
        "time_limit",
    )
)
"""What changes neither the weights nor the scores."""
DATA = "data"
SOURCES = frozenset((DATA, "validation_data"))
"""What may be moved, and is held to its fingerprint."""
_CHANGEABLE = frozenset(item.name for item in fields(Training)) | SAFE | SOURCES
_PLACE = frozenset(item.name for kind in (RunPlace, Launch) for item in fields(kind)) - SAFE
_BATCH = frozenset(("per_device_train_batch_size", "gradient_accumulation_steps"))


def asked(config: Any, recipe: Any) -> dict[str, tuple[Any, Any]]:
    """What is asked for beside ``--resume`` and is not as in the run's recipe."""
    found = {}
    kept = _PLACE | (_BATCH if recipe.auto_batch_size and _together(config) == _together(recipe) else set())
    for item in options(type(config)):
        now, then = getattr(config, item.name), getattr(recipe, item.name)
        if item.name not in kept and now != then and config.asks_for(item.name):
            found[item.name] = (then, now)
    return found


def check(
    changes: Mapping[str, tuple[Any, Any]],
    allowed: frozenset[str],
    run: RunDir,
    *,
    streaming: bool,
    same_batch: bool,
) -> None:
    """Refuse changes without leave.

    Args:
        changes: setting -> its values then and now.
        same_batch: however it is parted, a step sees as many examples as before.

    Raises:
        ConfigError: naming them.
    """
    safe = SAFE | allowed | (_BATCH if same_batch else set())
    for name in sorted(allowed - _CHANGEABLE):
        hint = (
            suggestion(name, sorted(_CHANGEABLE)) or "it is given by the run; start a new one from its model"
        )
        raise ConfigError(f"--allow-changes {name}: that cannot change while a run goes on", hint=hint)
    refused = [
        name
        for name, values in changes.items()
        if name not in safe and not _may_be_moved(name, *values, streaming=streaming)
    ]
    if not refused:
        return
    told = "; ".join(f"{name} is {changes[name][0]} there, {changes[name][1]} here" for name in refused)
    fixed = [name for name in refused if name not in _CHANGEABLE]
    if fixed:
        hint = (
            f"{', '.join(fixed)} cannot change while a run goes on; leave it out: the run's own recipe holds"
        )
    else:
        hint = "leave it out, or allow it: " + " ".join(f"--allow-changes {name}" for name in refused)
    raise ConfigError(f"--resume {run.name} goes on with the run's own recipe: {told}", hint=hint)


def allowed(config: Any) -> frozenset[str]:
    """The settings that ``--allow-changes`` names."""
    return frozenset(name.lstrip("-").replace("-", "_") for name in config.allow_changes)


def _may_be_moved(name: str, then: Any, now: Any, *, streaming: bool) -> bool:
    """Whether a source could be the same data in another place, which its fingerprint tells once it was read.

    The fingerprint does not know in what shares sources are mixed; that of a stream knows names and sizes alone.
    """
    if name not in SOURCES or streaming or not (then and now):
        return False
    return [part.weight for part in ingredients(then)] == [part.weight for part in ingredients(now)]


def _together(config: Any) -> int | None:
    """Examples that a device sees in a step, which stay as they are when memory has asked for smaller batches."""
    size = config.per_device_train_batch_size
    return size and int(size * config.gradient_accumulation_steps)


def world_size(run: RunDir) -> int | None:
    """The processes that saved the newest checkpoint; ``None``: there is none that tells."""
    newest = next(iter(run.all_checkpoints()), None)
    try:
        return int(manifest.read(newest)["world_size"]) if newest else None
    except (ValueError, KeyError):
        return None


def examples_a_step(recipe: Any, run: RunDir) -> int | None:
    """Of all processes together, as far as the newest checkpoint tells how many those were."""
    processes, each = world_size(run), _together(recipe)
    return recipe.global_batch_size or (processes * each if processes and each else None)


def edited(run: RunDir, recipe: Path, step: int) -> dict[str, str]:
    """What the run's recipe says otherwise than its copy in a checkpoint, unless it was changed with leave since.

    Args:
        recipe: the copy.
        step: of that checkpoint.

    Returns:
        setting -> its values now and then, as a message has them.

    Raises:
        ConfigError: one of the recipes cannot be read.
        RunError: ``environment.json`` cannot be read.
    """
    kind: Any = FinetuneConfig if run.command() == "finetune" else PretrainConfig
    then: Any = resolve(kind, recipe, {})
    now: Any = resolve(kind, run.recipe, {})
    with_leave = [change for change in run.read_environment().get("changes", ()) if change["step"] >= step]
    known = SAFE.union(_PLACE, *with_leave)
    if now.auto_batch_size or now.global_batch_size:
        known |= _BATCH
    found = {}
    for name in (item.name for item in options(kind) if item.name not in known):
        before, after = getattr(then, name), getattr(now, name)
        streaming = getattr(now, "streaming", False)
        if before != after and not _may_be_moved(name, before, after, streaming=streaming):
            found[name] = f"{name} is {after}, {recipe.parent.name} was made with {before}"
    return found
