"""Runs that are there: by name or path, the newest, the nearest to a name that is wrong."""

from collections.abc import Callable
from pathlib import Path

from llmctl.errors import RunError
from llmctl.recipe import suggestion
from llmctl.runs.directory import RunDir


def find(name: str, root: Path) -> RunDir | None:
    """The run called ``name`` under ``root``, or the one at the path ``name``; ``None`` if there is none.

    Raises:
        RunError: it is there, but for its recipe.
    """
    # What begins with a dot is a path from here, never a name: "./x" is not the run x.
    found = [RunDir(path) for path in (Path(name), *([] if name.startswith(".") else [root / name]))]
    for run in found:
        if run.recipe.is_file():
            return run
    for run in found:
        if run.lacks_recipe:
            raise without_recipe(run)
    return None


def without_recipe(run: RunDir) -> RunError:
    """What to raise for a run that lacks its recipe: where a copy is."""
    kept = next((path for path in run.all_checkpoints() if (path / run.recipe.name).is_file()), None)
    hint = "take it from a copy of the run"
    if kept:
        hint = f"its newest checkpoint has a copy: cp {kept / run.recipe.name} {run.recipe}"
    elif run.has_model:
        hint += f"; its model alone is {run.model}"
    return RunError(f"run {run.path} has no {run.recipe.name}", hint=hint)


def also_there(name: str, root: Path) -> str | None:
    """The path of what else ``name`` could mean than the run that :func:`find` takes; ``None``: nothing.

    A directory from here beside the run of that name, or that run beside one that is a directory from here.
    """
    here, named = RunDir(Path(name)), RunDir(root / name)
    if not (here.path.is_dir() and named.recipe.is_file()) or here.path.samefile(named.path):
        return None
    return str(named.path) if here.recipe.is_file() else f"./{here.path}"


def open_run(name: str, root: Path) -> RunDir:
    """Like :func:`find`.

    Raises:
        RunError: there is no such run; the hint names the nearest.
    """
    if run := find(name, root):
        return run
    hint = suggestion_for(name, root)
    raise RunError(f"no run {name!r} in {root}", hint=hint or "start one: llmctl pretrain")


def suggestion_for(name: str, root: Path) -> str | None:
    """``did you mean X?`` for the run nearest to ``name``, else the newest runs; ``None``: there is no run."""
    names = [run.name for run in list_runs(root)]
    return suggestion(name, names) or (f"runs in {root}: {', '.join(names[:5])}" if names else None)


def list_runs(root: Path) -> list[RunDir]:
    """All runs under ``root``, the newest first (by the time their recipe was written)."""
    recipes = [path for path in root.glob("[!.]*/recipe.yaml") if path.is_file()]
    return [RunDir(path.parent) for path in sorted(recipes, key=lambda p: p.stat().st_mtime_ns, reverse=True)]


def latest_finished(root: Path, *, fits: Callable[[RunDir], bool] = lambda run: True) -> RunDir:
    """The newest run whose model is complete, and fits.

    Raises:
        RunError: there is none; the hint says what to type.
    """
    runs = list_runs(root)
    finished = [run for run in runs if run.has_model]
    for run in filter(fits, finished):
        return run
    if finished:
        raise RunError(
            f"no run in {root} can do that; the newest, {finished[0].name}, was made by llmctl {finished[0].command()}",
            hint="name a model: a run, a Hub id or a directory",
        )
    if runs:
        raise RunError(
            f"no finished run in {root}; the newest, {runs[0].name}, is not finished",
            hint=runs[0].how_to_finish(),
        )
    raise RunError(
        f"no run in {root} and no model named",
        hint="train one with 'llmctl pretrain', or name a model: a Hub id or a directory",
    )
