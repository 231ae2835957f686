"""Two network namespaces, joined by a cable, as two machines: the documented command on each trains one model."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmctl.runs import RunDir
from tests.test_several_processes import BATCH, HOW, data, errors_in, reading, values, wait_until

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
def test_a_machine_that_is_gone_ends_the_other(machines: tuple[str, ...], data: Path, tmp_path: Path) -> None:
    """The cable is pulled: each finds that the other does not answer, though no call of its own may return."""
    environment = {**os.environ, "LLMCTL_CACHE_DIR": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    together = ["--num-machines", "2", "--num-processes", "2", "--main-process-ip", ADDRESSES[0]]
    command = [sys.executable, "-m", "llmctl", *reading(data), "--run-name", "two", "--max-steps", "100000"]
    command += ["--logging-steps", "10", "--ddp-timeout", "5", *together]
    running = [
        subprocess.Popen(
            ["ip", "netns", "exec", machine, *command, "--machine-rank", str(number)],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, machine in enumerate(machines)
    ]
    run = RunDir(tmp_path / "runs" / "two")
    wait_until(lambda: any(event["step"] > 20 for event in run.events()))
    ip("-n", machines[0], "link", "set", "veth-a", "down")
    told = [errors_in(process.communicate(timeout=25)[1]) for process in running]
    assert [process.returncode for process in running] == [1, 1]
    assert all(len(errors) == 1 and "not answer" in errors[0] for errors in told), told


@pytest.mark.soak
def test_two_machines_train_what_one_trains(machines: tuple[str, ...], data: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "LLMCTL_CACHE_DIR": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    together = ["--num-machines", "2", "--num-processes", "2", "--main-process-ip", ADDRESSES[0]]
    command = [sys.executable, "-m", "llmctl", *reading(data), *HOW, *BATCH, "--run-name"]
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
