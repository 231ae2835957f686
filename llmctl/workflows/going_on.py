"""A run that goes on: held to what it was, and what is other from there on is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmctl import manifest
from llmctl.environment import versions
from llmctl.errors import ConfigError, DataError, RunError
from llmctl.progress import Progress, many
from llmctl.workflows.changes import DATA, SAFE, SOURCES, edited
from llmctl.workflows.resuming import Resumed


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
            if resumed.allowed & (SOURCES if name == "validation" else {DATA}):
                progress.note(what)
                continue
            raise DataError(
                what,
                hint="put it back, or --allow-changes data: the run then goes on with what is there now",
            )
    for name in sorted(SOURCES & resumed.changes.keys() - resumed.allowed):
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
    told = {name: list(values) for name, values in resumed.changes.items() if name not in SAFE}
    environment = resumed.run.read_environment()
    if not told and environment.get("num_processes", 1) == world_size:
        return
    for name, (then, now) in told.items():
        if name == "global_batch_size" and then is None:
            progress.note(f"a step has {now} examples, as before")
        else:
            progress.note(f"changed from step {step:,} on: {name} {then} -> {now}")
    environment["num_processes"] = world_size
    environment["directory"] = str(Path.cwd())  # where all that the recipe now names was found
    if told:
        environment["changes"] = [*environment.get("changes", []), {"step": step, **told}]
    resumed.run.write_environment(environment)


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
