"""Runs on disk."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from llmctl import disk, runs
from llmctl.errors import RunError


def make(root: Path, name: str, *, finished: bool, age: int = 0) -> runs.RunDir:
    run = runs.create(root, name, recipe="seed: 1\n", environment={"command": "pretrain"})
    if finished:
        run.model.mkdir()
        (run.model / "config.json").write_text("{}")
        run.seal()
    os.utime(run.recipe, (1_000_000 - age, 1_000_000 - age))
    return run


def test_the_recipe_and_environment_come_first(tmp_path: Path) -> None:
    run = make(tmp_path, "a", finished=False)
    assert sorted(path.name for path in run.path.iterdir()) == ["environment.json", "recipe.yaml"]
    assert run.command() == "pretrain"
    assert not run.finished


def test_a_run_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("llmctl.disk.write_file", full)
    with pytest.raises(RunError, match="No space left"):
        make(tmp_path, "a", finished=False)
    assert list(tmp_path.iterdir()) == []


def test_what_a_process_that_was_killed_meanwhile_left_is_no_run_and_goes(tmp_path: Path) -> None:
    for name in (".a.b3_x5y6z", ".a.b.b3_x5y6z"):  # of runs a and a.b
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text("seed: 1\n")
        for path in (tmp_path / name / "recipe.yaml", tmp_path / name):
            os.utime(path, (1_000_000, 1_000_000))
    assert runs.list_runs(tmp_path) == []
    make(tmp_path, "a", finished=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.b.b3_x5y6z", "a"]


def test_a_lock_ends_with_its_process_and_not_with_its_workers(tmp_path: Path) -> None:
    run = make(tmp_path, "a", finished=False)
    reader, writer = os.pipe()
    with runs.locked(run):
        worker = os.fork()
        if not worker:
            os.write(writer, b"here")
            time.sleep(60)
            os._exit(0)
        os.read(reader, 4)
        with pytest.raises(RunError, match="is being trained by another process"), runs.locked(run):
            pass
    try:
        with runs.locked(run):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


def test_a_used_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="is there already, and it is no run") as caught:
        runs.create(tmp_path, "mine", recipe="", environment={})
    assert caught.value.hint == "choose another --run-name"
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_used_name_is_gone_on_with_only_where_the_run_is_not_finished(tmp_path: Path) -> None:
    make(tmp_path, "half", finished=False)
    make(tmp_path, "whole", finished=True)
    for name, state, hint in (
        (
            "half",
            "is not finished",
            f"llmctl pretrain --resume {tmp_path / 'half'}, or choose another --run-name",
        ),
        ("whole", "is finished", "choose another --run-name"),
    ):
        with pytest.raises(RunError, match=f"run directory in use: .* {state}") as caught:
            runs.check_new(tmp_path, name)
        assert caught.value.hint == hint
    with (
        runs.locked(runs.RunDir(tmp_path / "half")),
        pytest.raises(RunError, match="is being trained") as caught,
    ):
        runs.check_new(tmp_path, "half")
    assert caught.value.hint == "wait until that has ended, or choose another --run-name"


def test_a_run_without_its_recipe_is_told_where_a_copy_is(tmp_path: Path) -> None:
    run = make(tmp_path, "half", finished=False)
    kept = run.checkpoints / "checkpoint-5" / "recipe.yaml"
    kept.parent.mkdir(parents=True)
    run.recipe.rename(kept)
    for look in (runs.open_run, lambda name, root: runs.check_new(root, name)):
        with pytest.raises(RunError, match=r"half has no recipe\.yaml") as caught:
            look("half", tmp_path)
        assert f"cp {kept} {run.recipe}" in str(caught.value.hint)
    kept.unlink()
    with pytest.raises(RunError) as caught:
        runs.find("half", tmp_path)
    assert caught.value.hint == "take it from a copy of the run"


def test_what_else_a_name_could_mean_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = Path("runs")
    make(root, "x", finished=True)
    assert runs.also_there("x", root) is None
    (tmp_path / "x").mkdir()
    assert runs.also_there("x", root) == "./x"
    make(tmp_path, "y", finished=True)
    make(root, "y", finished=True)
    assert runs.also_there("y", root) == "runs/y"
    assert runs.also_there("y", Path(".")) is None


def test_a_place_below_a_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("mine")
    for root in (tmp_path / "file.txt", tmp_path / "file.txt" / "deep" / "runs"):
        with pytest.raises(RunError, match=r"file\.txt is a file") as caught:
            runs.create(root, "one", recipe="", environment={})
        assert "--runs-dir" in str(caught.value.hint)


def test_a_place_that_cannot_be_made_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(RunError, match="No space left on device") as caught:
        runs.create(tmp_path, "one", recipe="", environment={})
    assert "--runs-dir" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".hidden", "a b", "a\n", "", "x" * 129])
def test_a_run_name_is_a_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="is not a file name"):
        runs.check_new(tmp_path, name)


def test_the_newest_finished_run_is_found(tmp_path: Path) -> None:
    make(tmp_path, "old", finished=True, age=20)
    make(tmp_path, "middle", finished=True, age=10)
    make(tmp_path, "new", finished=False)
    assert runs.latest_finished(tmp_path).name == "middle"
    assert [run.name for run in runs.list_runs(tmp_path)] == ["new", "middle", "old"]


def test_no_run_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        runs.latest_finished(tmp_path)
    assert "llmctl pretrain" in str(caught.value.hint)
    make(tmp_path, "half", finished=False)
    with pytest.raises(RunError) as caught:
        runs.latest_finished(tmp_path)
    assert caught.value.hint == f"llmctl pretrain --resume {tmp_path / 'half'}"


def test_a_run_is_opened_by_name_or_path_and_a_typo_is_met(tmp_path: Path) -> None:
    make(tmp_path, "stories", finished=True)
    assert runs.open_run("stories", tmp_path).path == tmp_path / "stories"
    assert runs.open_run(str(tmp_path / "stories"), Path("elsewhere")).name == "stories"
    with pytest.raises(RunError) as caught:
        runs.open_run("storys", tmp_path)
    assert caught.value.hint == "did you mean stories?"


def test_an_atomic_write_leaves_the_old_file_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    disk.write_file(path, "old")
    with pytest.raises(UnicodeEncodeError):
        disk.write_file(path, "\ud800")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["scores.json"]


def test_files_are_readable_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        disk.write_file(tmp_path / "x", "")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_a_line_cut_by_a_crash_is_no_event(tmp_path: Path) -> None:
    run = make(tmp_path, "a", finished=False)
    run.metrics.write_text(json.dumps({"step": 1}) + '\n{"step": 2, "lo')
    assert list(run.events()) == [{"step": 1}]


def test_a_run_took_what_its_sessions_took(tmp_path: Path) -> None:
    run = make(tmp_path, "a", finished=False)
    assert run.seconds() == 0
    events = [{"step": 1, "seconds": 5.5}, {"step": 2, "seconds": 9.0}, {"step": 2}]
    run.metrics.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert run.seconds() == 9.0


def test_places_follow_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCTL_RUNS_DIR", str(tmp_path / "r"))
    monkeypatch.setenv("LLMCTL_CACHE_DIR", str(tmp_path / "c"))
    assert runs.runs_dir(None) == tmp_path / "r"
    assert runs.runs_dir("given") == Path("given")
    assert runs.cache_dir() == tmp_path / "c"
    assert runs.default_name("pretrain", "a b/é!", "gpt2").startswith("pretrain-a-b-é-gpt2-2")


def test_a_path_from_here_is_no_name_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = runs.create(tmp_path / "runs", "x", recipe="", environment={})
    assert runs.find("x", tmp_path / "runs") == run
    assert runs.find("./x", tmp_path / "runs") is None
    assert runs.find("./runs/x", tmp_path / "runs")


def test_a_model_that_nothing_could_be_made_of_again_is_finished(tmp_path: Path) -> None:
    """A manifest that somebody removed must not let a resumed run throw the model away."""
    run = make(tmp_path, "a", finished=True)
    (run.path / "manifest.json").unlink()
    assert run.finished
    (run.checkpoints / "checkpoint-5").mkdir(parents=True)
    assert not run.finished


def test_who_asks_for_a_run_in_training_is_told_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a", finished=False)
    with pytest.raises(RunError) as refused:
        runs.latest_finished(tmp_path)
    assert "--resume" in str(refused.value.hint)
    monkeypatch.setattr(runs.RunDir, "in_training", True)
    with pytest.raises(RunError) as refused:
        runs.latest_finished(tmp_path)
    assert "wait until that has ended" in str(refused.value.hint)
