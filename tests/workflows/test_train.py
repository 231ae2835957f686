"""What becomes of a run's checkpoints when its training has ended, well or not."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmctl import runs
from llmctl.config import PretrainConfig
from llmctl.errors import RunError
from llmctl.progress import SILENT
from llmctl.recipe import to_yaml
from llmctl.workflows import pretrain, text_model
from tests.workflows.conftest import Watched

KILLED_WHEN_IT_COMES_TO = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
import pytest
from llmctl.config import PretrainConfig
from llmctl.progress import SILENT
from llmctl.recipe import resolve
from llmctl.workflows import pretrain
pytest.MonkeyPatch().setattr(sys.argv[1], lambda *given, **named: os.kill(os.getpid(), signal.SIGKILL))
config = resolve(PretrainConfig, Path(sys.argv[2]), {})
pretrain.run(replace(config, run_name="quick"), progress=SILENT)
"""


def test_a_model_that_was_shared_out_is_read_back_as_it_was_computed_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In float32 it may not fit on one device."""
    asked: list[bool] = []

    def load(*given: Any, bf16: bool, **named: Any) -> Any:
        asked.append(bf16)
        return SimpleNamespace(model=None)

    monkeypatch.setattr("llmctl.heads.load_with_head", load)
    monkeypatch.setattr("llmctl.models.find_source", lambda *given: None)
    ready: Any = SimpleNamespace(objective=SimpleNamespace(model_class=""), validation=None)
    trained: Any = SimpleNamespace(run_dir=runs.RunDir(tmp_path))
    for strategy, bf16 in [("fsdp", True), ("deepspeed", True), ("fsdp", False), ("ddp", True)]:
        config = PretrainConfig(strategy=strategy, bf16=bf16)  # type: ignore[arg-type]
        text_model.read_back(config, ready, trained, SILENT)
    assert asked == [True, True, False, False]


def test_checkpoints_are_removed_in_the_end_and_told(quick: Any, places: Path, watched: Watched) -> None:
    pretrain.run(quick(run_name="kept", keep_checkpoints=True), progress=watched)
    assert "MB freed" not in watched.all()
    kept, run = places / "runs" / "kept", places / "runs" / "quick"
    freed = sum(path.stat().st_size for path in (kept / "checkpoints").rglob("*") if path.is_file())
    assert freed > 1e5
    pretrain.run(quick(), progress=watched)
    told = re.fullmatch(
        r"checkpoints removed, (.*) MB freed \(--keep-checkpoints keeps them\)", watched.notes[-1]
    )
    assert told
    assert float(told[1]) == pytest.approx(freed / 1e6, abs=0.1)
    assert not (run / "checkpoints").exists()
    weights = "model/model.safetensors"
    assert (run / weights).read_bytes() == (kept / weights).read_bytes()


def test_what_a_tracker_wrote_beside_the_checkpoints_stays(tmp_path: Path) -> None:
    from llmctl.training import remove_checkpoints

    run = runs.RunDir(tmp_path)
    for path in ("checkpoint-5/optimizer.pt", "runs/today/events.out"):
        (run.checkpoints / path).parent.mkdir(parents=True)
        (run.checkpoints / path).write_bytes(b"12345")
    assert remove_checkpoints(run) == 5
    assert [path.name for path in run.checkpoints.rglob("*") if path.is_file()] == ["events.out"]


@pytest.mark.parametrize(
    ("step", "finished"),
    [
        ("llmctl.models.save", False),
        ("llmctl.workflows.pretrain.Pretraining.finish", False),
        ("llmctl.runs.RunDir.seal", False),
        ("llmctl.training.remove_checkpoints", True),
    ],
)
def test_a_run_that_is_killed_near_its_end_is_finished_or_can_be_resumed(
    quick: Any, places: Path, step: str, finished: bool
) -> None:
    recipe = places / "recipe.yaml"
    recipe.write_text(to_yaml(quick()))
    command = [sys.executable, "-c", KILLED_WHEN_IT_COMES_TO, step, str(recipe)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    run = runs.open_run("quick", places / "runs")
    assert (run.checkpoints / "checkpoint-10" / "optimizer.pt").is_file()
    assert run.finished is finished
    if finished:
        with pytest.raises(RunError, match="is finished"):
            pretrain.check(PretrainConfig(resume="quick"))
    else:
        assert pretrain.run(PretrainConfig(resume="quick"), progress=Watched()).steps == 10
        assert run.finished
        assert not run.checkpoints.exists()
