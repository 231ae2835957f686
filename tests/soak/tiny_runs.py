"""Trainings of seconds, and what two runs of one must have in common to the last bit."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl.data.builtin import stories
from llmctl.runs import RunDir
from tests.soak.forks import Ended, Forks
from tests.verdicts import save_base_model, write_reviews

KINDS = ("causal", "masked", "classification", "workers", "streaming")
"""The last two are causal: with processes that load data, and reading a text as a stream."""
STEPS = 8
# A window of the logged loss is cut by a checkpoint; checkpoints are removed while it trains.
_TRAINING = {
    "max_steps": STEPS, "eval_steps": 2, "save_steps": 2, "logging_steps": 3, "save_total_limit": 2,
    "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2,
}  # fmt: skip
_TEXT = {
    "sample_by": "paragraph", "vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "block_size": 64, "dropout": 0.1, "learning_rate": 1e-2,
}  # fmt: skip
_FURTHER = {"workers": ["--dataloader-num-workers", "2"], "streaming": ["--streaming"]}
_TIMES = ("time", "seconds", "train_runtime", "eval_runtime")


@dataclass(frozen=True)
class TinyRun:
    """A training as a scheduler starts it, again and again: ``--resume auto``.

    Attributes:
        arguments: of ``llmctl``, but for where runs and prepared data are kept.
    """

    arguments: tuple[str, ...]

    def start(self, forks: Forks, place: Path, **how: Any) -> Ended:
        """One process, with runs and prepared data in ``place``; ``how``: as :meth:`Forks.run` takes it."""
        kept = {"LLMCTL_RUNS_DIR": str(place / "runs"), "LLMCTL_CACHE_DIR": str(place / "cache")}
        return forks.run(*self.arguments, environment=kept, **how)

    def finish(self, forks: Forks, place: Path) -> None:
        """Go on until it is done, without faults."""
        ended = self.start(forks, place)
        assert ended.code == 0, ended.stderr

    @staticmethod
    def run_in(place: Path) -> RunDir:
        return RunDir(place / "runs" / "tiny")


def tiny_run(kind: str, data: Path) -> TinyRun:
    """A run of one of ``KINDS``; its data is made in ``data``."""
    if kind == "classification":
        base = data / "base"
        if not base.exists():
            save_base_model(base)
            write_reviews(data / "reviews")
        own = ["finetune", "--task", "classification", "--data", str(data / "reviews"), "--model", str(base)]
        own += ["--learning-rate", "5e-3", "--num-resamples", "20"]
    else:
        text = data / "stories.txt"
        text.write_text("\n\n".join(story.replace("\n\n", " ") for story in stories(60)), encoding="utf-8")
        own = ["pretrain", "--data", str(text), "--objective", "mlm" if kind == "masked" else "clm"]
        own += _flags(_TEXT) + _FURTHER.get(kind, [])
    return TinyRun((*own, *_flags(_TRAINING), "--keep-checkpoints", "--run-name", "tiny", "--resume", "auto"))


def _flags(settings: dict[str, Any]) -> list[str]:
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def outcome(run: RunDir) -> dict[str, Any]:
    """What is the same of an uninterrupted run and one that was killed and gone on with.

    SHA-256 of weights, optimiser, schedule and random state, the scores, and the events without times.
    """
    last = run.checkpoints / f"checkpoint-{STEPS}"
    files = [run.model / "model.safetensors", last / "model.safetensors"]
    files += [last / name for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth")]
    found: dict[str, Any] = {
        f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    lines = run.metrics.read_text(encoding="utf-8").splitlines()
    return found | {"events": [_without_times(json.loads(line)) for line in lines]}


def _without_times(event: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in event.items()
        if name not in _TIMES and not name.endswith("_per_second") and name != "total_flos"
    }
