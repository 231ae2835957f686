"""Checkpoints: which are kept, which are gone on from, and what a save that fails leaves."""

import json
import os
import resource
import shutil
import signal
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from llmctl import disk, manifest
from llmctl.errors import RunError
from llmctl.runs import RunDir
from llmctl.training import (
    CheckpointError,
    StoppedError,
    check_space,
    clean_up,
    newest_checkpoint,
)
from llmctl.training.checkpoints import path_of, step_of
from tests.damage import DAMAGES, a_hole, missing, one_bit_flipped
from tests.line import Fit, Line, Shown, settings, stopped_after, train


def steps_kept(run: RunDir) -> list[int]:
    return [step_of(path) for path in run.all_checkpoints()]


# Which are kept


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
def test_the_newest_are_kept(run: RunDir, limit: int) -> None:
    train(run, Fit(), count=32, save_steps=1, save_total_limit=limit)
    assert steps_kept(run) == list(range(8, 0, -1))[:limit]


@pytest.mark.parametrize(
    ("limit", "best", "kept"), [(1, 2, [8, 2]), (2, 2, [8, 2]), (3, 2, [8, 7, 2]), (2, 8, [8, 7])]
)
def test_the_best_is_always_among_them(run: RunDir, limit: int, best: int, kept: list[int]) -> None:
    scores = [0.9 if step == best else 0.1 for step in range(1, 9)]
    train(run, Fit(scores), count=32, save_total_limit=limit)
    assert steps_kept(run) == kept


def test_the_best_between_two_saves_is_saved_too(run: RunDir) -> None:
    """Evaluated every second step, saved every fourth; the best is step 6."""
    objective = Fit([0.1, 0.2, 0.9, 0.3])
    model, trainer = train(run, objective, count=32, eval_steps=2, save_steps=4)
    assert steps_kept(run) == [8, 6]
    assert trainer.state.best_global_step == 6
    assert model.w.item() == objective.weights[2]


# Which is gone on from


@pytest.fixture
def saved(run: RunDir) -> RunDir:
    """A run with checkpoints of steps 6, 4 and 2, which stopped at 6 of 16."""
    with pytest.raises(StoppedError):
        train(run, Fit(), count=64, save_steps=2, save_total_limit=9, shown=stopped_after(5))
    assert steps_kept(run) == [6, 4, 2]
    return run


@pytest.mark.parametrize("damaged", DAMAGES, ids=lambda damaged: damaged.__name__)
def test_a_damaged_one_is_passed_over_and_told(saved: RunDir, tmp_path: Path, damaged: Any) -> None:
    """Each of its files in turn."""
    names = sorted(path.name for path in path_of(saved, 6).iterdir())
    assert {"model.safetensors", "optimizer.pt", "rng_state.pth", manifest.NAME} < set(names)
    for name in names:
        copy = RunDir(Path(shutil.copytree(saved.path, tmp_path / f"copy-{name}")))
        damaged(path_of(copy, 6) / name)
        shown = Shown()
        found = newest_checkpoint(copy, shown)
        assert found
        assert found.step == 4
        assert steps_kept(copy) == [4, 2]
        [told] = shown.warned
        assert told.startswith(f"{path_of(copy, 6)} is damaged and passed over: {name} ")


def test_the_run_goes_on_from_the_one_before(saved: RunDir, tmp_path: Path) -> None:
    other = RunDir(tmp_path / "whole")
    other.path.mkdir()
    whole, _ = train(other, Fit(), count=64, save_steps=2)
    a_hole(path_of(saved, 6) / "optimizer.pt")
    missing(path_of(saved, 4) / manifest.NAME)
    objective = Fit()
    model, _ = train(saved, objective, count=64, save_steps=2)
    assert len(objective.seen) == 14
    assert model.w.item() == whole.w.item()
    assert manifest.damage(path_of(saved, 16)) == []


def test_without_one_that_holds_there_is_none(saved: RunDir) -> None:
    for path in saved.all_checkpoints():
        missing(path / manifest.NAME)
    assert newest_checkpoint(saved) is None


def test_a_manifest_of_other_making_is_damage(saved: RunDir) -> None:
    path, shown = path_of(saved, 6), Shown()
    manifest.seal(path, [path / "model.safetensors"], step=6, world_size=1)
    found = newest_checkpoint(saved, shown)
    assert found
    assert found.step == 4
    assert "manifest.json does not say versions" in shown.warned[0]


def test_folders_of_other_names_are_none(run: RunDir) -> None:
    for name in ("checkpoint-x", "checkpoint-", ".saving-3", "checkpoint-²", "mine"):
        (run.checkpoints / name).mkdir(parents=True)
    assert run.all_checkpoints() == []


def test_a_run_that_was_moved_goes_on_with_its_best(run: RunDir, tmp_path: Path) -> None:
    scores = [0.1, 0.9, *[0.2] * 6]
    with pytest.raises(StoppedError):
        train(run, Fit(list(scores)), count=32, shown=stopped_after(4))
    moved = RunDir(run.path.rename(tmp_path / "moved"))
    best = float(load_file(path_of(moved, 2) / "model.safetensors")["w"])
    model, trainer = train(moved, Fit(scores[5:]), count=32)
    assert trainer.state.best_global_step == 2
    assert model.w.item() == best


def test_a_best_that_is_damaged_at_a_resume_is_told_and_the_best_of_the_rest_is_kept(run: RunDir) -> None:
    with pytest.raises(StoppedError):
        train(run, Fit([0.1, 0.9, 0.1, 0.1, 0.1]), count=32, shown=stopped_after(4))
    a_hole(path_of(run, 2) / "model.safetensors")
    shown, objective = Shown(), Fit([0.3, 0.5, 0.4])
    model, trainer = train(run, objective, count=32, shown=shown)
    assert f"{path_of(run, 2)}, the best model so far, is damaged: model.safetensors" in shown.warned[0]
    assert trainer.state.best_global_step == 7
    assert model.w.item() == objective.weights[1]


def test_a_best_that_is_damaged_at_the_end_is_told_and_the_last_is_kept(run: RunDir) -> None:
    def heard(event: Any) -> None:
        if event["step"] == 8 and "loss" in event:
            a_hole(path_of(run, 2) / "model.safetensors")

    shown, objective = Shown(heard), Fit([0.1, 0.9, *[0.1] * 6])
    model, trainer = train(run, objective, count=32, shown=shown)
    assert len(shown.warned) == 1
    assert trainer.state.best_global_step is None
    assert model.w.item() == objective.weights[-1]


def test_patience_outlives_a_resume(run: RunDir, tmp_path: Path) -> None:
    """The best is step 2, patience 3: over at step 5, wherever it was stopped."""
    scores = [0.1, 0.9, 0.1, 0.1, 0.1, 1.0, 1.0, 1.0]
    for stop in (3, 4):
        cut = RunDir(tmp_path / f"cut-{stop}")
        cut.path.mkdir()
        with pytest.raises(StoppedError):
            train(cut, Fit(list(scores)), count=32, plan={"patience": 3}, shown=stopped_after(stop - 1))
        _, trainer = train(cut, Fit(scores[stop:]), count=32, plan={"patience": 3})
        assert trainer.state.global_step == 5
    _, trainer = train(cut, Fit(scores[5:]), count=32, plan={"patience": 3})
    assert trainer.state.global_step == 5, "what is over stays over"


def test_when_to_save_and_log_may_change(run: RunDir) -> None:
    with pytest.raises(StoppedError):
        train(run, Fit(), count=32, save_steps=4, shown=stopped_after(3))
    train(run, Fit(), count=32, save_steps=1, logging_steps=2, save_total_limit=9)
    assert steps_kept(run) == [8, 7, 6, 5, 4]
    assert [event["step"] for event in run.events() if "loss" in event] == [1, 2, 3, 4, 6, 8]


# Saves


@pytest.mark.parametrize(
    ("where", "error", "told", "first"),
    [
        ("torch.save", OSError(28, "No space left on device"), "No space left on device", "make room"),
        (
            "torch.save",
            RuntimeError("[enforce fail] unexpected pos 1 vs 2\nat ..."),
            "unexpected pos 1 vs 2",
            "make room",
        ),
        ("transformers.trainer.Trainer.save_model", SafetensorError("I/O error"), "I/O error", "make room"),
        ("llmctl.manifest.seal", OSError(5, "Input/output error"), "Input/output error", "the disk fails"),
        ("os.replace", OSError(5, "Input/output error"), "Input/output error", "the disk fails"),
        (
            "os.replace",
            OSError(30, "Read-only file system"),
            "Read-only file system",
            "have it made writable",
        ),
        (
            "torch.save",
            RuntimeError("can't start new thread"),
            "can't start new thread",
            "raise the limit (ulimit",
        ),
    ],
)
def test_a_save_that_fails_leaves_the_ones_before_it(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception, told: str, first: str
) -> None:
    def fail(*given: Any, **named: Any) -> None:
        raise error

    def heard(event: Any) -> None:
        if event["step"] == 4:
            monkeypatch.setattr(where, fail)

    with pytest.raises(CheckpointError) as caught:
        train(run, Fit(), count=64, save_steps=2, shown=Shown(heard))
    assert caught.value.exit_code == 1
    assert caught.value.message.startswith("cannot save a checkpoint at step 4: ")
    assert told in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.message.endswith(f"; the last good one is {path_of(run, 2)}")
    assert str(caught.value.hint).startswith(first)
    assert str(caught.value.hint).endswith(f", then: llmctl finetune --resume {run.path}")
    assert [path.name for path in run.checkpoints.iterdir()] == ["checkpoint-2"]
    assert manifest.damage(path_of(run, 2)) == []


def test_a_save_that_fails_at_the_size_that_files_may_have_names_that(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``ulimit -f`` sets it; torch tells it in words that say nothing."""

    def fail(content: Any, place: str) -> None:
        if isinstance(place, str) and place.endswith("optimizer.pt"):
            Path(place).write_bytes(bytes(limit))
            raise RuntimeError("[enforce fail] unexpected pos 1 vs 2")
        save(content, place)

    limit, save = 1_000_000, torch.save
    monkeypatch.setattr("torch.save", fail)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(CheckpointError) as caught:
            train(run, Fit(), count=64, save_steps=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in caught.value.message
    assert str(caught.value.hint).startswith("choose a place that takes larger files (ulimit -f")


def test_what_reads_back_otherwise_is_set_aside_and_the_one_before_stays(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk keeps something else than what was written; the training hears of it at its next save."""
    forget = disk.forget_file

    def spoiled(path: Path) -> None:
        if path.parent.name == "checkpoint-4" and path.name == "model.safetensors":
            one_bit_flipped(path)
        forget(path)

    monkeypatch.setattr(disk, "forget_file", spoiled)
    with pytest.raises(CheckpointError) as caught:
        train(run, Fit(), count=64, save_steps=2, save_total_limit=1)
    assert "step 4: read back from disk, model.safetensors is not as it was written" in caught.value.message
    assert caught.value.message.endswith(f"; the last good one is {path_of(run, 2)}")
    assert sorted(path.name for path in run.checkpoints.iterdir()) == [
        "checkpoint-2",
        "damaged-checkpoint-4",
    ]
    assert manifest.damage(path_of(run, 2)) == []


def test_the_last_one_is_read_back_before_the_training_is_over(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "forget_file", a_hole)
    with pytest.raises(CheckpointError, match="step 2: read back from disk"):
        train(run, Fit(), count=8, save_steps=2)


def test_an_interruption_of_a_save_leaves_the_ones_before_it(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first SIGINT comes during step 3, the second while its checkpoint is written."""
    save = torch.save

    def heard(event: Any) -> None:
        if event["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    def interrupted(*given: Any, **named: Any) -> None:
        save(*given, **named)
        if "checkpoint-3" in str(given[1]):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("torch.save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(run, Fit(), count=64, save_steps=2, shown=Shown(heard))
    assert [path.name for path in run.checkpoints.iterdir()] == ["checkpoint-2"]


def test_its_files_are_readable_as_the_umask_says_and_hold_no_pickled_arguments(run: RunDir) -> None:
    before = os.umask(0o027)
    try:
        train(run, Fit(), count=8, save_steps=2)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in path_of(run, 2).iterdir()}
    assert set(modes.values()) == {0o640}
    assert "training_args.bin" not in modes


def test_litter_of_killed_processes_is_removed(run: RunDir) -> None:
    litter = [
        ".recipe.yaml.x1",
        ".environment.json.x2",
        ".manifest.json.x3",
        ".README.md.x4",
        "eval/.a.json.x5",
    ]
    kept = ["recipe.yaml", "eval/a.json", ".mine", "checkpoints/checkpoint-2/model.safetensors"]
    folders = [".tokenizer.x6/a", ".model.x7/b", "checkpoints/.saving-4/checkpoint-4/c", "model/config.json"]
    for name in (*litter, *kept, *folders):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).touch()
    clean_up(run)
    assert sorted(str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file()) == sorted(kept)


# Room


@pytest.mark.parametrize("free", [0, 15, 16])
def test_no_room_is_told_before_the_first_step(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    """One weight takes 4 bytes, its optimiser state 8, and the model in the end 4 again."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    shown = Shown()
    if free < 16:
        with pytest.raises(
            RunError, match=r"no room: a checkpoint takes 0\.0 MB, the model .* MB; .* are free"
        ):
            check_space(settings(), run, Line(), shown)
        return
    check_space(settings(), run, Line(), shown)
    assert "up to 3 checkpoints are there at a time (--save-total-limit)" in shown.warned[0]


# Events


def test_the_events_of_a_run_that_was_stopped_are_those_of_the_whole(run: RunDir, tmp_path: Path) -> None:
    """A loss that is logged over three steps, of which a checkpoint cuts off the last."""
    how: dict[str, Any] = {"count": 64, "save_steps": 2, "logging_steps": 3, "max_grad_norm": 20.0}
    train(run, Fit([0.5] * 8), **how, eval_steps=2)
    cut = RunDir(tmp_path / "cut")
    cut.path.mkdir()
    with pytest.raises(StoppedError):
        train(cut, Fit([0.5] * 8), **how, eval_steps=2, shown=stopped_after(6))
    with cut.metrics.open("a") as file:
        file.write(json.dumps({"step": 7, "loss": 1.0}) + '\n{"step": 8, "lo')
    found = newest_checkpoint(cut)
    assert found
    cut.forget_events(found.metrics_bytes)
    train(cut, Fit([0.5] * 8), **how, eval_steps=2)

    def told(of: RunDir) -> list[Any]:
        return [(e["step"], e.get("loss"), e.get("clipped"), e.get("train_loss")) for e in of.events()]

    assert told(cut) == told(run)
