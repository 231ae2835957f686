"""Going on with a run: which one, with what changes, and what then cannot be exact."""

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from llmctl import disk, launch, manifest, runs
from llmctl.config import FinetuneConfig, Launch, PretrainConfig, RunPlace, Training, options
from llmctl.data.mixture import ingredients
from llmctl.environment import versions
from llmctl.errors import ConfigError, DataError, LlmctlError, RunError
from llmctl.progress import Progress, many
from llmctl.recipe import resolve, suggestion
from llmctl.runs import RunDir

AUTO = "auto"
# What changes neither the weights nor the scores.
_SAFE = frozenset(
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
_DATA = "data"
_SOURCES = frozenset((_DATA, "validation_data"))
_CHANGEABLE = frozenset(item.name for item in fields(Training)) | _SAFE | _SOURCES
_PLACE = frozenset(item.name for kind in (RunPlace, Launch) for item in fields(kind)) - _SAFE
_BATCH = frozenset(("per_device_train_batch_size", "gradient_accumulation_steps"))

ConfigT = TypeVar("ConfigT", bound=Any)


class AlreadyFinishedError(LlmctlError):
    """``--resume auto`` finds its run finished: what a scheduler asks for is done."""

    exit_code = 0
    label = ""


@dataclass(frozen=True)
class Resumed:
    """A run to go on with, and what is other than when it began: name -> value then, value now.

    Attributes:
        allowed: the settings that may be other.
    """

    run: RunDir
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    allowed: frozenset[str] = frozenset()


def find(command: str, config: Any) -> RunDir | None:
    """The run to go on with; ``None``: the config asks for a new one.

    Raises:
        RunError: there is no such run, another command made it, or it is finished.
        ConfigError: ``--resume auto`` without a name.
        AlreadyFinishedError: ``--resume auto``, and the run is finished.
    """
    if not config.resume:
        return None
    if config.find_learning_rate:
        raise ConfigError("--find-learning-rate tries a new model: leave out --resume")
    root = runs.runs_dir(config.runs_dir)
    if config.resume != AUTO:
        if config.run_name:
            raise ConfigError(
                f"--resume {config.resume} goes on with that run: it keeps its name",
                hint="leave out --run-name",
            )
        run = runs.open_run(config.resume, root)
    elif not config.run_name:
        raise ConfigError("--resume auto: which run?", hint="name it: --run-name NAME")
    elif (found := runs.find(str(root / config.run_name), root)) is None:
        return None
    else:
        run = found
    if run.command() != command:
        raise RunError(
            f"run {run.name} was made by llmctl {run.command()}",
            hint=run.resume_command(),
        )
    if run.finished:
        if config.resume == AUTO:
            other = [
                name for name in _changes(config, resolve(type(config), run.recipe, {})) if name not in _SAFE
            ]
            told = f" ({', '.join(other)} asked for here is not what it was trained with)" if other else ""
            raise AlreadyFinishedError(f"run {run.path} is finished: there is nothing to do{told}")
        raise RunError(
            f"run {run.name} is finished: there is nothing to resume", hint=f"llmctl eval {run.path}"
        )
    return run


def take_up(command: str, config: ConfigT) -> tuple[ConfigT, Resumed | None]:
    """The config that a run goes on with, and what is changed; a config that asks for a new run as it is.

    Another number of processes sees as many examples a step as before: the run's steps are then what they were.

    Raises:
        ConfigError: a setting is changed that is neither safe nor named by ``--allow-changes``, or cannot be.
    """
    run = find(command, config)
    if run is None:
        return config, None
    recipe = resolve(type(config), run.recipe, {})
    changes = _changes(config, recipe)
    together = _examples_a_step(recipe, run)
    others = together is not None and launch.num_processes(config) != _world_size(run)
    _check(changes, config, run, streaming=getattr(recipe, "streaming", False), same_batch=others)
    if others and recipe.global_batch_size is None:
        changes.setdefault("global_batch_size", (None, together))
    now = {name: value for name, (_, value) in changes.items()}
    now |= {item.name: getattr(config, item.name) for item in fields(Launch)}
    again = replace(recipe, **now, runs_dir=config.runs_dir, resume=None, allow_changes=config.allow_changes)
    return again, Resumed(run, changes, _allowed(config))


def _changes(config: Any, recipe: Any) -> dict[str, tuple[Any, Any]]:
    """What is asked for beside ``--resume`` and is not as in the run's recipe."""
    found = {}
    kept = _PLACE | (_BATCH if recipe.auto_batch_size and _together(config) == _together(recipe) else set())
    for item in options(type(config)):
        asked, then = getattr(config, item.name), getattr(recipe, item.name)
        if item.name not in kept and asked != then and config.asks_for(item.name):
            found[item.name] = (then, asked)
    return found


def _world_size(run: RunDir) -> int | None:
    """The processes that saved the newest checkpoint; ``None``: there is none that tells."""
    newest = next(iter(run.all_checkpoints()), None)
    try:
        return int(manifest.read(newest)["world_size"]) if newest else None
    except (ValueError, KeyError):
        return None


def _examples_a_step(recipe: Any, run: RunDir) -> int | None:
    """Of all processes together, as far as the newest checkpoint tells how many those were."""
    processes, each = _world_size(run), _together(recipe)
    return recipe.global_batch_size or (processes * each if processes and each else None)


def _together(config: Any) -> int | None:
    """Examples that a device sees in a step, which stay as they are when memory has asked for smaller batches."""
    size = config.per_device_train_batch_size
    return size and int(size * config.gradient_accumulation_steps)


def _may_be_moved(name: str, then: Any, now: Any, *, streaming: bool) -> bool:
    """Whether a source could be the same data in another place, which its fingerprint tells once it was read.

    The fingerprint does not know in what shares sources are mixed; that of a stream knows names and sizes alone.
    """
    if name not in _SOURCES or streaming or not (then and now):
        return False
    return [part.weight for part in ingredients(then)] == [part.weight for part in ingredients(now)]


def _allowed(config: Any) -> frozenset[str]:
    return frozenset(name.lstrip("-").replace("-", "_") for name in config.allow_changes)


def _check(
    changes: Mapping[str, tuple[Any, Any]], config: Any, run: RunDir, *, streaming: bool, same_batch: bool
) -> None:
    """Refuse changes without leave; ``same_batch``: however it is parted, a step sees as many examples as before."""
    allowed = _allowed(config)
    safe = _SAFE | allowed | (_BATCH if same_batch else set())
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


@contextmanager
def told_where_from(run: RunDir) -> Iterator[None]:
    """Have what cannot be found from here say where the run was trained: its recipe may name it by a path from there.

    Raises:
        ConfigError: what the block raises, so completed.
    """
    try:
        yield
    except ConfigError as error:
        place, here = run.read_environment().get("directory"), str(Path.cwd())
        if not isinstance(place, str) or place == here:
            raise
        raise ConfigError(
            f"{error.message}; run {run.name} was trained from {place}, this is {here}",
            hint=shlex.join(["cd", place]) + f" && llmctl {run.command()} --resume {run.path.absolute()}",
        ) from error


def check_data(resumed: Resumed, described: Mapping[str, Mapping[str, Any]], progress: Progress) -> None:
    """Hold the data to that which the run began with; tell what is other where that is allowed, and what is moved.

    Raises:
        DataError: it is another, and ``--allow-changes data`` was not said.
    """
    before = resumed.run.read_environment().get("data", {})
    for name in sorted({*before, *described}):
        then, now = before.get(name, {}), described.get(name, {})
        if then.get("fingerprint") != now.get("fingerprint"):
            what = f"{now.get('name', name)} is not what run {resumed.run.name} began with: {_difference(then, now)}"
            if resumed.allowed & (_SOURCES if name == "validation" else {_DATA}):
                progress.note(what)
                continue
            raise DataError(
                what,
                hint="put it back, or --allow-changes data: the run then goes on with what is there now",
            )
    for name in sorted(_SOURCES & resumed.changes.keys() - resumed.allowed):
        progress.note(
            f"{name} {resumed.changes[name][1]} has the content that run {resumed.run.name} began with"
        )


def _difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first file, or number, that tells the data apart."""
    for kind, key in (("files", "path"), ("shards", "name")):
        sizes = {file[key]: file["bytes"] for file in then.get(kind, ())}
        for file in now.get(kind, ()):
            if (size := sizes.pop(file[key], None)) != file["bytes"]:
                was = "was not there" if size is None else f"had {size:,} bytes"
                return f"{kind[:-1]} {file[key]} {was}, has {file['bytes']:,} bytes now"
        for gone in sizes:
            return f"{kind[:-1]} {gone} is not there any more"
    for key in ("num_documents", "num_examples"):
        if then.get(key) != now.get(key):
            return f"{then.get(key)} {key.removeprefix('num_')} then, {now.get(key)} now"
    return "its content has changed"


def go_on_from(resumed: Resumed, checkpoint: Any, world_size: int, progress: Progress) -> None:
    """Tell where the run goes on, what is changed from there on and what will not be exact; forget what came after.

    Args:
        checkpoint: ``training.Checkpoint``; ``None``: none is left, or none was ever saved.
        world_size: processes that go on.
    """
    step = checkpoint.step if checkpoint else 0
    if (asked := resumed.changes.get("max_steps", (0, None))[1]) is not None and asked < step:
        raise ConfigError(
            f"max_steps {asked:,}: run {resumed.run.name} is at step {step:,} already",
            hint=f"{step + 1:,} or more",
        )
    if checkpoint:
        _check_unchanged(resumed, checkpoint)
    place = f"goes on from {checkpoint.path}" if checkpoint else "has no checkpoint: it begins anew"
    progress.note(f"{resumed.run.name} {place}")
    if checkpoint and manifest.digest(resumed.run.metrics, checkpoint.metrics_bytes) != checkpoint.metrics:
        progress.warn(
            f"{resumed.run.metrics} is not what it was when {checkpoint.path.name} was saved: events of "
            "its first steps are lost, or changed; weights and scores do not depend on them"
        )
    resumed.run.forget_events(checkpoint.metrics_bytes if checkpoint else 0)
    if checkpoint:
        _warn_inexact(checkpoint, world_size, progress)
    told = {name: list(values) for name, values in resumed.changes.items() if name not in _SAFE}
    if not told:
        return
    for name, (then, now) in told.items():
        progress.note(f"changed from step {step:,} on: {name} {then} -> {now}")
    environment = resumed.run.read_environment()
    environment["directory"] = str(Path.cwd())  # where all that the recipe now names was found
    environment["changes"] = [*environment.get("changes", []), {"step": step, **told}]
    disk.write_file(resumed.run.environment, json.dumps(environment, indent=2) + "\n")


def _check_unchanged(resumed: Resumed, checkpoint: Any) -> None:
    """Hold recipe and tokenizer of the run to those that the checkpoint was made with.

    Raises:
        ConfigError: a setting that decides numbers is another, and ``--allow-changes`` does not name it.
        RunError: the tokenizer is another.
    """
    run = resumed.run
    if manifest.digest(run.tokenizer) not in (
        checkpoint.tokenizer,
        None,
    ):  # a lost one is made again, or given
        raise RunError(
            f"{run.tokenizer} is not what it was when {checkpoint.path.name} was saved",
            hint="put it back; with another tokenizer it would be another training",
        )
    for name, told in edited(run, checkpoint.recipe, checkpoint.step).items():
        if name not in resumed.allowed:
            raise ConfigError(
                f"{run.recipe}: {told}",
                hint=f"put it back, or --allow-changes {name}: it then holds from here on",
            )


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
    known = _SAFE.union(_PLACE, *with_leave)
    if now.auto_batch_size or now.global_batch_size:
        known |= _BATCH
    found = {}
    for name in (item.name for item in options(kind) if item.name not in known):
        before, after = getattr(then, name), getattr(now, name)
        streaming = getattr(now, "streaming", False)
        if before != after and not _may_be_moved(name, before, after, streaming=streaming):
            found[name] = f"{name} is {after}, {recipe.parent.name} was made with {before}"
    return found


def _warn_inexact(checkpoint: Any, world_size: int, progress: Progress) -> None:
    if checkpoint.world_size != world_size:
        progress.warn(
            f"{checkpoint.path} was saved by {many(checkpoint.world_size, 'process', 'processes')}, {world_size} now: "
            "dropout and the order of batches of like length are others from here on, so the result is not bit for bit "
            "the uninterrupted run's"
        )
    for library, version in checkpoint.versions.items():
        if (here := versions().get(library)) != version:
            progress.warn(
                f"{checkpoint.path} was saved with {library} {version}, this is {here}: the last bits may differ"
            )
