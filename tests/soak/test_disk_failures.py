"""A disk that is full or fails: one line says so, what was saved stays good, and the run goes on when there is room.

``pytest -m soak tests/soak/test_disk_failures.py`` takes some twenty minutes.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from llmctl import manifest
from tests.soak.conftest import Whole
from tests.soak.forks import FAILED, HERE, Ended, Fault, Forks
from tests.soak.tiny_runs import TinyRun, outcome

SIZES = 20
CALLS = 100
CHECKED_TO_THE_END = 5
"""Of so many runs that a call has failed in, one is gone on with to its end."""


def assert_told(ended: Ended) -> None:
    """Code 2 is that of what is known before the first step."""
    assert ended.code == 1 or (ended.code == 2 and "\nstep " not in ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr
    told = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 1, ended.stderr
    assert "defect of llmctl" not in ended.stderr, ended.stderr


def assert_good(run: TinyRun, place: Path) -> None:
    """What calls itself a checkpoint is whole."""
    for checkpoint in run.run_in(place).all_checkpoints():
        assert manifest.damage(checkpoint) == []


# A small disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of so many bytes; the same, of another size, when it is called again."""
    place = tmp_path / "disk"

    def sized(size: int) -> Path:
        how = f"remount,size={size}" if os.path.ismount(place) else f"size={size}"
        place.mkdir(exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(place)], capture_output=True)
        if done.returncode:
            pytest.skip("a tmpfs cannot be mounted here")
        return place

    yield sized
    if os.path.ismount(place):
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("sizes", [1, pytest.param(SIZES, marks=pytest.mark.soak)])
def test_a_full_disk_ends_the_run_in_order(
    forks: Forks, whole: Callable[[str], Whole], disk: Callable[[int], Path], sizes: int
) -> None:
    run, expected, _ = whole("causal")
    needed = _most_on_disk(run, forks, disk(1 << 30))
    failed = 0
    for number in range(sizes):
        place = disk(needed * (number + 1) // (sizes + 1)) / "trial"
        ended = run.start(forks, place)
        if ended.code:
            failed += 1
            assert_told(ended)
            assert_good(run, place)
        disk(1 << 30)
        run.finish(forks, place)
        assert outcome(run.run_in(place)) == expected
        shutil.rmtree(place)
    assert failed >= sizes / 2


def _most_on_disk(run: TinyRun, forks: Forks, disk: Path) -> int:
    """What a run that keeps its checkpoints leaves behind: it held little more at any time."""
    run.finish(forks, disk / "trial")
    used = shutil.disk_usage(disk).used
    shutil.rmtree(disk / "trial")
    return used


# Calls that fail


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Processes whose k-th write, fsync or rename can be made to fail."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("there is no C compiler")
    place = tmp_path_factory.mktemp("shim")
    library = place / "shim.so"
    source = str(HERE / "shim.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), source, "-ldl"], check=True)
    forks = Forks(place, library)
    yield forks
    forks.close()


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        ("write", [60]),
        ("fsync", [30]),
        ("rename", [9]),
        *(
            pytest.param(kind, range(1, CALLS + 1), marks=pytest.mark.soak)
            for kind in ("write", "fsync", "rename")
        ),
    ],
)
def test_a_call_that_fails_ends_the_run_in_order(
    failing: Forks, whole: Callable[[str], Whole], place: Path, kind: str, calls: Sequence[int]
) -> None:
    run, expected, _ = whole("causal")
    for number in calls:
        ended = run.start(failing, place, fault=Fault(kind, number, str(place)))
        if FAILED not in ended.stderr:
            assert not ended.code
            assert number > calls[0], "there are no so many calls"
            break
        if ended.code:
            assert_told(ended)
            assert_good(run, place)
        if not ended.code or number % CHECKED_TO_THE_END == 0:
            run.finish(failing, place)
            assert outcome(run.run_in(place)) == expected, number
        shutil.rmtree(place)
