"""What several benchmarks need: ``llmctl pretrain`` as its users start it, watched from outside."""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

MODEL = "--architecture gpt2 --model-size small --block-size 256 --optim adamw_torch_fused"


@dataclass
class Peak:
    """The most memory that a process and its children had together, in MiB (proportional set size)."""

    mib: float = 0.0


@contextmanager
def watched(process: subprocess.Popen[str]) -> Iterator[Peak]:
    """Look at the memory of ``process`` and its children twice a second."""
    found, done, root = Peak(), threading.Event(), psutil.Process(process.pid)

    def sample() -> None:
        while not done.wait(0.5):
            total = 0
            try:
                for each in (root, *root.children(recursive=True)):
                    total += each.memory_full_info().pss
            except psutil.Error:  # one has ended meanwhile
                continue
            found.mib = max(found.mib, total / 2**20)

    watcher = threading.Thread(target=sample)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()


@dataclass(frozen=True)
class Training:
    """A training that has ended.

    Attributes:
        tokens_per_second: the median of what it logged, the first two values left out.
        seconds_to_first_step: from the command to the end of its first step.
        peak: MiB.
    """

    tokens_per_second: float
    seconds_to_first_step: float
    peak: float


def start(folder: Path, name: str, options: str, *, threads: int) -> subprocess.Popen[str]:
    """``llmctl pretrain OPTIONS``, its run ``name`` below ``folder``, its processes with so many threads each."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "LLMCTL_CACHE_DIR": str(folder / "cache")}
    places = ["--runs-dir", str(folder / "runs"), "--run-name", name, "--quiet"]
    command = [sys.executable, "-m", "llmctl", "pretrain", *options.split(), *places]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def pretrain(folder: Path, name: str, options: str, *, threads: int) -> Training:
    """As :func:`start`, to its end."""
    began = time.time()
    process = start(folder, name, options, threads=threads)
    with watched(process) as peak:
        _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"llmctl pretrain {options}: {said[-2000:]}")
    lines = (folder / "runs" / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    events = [event for event in map(json.loads, lines) if "loss" in event]
    speeds = [event["tokens_per_second"] for event in events][2:]
    return Training(statistics.median(speeds) if speeds else 0.0, events[0]["time"] - began, peak.mib)
