"""Every objective, given 16 documents and time, learns them by heart."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from llmctl.config import PretrainConfig
from llmctl.data.builtin import stories
from llmctl.progress import SILENT
from llmctl.workflows import pretrain

DOCUMENTS = 16


@pytest.fixture
def by_heart(places: Path) -> Any:
    """Train on 16 documents of two sentences and score the model on the very same: steps, settings -> its scores."""
    sentences = [re.split(r"(?<=[.!?]) ", story.replace("\n\n", " ")) for story in stories(DOCUMENTS)]
    text = places / "documents.txt"
    text.write_text("\n".join(" ".join(found[:2]) for found in sentences), encoding="utf-8")

    def run(max_steps: int, **settings: Any) -> tuple[dict[str, float], int]:
        config = PretrainConfig(
            data=str(text),
            validation_data=str(text),
            sample_by="line",
            vocab_size=500,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            dropout=0.0,
            block_size=128,
            per_device_train_batch_size=16,
            max_steps=max_steps,
            eval_steps=max_steps,
            logging_steps=max_steps,
            **settings,
        )
        result = pretrain.run(config, progress=SILENT)
        return result.scores, result.train_tokens

    return run


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["clm", "rclm"])
def test_texts_are_learnt_by_heart(by_heart: Any, objective: str) -> None:
    """Nothing tells which document begins: that costs ln 16 nats each, and all else next to nothing."""
    scores, tokens = by_heart(120, objective=objective)
    assert scores["loss"] * tokens / DOCUMENTS == pytest.approx(math.log(DOCUMENTS), rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "max_steps", "learning_rate"),
    [("mlm", 250, 3e-2), ("mlm+nsp", 800, None), ("mlm+sop", 700, None)],
)
def test_hidden_tokens_are_known_by_heart(
    by_heart: Any, objective: str, max_steps: int, learning_rate: float | None
) -> None:
    """Also those hidden by masks, and the passages parted or paired, that no step of the training had."""
    scores, _ = by_heart(max_steps, objective=objective, learning_rate=learning_rate)
    assert scores["masked_accuracy"] > 0.9
    assert scores.get("masked_loss", scores["loss"]) < 0.4
    for pairs in ("nsp_accuracy", "sop_accuracy"):
        assert scores.get(pairs, 1.0) > 0.85


@pytest.mark.slow
def test_what_gaps_hold_is_known_by_heart(by_heart: Any) -> None:
    """As above, gaps included."""
    scores, _ = by_heart(150, objective="seq2seq", architecture="bart")
    assert scores["written_accuracy"] > 0.99
    assert scores["loss"] < 0.05
