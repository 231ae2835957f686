"""Going on with a run: which one, and with what settings."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from llmctl import launch, runs
from llmctl.config import Launch
from llmctl.errors import ConfigError, LlmctlError, RunError
from llmctl.recipe import resolve
from llmctl.runs import RunDir
from llmctl.workflows import changes
from llmctl.workflows.asked_processes import fitting_batch

AUTO = "auto"

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
                name
                for name in changes.asked(config, resolve(type(config), run.recipe, {}))
                if name not in changes.SAFE
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
    asked = changes.asked(config, recipe)
    together = changes.examples_a_step(recipe, run)
    others = together is not None and launch.num_processes(config) != changes.world_size(run)
    allowed, streaming = changes.allowed(config), getattr(recipe, "streaming", False)
    changes.check(asked, allowed, run, streaming=streaming, same_batch=others)
    if others and recipe.global_batch_size is None:
        asked.setdefault("global_batch_size", (None, together))
    now = {name: value for name, (_, value) in asked.items()}
    if others and together and not config.asks_for("per_device_train_batch_size"):
        each, processes = recipe.per_device_train_batch_size, launch.num_processes(config)
        now["per_device_train_batch_size"] = fitting_batch(together, processes, each) or each
    now |= {item.name: getattr(config, item.name) for item in fields(Launch)}
    again = replace(recipe, **now, runs_dir=config.runs_dir, resume=None, allow_changes=config.allow_changes)
    return again, Resumed(run, asked, allowed)


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
