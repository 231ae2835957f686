"""A run: one directory that holds everything a training left behind.

::

    runs/<name>/
      recipe.yaml         resolved and complete
      environment.json    versions, hardware, data fingerprints
      metrics.jsonl       one line an event, appended
      checkpoints/        what --resume goes on from; gone when the run is finished, unless asked for
      model/              plain Hugging Face; stands there only when the training has ended
      eval/<split>.json   scores
      README.md           the model card
      manifest.json       size and SHA-256 of recipe, environment, metrics, tokenizer and model; the last to be written
"""

import contextlib
import errno
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl import disk, locks, manifest
from llmctl.errors import RunError
from llmctl.recipe import suggestion

_OTHER_PLACE = "choose another place: --runs-dir, or LLMCTL_RUNS_DIR"
_NO_ENVIRONMENT = (
    "take it from a copy of the run; without it nothing goes on: --recipe with its recipe.yaml begins anew"
)
CHECKPOINT = "checkpoint-"
"""What the folder of a checkpoint is called, before its step."""
_SUFFIX = 8  # letters that tempfile adds to a name
_NAME = re.compile(r"[\w][\w.+-]{0,127}\Z")


def cache_dir() -> Path:
    """Where prepared data is kept: ``LLMCTL_CACHE_DIR``, else ``llmctl`` in the user's cache directory."""
    if given := os.environ.get("LLMCTL_CACHE_DIR"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llmctl"


def runs_dir(given: str | None) -> Path:
    """Where runs are kept: the option, else ``LLMCTL_RUNS_DIR``, else ``./runs``."""
    return Path(given or os.environ.get("LLMCTL_RUNS_DIR") or "runs")


@dataclass(frozen=True)
class RunDir:
    """The layout of one run on disk."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def eval(self) -> Path:
        return self.path / "eval"

    @property
    def card(self) -> Path:
        return self.path / "README.md"

    @property
    def has_model(self) -> bool:
        """Whether ``model/`` is there: it is put in place whole when the training has ended."""
        return any((self.model / name).is_file() for name in ("config.json", "adapter_config.json"))

    @property
    def finished(self) -> bool:
        """Whether the run came to its end: the manifest is written last of all, before the checkpoints go.

        A model without either is kept: there is nothing that it could be made of again.
        """
        sealed = (self.path / manifest.NAME).is_file()
        return self.has_model and (sealed or not self.all_checkpoints())

    @property
    def lacks_recipe(self) -> bool:
        """Whether all shows that it is a run, but for its recipe."""
        made = self.environment.is_file() and (self.metrics.exists() or self.checkpoints.is_dir())
        return made and not self.recipe.is_file()

    @property
    def in_training(self) -> bool:
        """Whether a process trains it now, as far as that can be told here."""
        with contextlib.suppress(OSError):
            return bool(locks.is_held(self.path))
        return False

    def all_checkpoints(self) -> list[Path]:
        """The checkpoints, damaged ones too, the newest first."""
        steps = {
            int(number): path
            for path in self.checkpoints.glob(f"{CHECKPOINT}*")
            if (number := path.name.removeprefix(CHECKPOINT)).isdecimal()
        }
        return [steps[step] for step in sorted(steps, reverse=True)]

    def command(self) -> str:
        """The command that made the run: ``pretrain`` or ``finetune``."""
        return str(self.read_environment().get("command", ""))

    def resume_command(self) -> str:
        """What to type to go on with the run."""
        return f"llmctl {self.command()} --resume {self.path}{self.processes()}"

    def processes(self) -> str:
        """The option that makes as many processes as began the run, as it is typed; empty for one."""
        with contextlib.suppress(RunError):
            if (count := self.read_environment().get("num_processes", 1)) != 1:
                return f" --num-processes {count}"
        return ""

    def read_environment(self) -> dict[str, Any]:
        """``environment.json``.

        Raises:
            RunError: it is missing or no JSON object.
        """
        try:
            environment: dict[str, Any] = json.loads(self.environment.read_text(encoding="utf-8"))
        except OSError as error:
            raise RunError(f"{self.environment}: {error.strerror}", hint=_NO_ENVIRONMENT) from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"{self.environment} is damaged: {error}", hint=_NO_ENVIRONMENT) from error
        if not isinstance(environment, dict):
            raise RunError(f"{self.environment} is damaged: it is no JSON object", hint=_NO_ENVIRONMENT)
        return environment

    def events(self) -> Iterator[dict[str, Any]]:
        """The events of ``metrics.jsonl``, oldest first; a last line cut short by a crash is left out."""
        if self.metrics.exists():
            for line in self.metrics.read_text(encoding="utf-8", errors="replace").split("\n"):
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict) and isinstance(event.get("step"), int):
                        yield event

    def forget_events(self, size: int) -> None:
        """Cut ``metrics.jsonl`` to the bytes that it had when a checkpoint was saved: what came after comes again.

        Of one that was cut shorter meanwhile whole lines are left.
        """
        if not self.metrics.exists():
            return
        found = self.metrics.read_bytes()[:size]
        os.truncate(self.metrics, found.rfind(b"\n") + 1)

    def seal(self) -> None:
        """Write the manifest: the training is over, and its model in place and on the disk as it was written.

        Raises:
            OSError: it is not, or cannot be written.
        """
        parts = [
            self.recipe,
            self.environment,
            self.metrics,
            *self.tokenizer.rglob("*"),
            *self.model.rglob("*"),
        ]
        manifest.seal(self.path, [path for path in parts if path.is_file()])
        if found := manifest.damage(self.path, on_disk=True):
            (self.path / manifest.NAME).unlink()  # not finished: the checkpoints are still there
            raise OSError(errno.EIO, found[0], str(self.path))

    def seconds(self) -> float:
        """What the run's sessions took up to the last event, without the time between them."""
        return max((float(event.get("seconds", 0.0)) for event in self.events()), default=0.0)


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
        return _without_recipe(run)
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
            disk.write_file(new.environment, json.dumps(environment, indent=2) + "\n")
    except OSError as error:
        raise RunError(
            f"cannot make the run directory {path}: {error.strerror}", hint=_OTHER_PLACE
        ) from error
    return RunDir(path)


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
            raise _without_recipe(run)
    return None


def _without_recipe(run: RunDir) -> RunError:
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
            hint=runs[0].resume_command(),
        )
    raise RunError(
        f"no run in {root} and no model named",
        hint="train one with 'llmctl pretrain', or name a model: a Hub id or a directory",
    )


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
