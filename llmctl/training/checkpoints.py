"""Checkpoints: complete or absent, and only those that are as they were written are gone on from.

::

    checkpoints/
      checkpoint-N/      Trainer's files of step N, and manifest.json
      .saving-N/         what a save or a removal that was cut short left behind; removed when the run goes on
"""

import errno
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from transformers import TrainerState
from transformers.trainer import TRAINING_ARGS_NAME

from llmctl import disk, environment, manifest, runs
from llmctl.config import Training
from llmctl.errors import MORE_THREADS, RunError, lacks_threads
from llmctl.progress import SILENT, Progress
from llmctl.runs import RunDir

_STAGING = ".saving-"
_DAMAGED = "damaged-"
_FACTS = ("world_size", "versions", "metrics_bytes", "metrics", "tokenizer")
_NEXT_TO_NOTHING = 1 << 16
_BYTES_PER_STATE = 4  # optimisers keep float32


class CheckpointError(RunError):
    """A checkpoint could not be written; those before it are as they were."""

    exit_code = 1


class Checkpoint(NamedTuple):
    """A checkpoint that is as it was written.

    Attributes:
        world_size: processes that trained when it was saved.
        versions: of the libraries then.
        metrics_bytes: size of ``metrics.jsonl`` then.
        metrics: its SHA-256; ``None``: there was none.
        tokenizer: SHA-256 of the run's tokenizer; ``None``: there was none.
    """

    path: Path
    step: int
    world_size: int
    versions: dict[str, str]
    metrics_bytes: int
    metrics: str | None
    tokenizer: str | None

    @property
    def recipe(self) -> Path:
        """The run's recipe as it was then."""
        return self.path / "recipe.yaml"


def path_of(run: RunDir, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return run.checkpoints / f"{runs.CHECKPOINT}{step}"


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was saved at."""
    return int(checkpoint.name.removeprefix(runs.CHECKPOINT))


def staging_of(run: RunDir, step: int) -> Path:
    """Where the checkpoint of a step is made before it is put in its place: Trainer adds its name."""
    return run.checkpoints / f"{_STAGING}{step}"


class Saves:
    """Puts checkpoints in place, and reads each from the disk again while the training goes on.

    The oldest go when that was well, so a checkpoint that reads back right is there at any time. As a context manager
    it waits at its end for what is being read.

    Args:
        limit: how many checkpoints are kept, the best and the newest in any case; ``None``: all.
        resume: what to type after a save that failed, once that is mended.
    """

    def __init__(self, run: RunDir, *, limit: int | None, resume: str | None) -> None:
        self.run, self.limit, self.resume = run, limit, resume
        self._reader = ThreadPoolExecutor(1)
        self._read: Future[None] | None = None

    def __enter__(self) -> "Saves":
        return self

    def __exit__(self, kind: type[BaseException] | None, *given: object) -> None:
        if kind is None:
            self.settle()
        self._reader.shutdown()

    def made_in(self, step: int) -> Path:
        """The folder that a checkpoint's files are written to before it is put in place."""
        return staging_of(self.run, step) / path_of(self.run, step).name

    def put_in_place(self, step: int, *, world_size: int, best: int | None) -> None:
        """Seal the checkpoint of ``step``, and put it in its place; those that are too many go once it is read back.

        Args:
            best: the step whose checkpoint is never removed.

        Raises:
            OSError: it cannot be written.
        """
        made, place = self.made_in(step), path_of(self.run, step)
        # Never read, a pickle, and it holds the Hub's token as it is.
        (made / TRAINING_ARGS_NAME).unlink(missing_ok=True)
        if self.run.recipe.exists():
            shutil.copyfile(self.run.recipe, made / self.run.recipe.name)
        disk.settle_directory(made)
        size = _metrics_on_disk(self.run)
        of_run = {
            "metrics": manifest.digest(self.run.metrics),
            "tokenizer": manifest.digest(self.run.tokenizer),
        }
        how: dict[str, Any] = {
            "world_size": world_size,
            "versions": environment.versions(),
            "metrics_bytes": size,
        }
        manifest.seal(made, None, step=step, **how, **of_run)
        if place.exists():  # damaged, else the run would not have come here again
            shutil.rmtree(place)
        os.replace(made, place)
        disk.flush_directory(self.run.checkpoints)
        disk.flush_directory(self.run.path)
        self._read = self._reader.submit(self._read_back, step, best)

    def settle(self) -> None:
        """Wait until the last checkpoint has been read back.

        Raises:
            CheckpointError: it is not on the disk as it was written; it is set aside.
        """
        read, self._read = self._read, None
        if read:
            read.result()

    def _read_back(self, step: int, best: int | None) -> None:
        place = path_of(self.run, step)
        if found := manifest.damage(place, on_disk=True):
            _set_aside(place)
            raise self.failed(step, OSError(errno.EIO, f"read back from disk, {found[0]}"))
        if self.limit is not None:
            _rotate(self.run, self.limit, best)

    def failed(self, step: int, error: Exception) -> CheckpointError:
        """What to raise for an error of the libraries while the checkpoint of ``step`` was written."""
        number = error.errno if isinstance(error, OSError) else None
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).partition("\n")[0]
        with suppress(OSError):
            free = shutil.disk_usage(self.run.path).free
            if free < _NEXT_TO_NOTHING:  # torch tells both in words of its own
                number, reason = errno.ENOSPC, os.strerror(errno.ENOSPC)
            elif number is None and self._reached_size_limit(step):
                number, reason = errno.EFBIG, os.strerror(errno.EFBIG)
            reason += f" ({free / 1e6:,.1f} MB free)"
        before = self.run.all_checkpoints()
        last = f"the last good one is {before[0]}" if before else "there is none before it"
        help_first = MORE_THREADS if lacks_threads(error) else disk.remedy(number)
        hint = help_first + (f", then: {self.resume}" if self.resume else "")
        return CheckpointError(f"cannot save a checkpoint at step {step:,}: {reason}; {last}", hint=hint)

    def _reached_size_limit(self, step: int) -> bool:
        limit = disk.size_limit()
        files = staging_of(self.run, step).rglob("*")
        return any(file.is_file() and file.stat().st_size >= limit for file in files)


def _metrics_on_disk(run: RunDir) -> int:
    """The bytes of ``metrics.jsonl``, flushed."""
    if not run.metrics.exists():
        return 0
    disk.flush_file(run.metrics)
    return run.metrics.stat().st_size


def _rotate(run: RunDir, limit: int, best: int | None) -> None:
    """Remove the oldest checkpoints, so that ``limit`` are left; the best step's is never removed."""
    kept = run.all_checkpoints()
    spare = len(kept) - limit
    for path in reversed(kept[1:]):
        if spare <= 0:
            break
        if (step := step_of(path)) != best:
            gone = path.rename(staging_of(run, step))  # cut short, it is litter and no damaged checkpoint
            shutil.rmtree(gone, ignore_errors=True)
            spare -= 1


def _set_aside(path: Path) -> Path:
    """Give a damaged checkpoint a name of its own, so that it takes the place of no good one."""
    aside = path.with_name(f"{_DAMAGED}{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    return path.rename(aside)


WRITE_ERRORS = (OSError, SafetensorError, RuntimeError)
"""What the libraries raise when a file cannot be written; torch says RuntimeError."""


def clean_up(run: RunDir) -> None:
    """Remove what writing that was cut short left behind, and the model of a run that did not get to its end."""
    # Of a run that lost its model: with the new one in place it would say that all is done.
    (run.path / manifest.NAME).unlink(missing_ok=True)
    parts = (run.recipe, run.environment, run.tokenizer, run.model, run.card, run.path / manifest.NAME)
    leftovers = [path for part in parts for path in run.path.glob(f".{part.name}.*")] + [*run.eval.glob(".*")]
    for path in (*leftovers, *run.checkpoints.glob(f"{_STAGING}*"), run.model):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def check_space(config: Training, run: RunDir, model: Any, progress: Progress) -> None:
    """Tell what checkpoints will take on disk at most.

    The weights as they are, and two numbers of optimiser state for each that is trained, which is what AdamW has.

    Raises:
        RunError: there is no room for one checkpoint and the model beside it.
    """
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    saved = trained if hasattr(model, "peft_config") else list(model.parameters())
    weights = sum(weight.numel() * weight.element_size() for weight in saved)
    copies = 2 if config.strategy == "fsdp" else 1  # what a model is loaded from, and what FSDP goes on from
    one = copies * weights + sum(2 * _BYTES_PER_STATE * weight.numel() for weight in trained)
    most = max(config.save_total_limit, 2) + 1  # the newest stands beside them before the oldest goes
    free = shutil.disk_usage(run.path).free
    told = f"a checkpoint takes {one / 1e6:,.1f} MB, the model {weights / 1e6:,.1f} MB; {free / 1e6:,.1f} MB are free"
    if free < one + weights:
        raise RunError(f"{run.path}: no room: {told}", hint="make room, or choose another place: --runs-dir")
    if free < most * one + weights:
        progress.warn(
            f"{run.path}: {told}, and up to {most} checkpoints are there at a time (--save-total-limit)"
        )


def newest(run: RunDir, progress: Progress = SILENT) -> Checkpoint | None:
    """The newest checkpoint that is as it was written; damaged ones on the way are set aside, and that is told."""
    for path in run.all_checkpoints():
        if not (found := manifest.damage(path)):
            said = manifest.read(path)
            if missing := [fact for fact in _FACTS if fact not in said]:
                found = [f"{manifest.NAME} does not say {missing[0]}"]
            else:
                return Checkpoint(path, step_of(path), *(said[fact] for fact in _FACTS))
        aside = _set_aside(path)
        progress.warn(f"{path} is damaged and passed over: {found[0]}; it is {aside.name} now")
    return None


def settle_best(run: RunDir, state: TrainerState, progress: Progress = SILENT) -> None:
    """Point the record of the best model at its checkpoint in this run, wherever the run is now.

    A damaged or missing one is told and forgotten: the best of the steps to come is kept, or the last model.
    """
    if state.best_global_step is None:
        return
    best = path_of(run, state.best_global_step)
    if found := manifest.damage(best):
        what = f"is damaged: {found[0]}" if best.exists() else "is not there any more"
        progress.warn(
            f"{best}, the best model so far, {what}; the best of the steps that are left is kept, or the last model"
        )
        state.best_metric = state.best_global_step = state.best_model_checkpoint = None
    else:
        state.best_model_checkpoint = str(best)


def remove_all(run: RunDir) -> int:
    """Remove the checkpoints of a finished run; what a tracker wrote beside them stays.

    Returns:
        How many bytes that freed.
    """
    freed = 0
    for checkpoint in (*run.all_checkpoints(), *run.checkpoints.glob(f"{_DAMAGED}*")):
        freed += sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())
        shutil.rmtree(checkpoint, ignore_errors=True)
    with suppress(OSError):  # not empty
        run.checkpoints.rmdir()
    return freed
