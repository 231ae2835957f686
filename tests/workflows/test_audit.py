"""Runs verified and listed."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmctl import manifest, runs
from llmctl.config import RunsListConfig, RunsVerifyConfig
from llmctl.errors import RunError
from llmctl.progress import SILENT
from llmctl.workflows import audit, run_list
from llmctl.workflows.audit import Audit


def make(root: Path, name: str = "one", *, finished: bool = True) -> runs.RunDir:
    """A run as trainings leave it, with stand-ins for the large files."""
    environment = {"command": "pretrain", "created": "2026-11-22T12:00:00+0000"}
    environment |= {"data": {"train": {"name": "book.txt", "fingerprint": "abc"}}}  # type: ignore[dict-item]
    run = runs.create(root, name, recipe="seed: 1\n", environment=environment)
    losses = [{"step": 1, "eval_loss": 2.0}, {"step": 2, "eval_loss": 1.0}, {"step": 3, "eval_loss": 1.5}]
    run.metrics.write_text("".join(json.dumps(event) + "\n" for event in losses))
    for step in (10, 9):
        folder = run.checkpoints / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "optimizer.pt").write_bytes(bytes(1000))
        manifest.seal(folder, step=step)
    for folder in (run.tokenizer, run.model) if finished else ():
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    if finished:
        run.seal()
    return run


def verify(run: runs.RunDir) -> Audit:
    return audit.run(RunsVerifyConfig(run=str(run.path)), progress=SILENT)


def test_a_run_as_it_was_written_is_sound(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.card.write_text("# one")
    found = verify(run)
    assert found.sound
    assert found.finished
    found.check()
    assert [(part.name, part.num_files) for part in found.parts] == [
        ("run", 5),
        ("checkpoints/checkpoint-10", 1),
        ("checkpoints/checkpoint-9", 1),
    ]
    assert found.not_covered == ["README.md"]
    assert found.sources() == {"train": "book.txt, fingerprint abc"}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda run: run.recipe.write_text("seed: 2\n"), "recipe.yaml is not as it was written"),
        (lambda run: run.environment.write_text("[]"), "environment.json has 2 bytes, was written with"),
        (lambda run: run.metrics.unlink(), "metrics.jsonl is missing"),
        (lambda run: (run.tokenizer / "config.json").write_text("[]"), "tokenizer/config.json is not as"),
        (lambda run: (run.model / "config.json").write_text(""), "model/config.json has 0 bytes"),
        (lambda run: (run.model / "adapter_config.json").write_text("{}"), "was not there when"),
        (lambda run: (run.path / "manifest.json").write_text("{}"), "manifest.json cannot be read"),
        (lambda run: _change(run.path / "manifest.json", '"bytes": 2', '"bytes": 3'), "not as it was"),
        (lambda run: (run.path / "manifest.json").write_text("[" * 100_000), "manifest.json cannot be read"),
        (
            lambda run: (run.checkpoints / "checkpoint-9" / "optimizer.pt").write_bytes(bytes(999) + b"\1"),
            "optimizer.pt is not as it was written (SHA-256)",
        ),
        (
            lambda run: (run.checkpoints / "checkpoint-9" / "manifest.json").unlink(),
            "manifest.json is missing",
        ),
    ],
)
def test_damage_is_found(tmp_path: Path, damage: Callable[[runs.RunDir], object], told: str) -> None:
    run = make(tmp_path)
    damage(run)
    found = verify(run)
    assert told in "\n".join(line for part in found.parts for line in part.damage)
    with pytest.raises(audit.DamagedError, match="is not as it was written: 1 finding in"):
        found.check()


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_of_an_unfinished_run_the_checkpoints_are_verified(tmp_path: Path) -> None:
    run = make(tmp_path, finished=False)
    found = verify(run)
    assert (found.finished, found.sound) == (False, True)
    assert "recipe.yaml" in found.not_covered
    (run.checkpoints / "checkpoint-10" / "optimizer.pt").unlink()
    with pytest.raises(audit.DamagedError) as caught:
        verify(run).check()
    assert caught.value.hint == f"a damaged checkpoint is passed over: llmctl pretrain --resume {run.path}"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda run: run.environment.write_text('{"x'), "environment.json is damaged"),
        (lambda run: run.environment.unlink(), "environment.json: No such file"),
        (lambda run: run.recipe.write_text("seed: '"), "recipe.yaml:1: not valid YAML"),
        (
            lambda run: run.recipe.write_text("seed: 2\n"),
            "recipe.yaml: seed is 2, checkpoint-10 was made with 1",
        ),
        (lambda run: run.recipe.write_text("sead: 1\n"), "recipe.yaml:1: unknown key 'sead'"),
        (
            lambda run: os.truncate(run.metrics, 9),
            "metrics.jsonl is not what it was when checkpoint-10 was saved",
        ),
        (lambda run: shutil.rmtree(run.tokenizer), "tokenizer is missing, and was there when checkpoint-10"),
        (lambda run: (run.tokenizer / "a").write_text(""), "tokenizer is not what it was when checkpoint-10"),
    ],
)
def test_an_unfinished_run_is_held_to_what_its_newest_good_checkpoint_recorded(
    tmp_path: Path, damage: Callable[[runs.RunDir], object], told: str
) -> None:
    run = make(tmp_path, finished=False)
    run.tokenizer.mkdir()
    (run.tokenizer / "config.json").write_text("{}")
    newest = run.checkpoints / "checkpoint-10"
    (newest / "manifest.json").unlink()
    (newest / "recipe.yaml").write_text("seed: 1\n")
    recorded: dict[str, Any] = {
        "metrics": manifest.digest(run.metrics),
        "tokenizer": manifest.digest(run.tokenizer),
    }
    manifest.seal(newest, step=10, metrics_bytes=run.metrics.stat().st_size, **recorded)
    with run.metrics.open("a") as file:
        file.write('{"step": 11}\n')
    assert verify(run).sound
    damage(run)
    found = verify(run)
    assert told in found.parts[0].damage[0]
    with pytest.raises(audit.DamagedError, match="1 finding in run"):
        found.check()


def test_a_setting_that_was_changed_with_leave_is_no_damage(tmp_path: Path) -> None:
    run = make(tmp_path, finished=False)
    newest = run.checkpoints / "checkpoint-10"
    (newest / "manifest.json").unlink()
    (newest / "recipe.yaml").write_text("seed: 1\nweight_decay: 0.5\n")
    manifest.seal(newest, step=10)
    assert "weight_decay is 0.1, checkpoint-10 was made with 0.5" in verify(run).parts[0].damage[0]
    changes = [{"step": 10, "weight_decay": [0.5, 0.1]}]
    run.environment.write_text(json.dumps({"command": "pretrain", "changes": changes}))
    assert verify(run).sound


def test_a_finished_run_that_lost_its_manifest_is_damaged(tmp_path: Path) -> None:
    run = make(tmp_path)
    shutil.rmtree(run.checkpoints)
    (run.path / "manifest.json").unlink()
    found = verify(run)
    assert (found.finished, found.parts[0].damage) == (True, ["manifest.json is missing"])
    with pytest.raises(audit.DamagedError) as caught:
        found.check()
    assert f"llmctl eval {run.path}" in str(caught.value.hint)


def test_nothing_is_said_of_a_run_that_is_being_trained(tmp_path: Path) -> None:
    run = make(tmp_path, finished=False)
    with runs.locked(run), pytest.raises(RunError, match="is being trained"):
        verify(run)


def test_what_has_nothing_to_verify_is_refused(tmp_path: Path) -> None:
    run = runs.create(tmp_path, "new", recipe="", environment={"command": "pretrain"})
    with pytest.raises(RunError, match="nothing to verify"):
        verify(run)


def test_the_newest_run_is_verified_where_none_is_named(tmp_path: Path) -> None:
    make(tmp_path)
    assert audit.run(RunsVerifyConfig(runs_dir=str(tmp_path)), progress=SILENT).sound
    with pytest.raises(RunError, match="no run in"):
        audit.run(RunsVerifyConfig(runs_dir=str(tmp_path / "none")), progress=SILENT)


def test_runs_are_listed_with_their_best_score(tmp_path: Path) -> None:
    make(tmp_path, "whole")
    make(tmp_path, "half", finished=False)
    broken = make(tmp_path, "broken")
    broken.environment.write_text("[]")
    broken.metrics.write_bytes(b"\xff\n5\n")
    found = {item.name: item for item in run_list.run(RunsListConfig(runs_dir=str(tmp_path)))}
    assert (found["whole"].state, found["whole"].metric, found["whole"].score) == ("finished", "loss", 1.0)
    assert (found["half"].state, found["half"].step) == ("unfinished", 3)
    assert found["broken"].state == "damaged"
    with runs.locked(runs.RunDir(tmp_path / "half")):
        found = {item.name: item for item in run_list.run(RunsListConfig(runs_dir=str(tmp_path)))}
    assert (found["half"].state, found["whole"].state) == ("running", "finished")
