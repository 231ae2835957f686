"""Machines wait for each other, say for which, and give up."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmctl import machines
from llmctl.ranks import RanksFailedError
from tests.test_several_processes import wait_until

HERE = "127.0.0.1"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A free one; what takes seconds elsewhere takes none."""
    monkeypatch.setattr(machines, "_SECONDS_BETWEEN", 0.02)
    monkeypatch.setattr(machines, "_SECONDS_IN_SILENCE", 0.0)
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return int(probe.getsockname()[1])


def test_who_comes_first_waits_and_says_for_which(port: int) -> None:
    said: dict[int, list[str]] = {0: [], 1: [], 2: []}
    with ThreadPoolExecutor(3) as pool:
        second = pool.submit(machines.meet, HERE, port, 1, 3, said[1].append)
        wait_until(lambda: bool(said[1]), 10)
        first = pool.submit(machines.meet, HERE, port, 0, 3, said[0].append)
        wait_until(lambda: bool(said[0]), 10)
        machines.meet(HERE, port, 2, 3, said[2].append)
        first.result(10)
        second.result(10)
    assert said[1] == [f"waiting for machine 0 (of 0 to 2) at {HERE}:{port}; Ctrl-C ends it"]
    assert said[0][0].startswith(("waiting for machine 1", "waiting for machine 2"))


@pytest.mark.parametrize("machine_rank", [0, 1])
def test_who_does_not_come_is_not_waited_for_for_ever(
    port: int, machine_rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "SECONDS_TO_COME", 0.1)
    with pytest.raises(
        RanksFailedError, match=rf"waited 0\.1 seconds for machine {1 - machine_rank} "
    ) as told:
        machines.meet(HERE, port, machine_rank, 2, lambda said: None)
    assert "--machine-rank" in str(told.value.hint)


def test_a_port_that_is_taken_is_told(port: int) -> None:
    with socket.socket() as other:
        other.bind((HERE, port))
        other.listen()
        with pytest.raises(RanksFailedError, match=f"cannot listen at {HERE}:{port}") as told:
            machines.meet(HERE, port, 0, 2, lambda said: None)
    assert "--main-process-port" in str(told.value.hint)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("node1", "node1"), ("gpu[07-09,12],login1", "gpu07"), ("a,b", "a"), ("a[1,3]", "a1")],
)
def test_the_first_of_slurms_nodes(nodes: str, first: str) -> None:
    assert machines.first_host(nodes) == first
