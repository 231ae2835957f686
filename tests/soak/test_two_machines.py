"""Two network namespaces, joined by a cable, as two machines: the documented command on each trains one model."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmctl.runs import RunDir
from tests.test_several_processes import HOW, data, reading, values

__all__ = ["data"]
MACHINES = ("llmctl-a", "llmctl-b")
ADDRESSES = ("10.77.0.1", "10.77.0.2")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def machines() -> Iterator[tuple[str, ...]]:
    try:
        for machine in MACHINES:
            ip("netns", "add", machine)
            ip("-n", machine, "link", "set", "lo", "up")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("network namespaces cannot be made here")
    ip(
        "link",
        "add",
        "veth-a",
        "netns",
        MACHINES[0],
        "type",
        "veth",
        "peer",
        "name",
        "veth-b",
        "netns",
        MACHINES[1],
    )
    for machine, cable, address in zip(MACHINES, ("veth-a", "veth-b"), ADDRESSES, strict=True):
        ip("-n", machine, "addr", "add", f"{address}/24", "dev", cable)
        ip("-n", machine, "link", "set", cable, "up")
    yield MACHINES
    for machine in MACHINES:
        ip("netns", "del", machine)


@pytest.mark.soak
def test_two_machines_train_what_one_trains(machines: tuple[str, ...], data: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "LLMCTL_CACHE_DIR": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    together = ["--num-machines", "2", "--num-processes", "2", "--main-process-ip", ADDRESSES[0]]
    command = [sys.executable, "-m", "llmctl", *reading(data), *HOW, "--run-name"]
    alone = subprocess.run([*command, "one"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert alone.returncode == 0, alone.stderr
    running = [
        subprocess.Popen(
            ["ip", "netns", "exec", machine, *command, "two", *together, "--machine-rank", str(number)],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, machine in enumerate(machines)
    ]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    losses = [values(list(RunDir(tmp_path / "runs" / name).events()), "loss") for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
