"""Quick recipes, and what they learn from, for runs that take seconds."""

import os
import shutil
import signal
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from llmctl.config import FinetuneConfig, PretrainConfig
from llmctl.data.builtin import stories
from llmctl.progress import SILENT
from llmctl.workflows import finetune
from tests.data.conftest import Told
from tests.verdicts import save_base_model, write_reviews

_TUNING: dict[str, Any] = {
    "task": "classification",
    "learning_rate": 5e-3,
    "num_train_epochs": 2.0,
    "per_device_train_batch_size": 16,
    "num_resamples": 200,
    "run_name": "tuned",
}


class Watched(Told):
    """A Progress that keeps what it is told, also of trainings; ``heard`` is called with each event."""

    def __init__(self, heard: Callable[[Mapping[str, Any]], None] = lambda event: None) -> None:
        super().__init__()
        self.heard = heard
        self.events: list[Mapping[str, Any]] = []

    def training(
        self, total_steps: int, done: int, run: Any
    ) -> AbstractContextManager[Callable[[Mapping[str, Any]], None]]:
        def tell(event: Mapping[str, Any]) -> None:
            self.events.append(event)
            self.heard(event)

        return nullcontext(tell)

    def all(self) -> str:
        return "\n".join(self.notes)


def interrupted_at(step: int) -> Watched:
    """One that sends SIGINT to its own process when the loss of a step is told."""

    def heard(event: Mapping[str, Any]) -> None:
        if event["step"] == step and "loss" in event:
            os.kill(os.getpid(), signal.SIGINT)

    return Watched(heard)


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a BERT without a head, and its tokenizer of the words that ``verdicts`` has."""
    return save_base_model(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs and cache in a folder of the test's own."""
    monkeypatch.setenv("LLMCTL_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("LLMCTL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.fixture
def quick(places: Path) -> Any:
    """A factory of configs: a model of one layer, ten steps, on sixty stories."""
    text = places / "stories.txt"
    text.write_text("\n\n".join(story.replace("\n\n", " ") for story in stories(60)), encoding="utf-8")

    def make(**changes: Any) -> PretrainConfig:
        settings: dict[str, Any] = {
            "data": str(text),
            "sample_by": "paragraph",
            "vocab_size": 400,
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "block_size": 64,
            "learning_rate": 1e-2,
            "per_device_train_batch_size": 4,
            "max_steps": 10,
            "eval_steps": 5,
            "run_name": "quick",
        }
        return PretrainConfig(**{**settings, **changes})

    return make


@pytest.fixture
def reviews(places: Path) -> Path:
    """A folder of ``train.csv`` (96 of ``verdicts``) and ``dev.csv`` (the other 24)."""
    return write_reviews(places / "reviews")


@pytest.fixture
def tune(reviews: Path, base_model: Path) -> Any:
    """A factory of configs: the tiny BERT, twelve steps, on ``reviews``."""

    def make(**changes: Any) -> FinetuneConfig:
        return FinetuneConfig(**{**_TUNING, "data": str(reviews), "model": str(base_model), **changes})

    return make


@pytest.fixture(scope="session")
def tuned_once(tmp_path_factory: pytest.TempPathFactory, base_model: Path) -> Path:
    """The folder of a run that learnt ``reviews``; its data stands beside it. Not to be written to."""
    place = tmp_path_factory.mktemp("tuned")
    write_reviews(place / "reviews")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMCTL_CACHE_DIR", str(place / "cache"))
        settings = {**_TUNING, "per_device_train_batch_size": 8, "num_train_epochs": 8.0}
        config = FinetuneConfig(
            **settings, data=str(place / "reviews"), model=str(base_model), runs_dir=str(place / "runs")
        )
        finetune.run(config, progress=SILENT)
    return place / "runs" / "tuned"


@pytest.fixture
def tuned(tuned_once: Path, places: Path) -> Path:
    """A copy of that run among the runs of the test."""
    return Path(shutil.copytree(tuned_once, places / "runs" / "tuned"))
