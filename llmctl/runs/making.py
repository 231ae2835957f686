"""New runs, and the right to train one."""

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmctl import disk, locks
from llmctl.errors import RunError
from llmctl.runs.directory import RunDir
from llmctl.runs.finding import without_recipe

_OTHER_PLACE = "choose another place: --runs-dir, or LLMCTL_RUNS_DIR"
_SUFFIX = 8  # letters that tempfile adds to a name
_NAME = re.compile(r"[\w][\w.+-]{0,127}\Z")


def default_name(*parts: str) -> str:
    """``verb-data-model-yyyymmdd-hhmmss`` of parts made safe for a file name."""
    safe = [re.sub(r"[^\w.+]+", "-", part).strip("-.")[:40] for part in parts]
    return "-".join([*filter(None, safe), time.strftime("%Y%m%d-%H%M%S")])


def check_new(root: Path, name: str) -> Path:
    """The directory of a new run ``name`` under ``root``.

    Raises:
        RunError: the name is no file name, or the directory is in use or would be below a file.
    """
    if not _NAME.match(name):
        raise RunError(
            f"run name {name!r} is not a file name", hint="use letters, digits, '-', '_', '.' and '+'"
        )
    path = root / name
    above = next((folder for folder in path.parents if folder.exists()), root)
    if not above.is_dir():
        raise RunError(f"cannot make the run directory {path}: {above} is a file", hint=_OTHER_PLACE)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise _in_use(path)
    return path


def _in_use(path: Path) -> RunError:
    """What to raise for a new run where something is: what is there, and what then helps."""
    run, another = RunDir(path), "choose another --run-name"
    if not path.is_dir() or not (run.recipe.is_file() or run.lacks_recipe):
        return RunError(f"{path} is there already, and it is no run", hint=another)
    if run.in_training:
        return RunError(
            f"run directory in use: {path} is being trained by another process",
            hint=f"wait until that has ended, or {another}",
        )
    if run.lacks_recipe:
        return without_recipe(run)
    if run.finished:
        return RunError(f"run directory in use: {path} is finished", hint=another)
    return RunError(
        f"run directory in use: {path} is not finished", hint=f"{run.resume_command()}, or {another}"
    )


def create(root: Path, name: str, *, recipe: str, environment: Mapping[str, Any]) -> RunDir:
    """Make the directory of a new run, with its recipe and environment or not at all.

    Raises:
        RunError: the directory is in use or cannot be made.
    """
    path = check_new(root, name)
    try:
        root.mkdir(parents=True, exist_ok=True)
        disk.sweep(root, f".{name}.{'?' * _SUFFIX}")
        with disk.staged_directory(path) as staging:
            new = RunDir(staging)
            disk.write_file(new.recipe, recipe)
            new.write_environment(environment)
    except OSError as error:
        raise RunError(
            f"cannot make the run directory {path}: {error.strerror}", hint=_OTHER_PLACE
        ) from error
    return RunDir(path)


@contextlib.contextmanager
def locked(run: RunDir) -> Iterator[None]:
    """Keep other processes from training the same run meanwhile.

    Raises:
        RunError: one does already.
    """
    with locks.held(run.path) as mine:
        if not mine:
            raise _in_training(run)
        yield


def check_idle(run: RunDir) -> None:
    """Refuse a run that another process trains; raises as :func:`locked`."""
    if run.in_training:
        raise _in_training(run)


def _in_training(run: RunDir) -> RunError:
    return RunError(
        f"run {run.path} is being trained by another process",
        hint="wait until that has ended (llmctl runs list tells), or stop it first",
    )
