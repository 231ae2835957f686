"""Ctrl-C as a person presses it: in real processes, in the middle of what Python cannot interrupt by itself."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmctl.runs import RunDir

# A step without an end, none of it Python's.
STEP = """
import hashlib, signal, sys
from pathlib import Path
from llmctl.cli.console import Console
from llmctl.runs import RunDir
signal.signal(signal.SIGINT, lambda number, frame: None)
signal.signal(signal.SIGTERM, lambda number, frame: None)
with Console(quiet=True).training(10, 0, RunDir(Path(sys.argv[1]))):
    print("stepping", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (signal.SIGINT, "stopping after this step; Ctrl-C again stops at once\n"),
        (signal.SIGTERM, "stopping after this step; Ctrl-C stops at once\n"),
    ],
)
@pytest.mark.parametrize("saved", [False, True])
def test_the_first_is_answered_and_the_second_obeyed_within_a_step(
    run: RunDir, first: int, told: str, saved: bool
) -> None:
    run.environment.write_text('{"command": "pretrain"}')
    left = "no checkpoint was saved yet"
    if saved:
        (run.checkpoints / "checkpoint-5").mkdir(parents=True)
        left = f"the last checkpoint is {run.checkpoints / 'checkpoint-5'}"
    process = subprocess.Popen(
        [sys.executable, "-c", STEP, str(run.path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() == "stepping\n"
    process.send_signal(first)
    assert process.stderr.readline() == told
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[1] == (
        f"\nstopped at once, without saving\n{left}\n hint: llmctl pretrain --resume {run.path}\n"
    )
    assert process.returncode == 130


@pytest.mark.parametrize(("number", "told"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_stop_before_the_training_leaves_nothing(tmp_path: Path, number: int, told: str) -> None:
    generated = tmp_path / "cache" / "builtin"
    with subprocess.Popen(
        [sys.executable, "-m", "llmctl", "pretrain", "--data", "builtin:stories:10000000"],
        cwd=tmp_path,
        env={**os.environ, "LLMCTL_CACHE_DIR": str(tmp_path / "cache")},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while not any(path.stat().st_size for path in generated.glob(".*")):
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(number)
            assert process.communicate(timeout=60)[1] == f"{told}\n"
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
