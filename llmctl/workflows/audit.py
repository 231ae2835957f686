"""The story of ``llmctl runs verify``: whether the files of a run are as they were written."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmctl import manifest, runs
from llmctl.config import RunsVerifyConfig
from llmctl.errors import LlmctlError, RunError
from llmctl.progress import Progress, many
from llmctl.recipe_file import read
from llmctl.runs import RunDir
from llmctl.workflows import changes


class DamagedError(RunError):
    """Files of a run are not as they were written."""

    exit_code = 1


@dataclass(frozen=True)
class Part:
    """What one manifest says: the run's own, or a checkpoint's; of an unfinished run, what its checkpoints say of it.

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
        finished: whether the run came to its end; else it has no manifest of its own yet, and is held to what its
            newest good checkpoint recorded.
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
        if self.finished and self.parts[0].damage == [manifest.MISSING]:
            hint = f"take it from a copy of the run; its model can be judged without: llmctl eval {self.run}"
        elif "run" not in places and not self.finished:
            command = f"llmctl {self.made_from.get('command')} --resume {self.run}"
            hint = f"a damaged checkpoint is passed over: {command}"
        raise DamagedError(
            f"{self.run} is not as it was written: {many(count, 'finding')} in {', '.join(places)}", hint=hint
        )


def run(config: RunsVerifyConfig, *, progress: Progress) -> Audit:
    """Check every hash of a run's manifest and of its checkpoints' manifests; nothing is changed.

    An unfinished run's own files are held to what its newest good checkpoint recorded of them.

    Raises:
        RunError: there is no such run, it is being trained, or it has nothing that could be verified yet.
    """
    run_dir = _run(config, progress)
    # Whatever has become of its model, or of its manifest.
    finished = (run_dir.path / manifest.NAME).is_file() or run_dir.finished
    # A training writes and removes checkpoints: nothing could be said of them.
    with nullcontext() if finished else runs.locked(run_dir):
        covered: set[Path] = set()
        parts = [_part(run_dir, folder, covered) for folder in _sealed(run_dir, finished)]
        if not finished and (damage := _own_damage(run_dir, parts)):
            parts = [_unsealed(run_dir, damage), *parts]
        if not parts:
            raise RunError(
                f"{run_dir.path} has nothing to verify: neither {manifest.NAME} nor a checkpoint",
                hint=f"finish it: {run_dir.resume_command()}",
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


def _unsealed(run_dir: RunDir, damage: list[str]) -> Part:
    own = (run_dir.recipe, run_dir.environment, run_dir.metrics, *run_dir.tokenizer.rglob("*"))
    sizes = [path.stat().st_size for path in own if path.is_file()]
    return Part("run", len(sizes), sum(sizes), damage)


def _own_damage(run_dir: RunDir, parts: list[Part]) -> list[str]:
    """What of an unfinished run's own files cannot be read, or is not as its newest good checkpoint recorded."""
    found, of_recipe = _refused(run_dir.read_environment), _refused(lambda: read(run_dir.recipe, []))
    good = next((run_dir.path / part.name for part in parts if not part.damage), None)
    if good is None:
        return found + of_recipe
    said, copy = manifest.read(good), good / run_dir.recipe.name
    if copy.is_file():
        edited: dict[str, str] = {}
        if not found + of_recipe:
            of_recipe = _refused(lambda: edited.update(changes.edited(run_dir, copy, said["step"])))
        of_recipe += [f"{run_dir.recipe.name}: {told}" for told in edited.values()]
        found += [f"{told} (a copy of it as it was: {copy})" for told in of_recipe]
    for path, size in ((run_dir.metrics, said.get("metrics_bytes")), (run_dir.tokenizer, None)):
        if path.stem in said and manifest.digest(path, size) != said[path.stem]:
            what = "is not what it was" if path.exists() else "is missing, and was there"
            found.append(f"{path.name} {what} when {good.name} was saved")
    return found


def _refused(look: Callable[[], object]) -> list[str]:
    try:
        look()
    except LlmctlError as error:
        return [error.message]
    return []


def _made_from(run_dir: RunDir) -> dict[str, Any]:
    try:
        environment = run_dir.read_environment()
    except RunError:  # a damaged file is told by its hash
        return {}
    kept = ("command", "created", "versions", "git_commit", "data")
    return {name: environment[name] for name in kept if name in environment}
