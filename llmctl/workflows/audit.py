"""The story of ``llmctl runs verify``: whether the files of a run are as they were written."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmctl import manifest, runs
from llmctl.config import RunsVerifyConfig
from llmctl.errors import RunError
from llmctl.progress import Progress, many
from llmctl.runs import RunDir


class DamagedError(RunError):
    """Files of a run are not as they were written."""

    exit_code = 1


@dataclass(frozen=True)
class Part:
    """What one manifest says: the run's own, or a checkpoint's.

    Attributes:
        name: ``run``, or where the checkpoint is in the run.
        num_files: that the manifest names.
        num_bytes: of these files, as they were written.
        damage: a line for each file that is damaged, missing, or was added to what is loaded.
    """

    name: str
    num_files: int
    num_bytes: int
    damage: list[str]


@dataclass(frozen=True)
class Audit:
    """What was found out about a run.

    Attributes:
        finished: whether the run has its own manifest; else only its checkpoints could be checked.
        not_covered: files that no manifest names, so that nothing can be said of them: model card, scores, ...
        made_from: command, time, versions and fingerprints of the data, as ``environment.json`` has them.
    """

    run: str
    finished: bool
    parts: list[Part]
    not_covered: list[str]
    made_from: dict[str, Any]

    @property
    def sound(self) -> bool:
        return not any(part.damage for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "sound": self.sound}

    def sources(self) -> dict[str, str]:
        """Each split's data and its fingerprint."""
        data = self.made_from.get("data")
        splits = data.items() if isinstance(data, dict) else ()
        return {
            name: f"{split.get('name')}, fingerprint {split.get('fingerprint')}"
            for name, split in splits
            if isinstance(split, dict)
        }

    def check(self) -> None:
        """Raise DamagedError where something is damaged."""
        if self.sound:
            return
        places = [part.name for part in self.parts if part.damage]
        count = sum(len(part.damage) for part in self.parts)
        hint = "take the files from a copy of the run, or train it again"
        if places != ["run"] and not self.finished:
            hint = f"a damaged checkpoint is passed over: --resume {self.run}"
        raise DamagedError(
            f"{self.run} is not as it was written: {many(count, 'finding')} in {', '.join(places)}", hint=hint
        )


def run(config: RunsVerifyConfig, *, progress: Progress) -> Audit:
    """Check every hash of a run's manifest and of its checkpoints' manifests; nothing is changed.

    Raises:
        RunError: there is no such run, it is being trained, or it has nothing that could be verified yet.
    """
    run_dir = _run(config, progress)
    finished = (run_dir.path / manifest.NAME).is_file()  # whatever has become of its model
    # A training writes and removes checkpoints: nothing could be said of them.
    with nullcontext() if finished else runs.locked(run_dir):
        covered: set[Path] = set()
        parts = [_part(run_dir, folder, covered) for folder in _sealed(run_dir, finished)]
        if not parts:
            raise RunError(
                f"{run_dir.path} has nothing to verify: neither {manifest.NAME} nor a checkpoint",
                hint=f"finish it: llmctl {run_dir.command()} --resume {run_dir.path}",
            )
        rest = sorted(path for path in run_dir.path.rglob("*") if path.is_file() and path not in covered)
    names = [path.relative_to(run_dir.path).as_posix() for path in rest]
    return Audit(str(run_dir.path), finished, parts, names, _made_from(run_dir))


def _run(config: RunsVerifyConfig, progress: Progress) -> RunDir:
    root = runs.runs_dir(config.runs_dir)
    if config.run:
        return runs.open_run(config.run, root)
    newest = next(iter(runs.list_runs(root)), None)
    if newest is None:
        raise RunError(f"no run in {root}", hint="name one: llmctl runs verify RUN")
    progress.note(f"the newest run: {newest.path}")
    return newest


def _sealed(run_dir: RunDir, finished: bool) -> Iterator[Path]:
    """The folders that have, or should have, a manifest of their own."""
    # A model is put in place before the manifest, so one without the other says that the run was cut short.
    if finished:
        yield run_dir.path
    yield from run_dir.all_checkpoints()


def _part(run_dir: RunDir, folder: Path, covered: set[Path]) -> Part:
    own = folder == run_dir.path
    damage = manifest.damage(folder)
    try:
        files = manifest.read(folder)["files"]
    except ValueError:
        files = {}
    named = {folder / name for name in files} | {folder / manifest.NAME}
    loaded = (run_dir.tokenizer, run_dir.model) if own else (folder,)
    inside = {path for place in loaded for path in place.rglob("*") if path.is_file()}
    if files:
        # The libraries look for files by name: one more, such as an adapter, makes it another model.
        added = sorted(path.relative_to(folder).as_posix() for path in inside - named)
        damage += [f"{name} was not there when this was written" for name in added]
    covered |= named | inside
    name = "run" if own else folder.relative_to(run_dir.path).as_posix()
    return Part(name, len(files), sum(entry["bytes"] for entry in files.values()), damage)


def _made_from(run_dir: RunDir) -> dict[str, Any]:
    try:
        environment = run_dir.read_environment()
    except RunError:  # a damaged file is told by its hash
        return {}
    kept = ("command", "created", "versions", "git_commit", "data")
    return {name: environment[name] for name in kept if name in environment}
