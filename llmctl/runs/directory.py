"""The directory of a run, as ``llmctl.runs`` lays it out."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl import disk, locks, manifest
from llmctl.errors import RunError

_NO_ENVIRONMENT = (
    "take it from a copy of the run; without it nothing goes on: --recipe with its recipe.yaml begins anew"
)
CHECKPOINT = "checkpoint-"
"""What the folder of a checkpoint is called, before its step."""


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

    def how_to_finish(self) -> str:
        """What gives an unfinished run its model, as a hint."""
        if self.in_training:
            return "it is being trained: wait until that has ended (llmctl runs list tells)"
        return self.resume_command()

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

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Put ``environment.json`` in place, whole."""
        disk.write_file(self.environment, json.dumps(environment, indent=2) + "\n")

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
