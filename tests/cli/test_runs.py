"""``llmctl runs``, as a person types it."""

import json
from pathlib import Path

from tests.cli.conftest import Run, modules_after
from tests.workflows.test_audit import make


def test_verify_says_what_is_damaged_and_fails(llmctl: Run, tmp_path: Path) -> None:
    run = make(tmp_path / "runs")
    sound = llmctl("runs", "verify", "one")
    assert sound.returncode == 0, sound.stderr
    assert "run: 5 files" in sound.stdout
    (run.model / "config.json").write_text("[]")
    damaged = llmctl("runs", "verify", "one", "--json")
    assert damaged.returncode == 1
    found = json.loads(damaged.stdout)
    assert not found["sound"]
    assert found["parts"][0]["damage"] == ["model/config.json is not as it was written (SHA-256)"]
    assert "1 finding in run" in damaged.stderr
    assert "no run 'two'" in llmctl("runs", "verify", "two").stderr


def test_a_name_that_could_be_two_things_is_told(llmctl: Run, tmp_path: Path) -> None:
    make(tmp_path / "runs")
    assert "is taken" not in llmctl("runs", "verify", "one").stderr
    (tmp_path / "one").mkdir()
    told = llmctl("runs", "verify", "one").stderr
    assert told == "one: the run runs/one is taken; ./one is there, too (name it by that path)\n"


def test_runs_are_listed(llmctl: Run, tmp_path: Path) -> None:
    assert llmctl("runs", "list").stdout == "no run in runs\n"
    make(tmp_path / "runs")
    assert json.loads(llmctl("runs", "list", "--json").stdout)["runs"][0]["score"] == 1.0
    assert "loss 1.0000  2026-11-22 12:00" in llmctl("runs", "list").stdout


def test_an_audit_imports_nothing_heavy_and_its_runs_are_completed(llmctl: Run, tmp_path: Path) -> None:
    make(tmp_path / "runs")
    for verb in ("list", "verify"):
        assert modules_after(["runs", verb], tmp_path) == (0, set())
    completed = llmctl(_LLMCTL_COMPLETE="complete_bash", COMP_WORDS="llmctl runs verify o", COMP_CWORD="3")
    assert completed.stdout.split() == ["one"]
