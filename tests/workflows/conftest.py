"""A small text and a quick recipe, for runs that take seconds."""

from pathlib import Path
from typing import Any

import pytest

from llmctl.config import PretrainConfig
from llmctl.data.builtin import stories


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
            "learning_rate": 3e-3,
            "per_device_train_batch_size": 4,
            "max_steps": 10,
            "eval_steps": 5,
            "run_name": "quick",
        }
        return PretrainConfig(**{**settings, **changes})

    return make
