"""What is recorded of the steps of a training."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmctl.training.callbacks import Recorder
from llmctl.training.plan import Plan


def test_speed_counts_what_steps_wait_for_and_neither_evaluations_nor_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    plan = Plan(4, 2, "loss", False, "tokens", 300)
    recorder = Recorder(tmp_path / "metrics.jsonl", lambda event: None, plan, 0.0, None)
    state: Any = SimpleNamespace(global_step=0, is_world_process_zero=True, log_history=[])

    def passes(seconds: float, then: str = "", **given: Any) -> None:
        clock[0] += seconds
        if then:
            getattr(recorder, f"on_{then}")(None, state, None, **given)

    recorder.on_train_begin(None, state, None)
    for _ in range(2):  # each waits for its data first, the first of all for the start as well
        passes(5, "step_begin")
        state.global_step += 1
        passes(1, "step_end")
    passes(0, "log", logs={"loss": 2.0})
    passes(50, "evaluate")
    passes(40, "save")
    passes(2, "step_begin")
    state.global_step += 1
    passes(1, "step_end")
    passes(0, "log", logs={"loss": 1.0})
    events = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [event["tokens_per_second"] for event in events] == [round(600 / 7, 1), 100.0]
