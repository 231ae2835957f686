"""Two network namespaces, joined by a cable, as two machines: the documented command on each trains one model."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from llmctl.runs import RunDir
from tests.test_several_processes import BATCH, HOW, begun, data, errors_in, reading, values, wait_until

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


def on(machine: str, place: Path, command: Sequence[str]) -> subprocess.Popen[str]:
    """The command as it is typed on a machine."""
    own = [*command, "--machine-rank", str(MACHINES.index(machine))]
    return begun(place, own, before=("ip", "netns", "exec", machine))


@pytest.mark.soak
def test_a_machine_that_is_gone_ends_the_other(machines: tuple[str, ...], data: Path, tmp_path: Path) -> None:
    """The cable is pulled: each finds that the other does not answer, though no call of its own may return."""
    together = ["--num-machines", "2", "--num-processes", "2", "--main-process-ip", ADDRESSES[0]]
    command = [*reading(data), "--run-name", "two", "--max-steps", "100000"]
    command += ["--logging-steps", "10", "--ddp-timeout", "5", *together]
    running = [on(machine, tmp_path, command) for machine in machines]
    run = RunDir(tmp_path / "runs" / "two")
    wait_until(lambda: any(event["step"] > 20 for event in run.events()))
    ip("-n", machines[0], "link", "set", "veth-a", "down")
    told = [errors_in(process.communicate(timeout=25)[1]) for process in running]
    assert [process.returncode for process in running] == [1, 1]
    assert all(len(errors) == 1 and "not answer" in errors[0] for errors in told), told


@pytest.mark.soak
def test_two_machines_train_what_one_trains(machines: tuple[str, ...], data: Path, tmp_path: Path) -> None:
    together = ["--num-machines", "2", "--num-processes", "2", "--main-process-ip", ADDRESSES[0]]
    command = [*reading(data), *HOW, *BATCH, "--run-name"]
    alone = begun(tmp_path, [*command, "one"])
    said = alone.communicate(timeout=120)[1]
    assert alone.returncode == 0, said
    running = [on(machine, tmp_path, [*command, "two", *together]) for machine in machines]
    both = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], both
    losses = [values(list(RunDir(tmp_path / "runs" / name).events()), "loss") for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
