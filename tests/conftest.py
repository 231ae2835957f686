"""Every test runs offline; those on real data need ``LLMCTL_REAL_DATA``."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmctl.runs import RunDir
from tests.loopback_hub import LoopbackHub

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # these models are too small for more, and tests run side by side
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported


@pytest.fixture(scope="module", autouse=True)
def libraries_are_no_garbage() -> None:
    """Accelerate looks for garbage at the end of each training: 0.3 s among all objects of the libraries."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def real_data() -> Path:
    """The folder of real data that ``LLMCTL_REAL_DATA`` names."""
    folder = os.environ.get("LLMCTL_REAL_DATA")
    if not folder:
        pytest.skip("LLMCTL_REAL_DATA is not set")
    return Path(folder)


@pytest.fixture
def loopback_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    """A Hub on this machine, without repositories yet; for processes, as this one stays offline."""
    hub = LoopbackHub(tmp_path_factory.mktemp("hub"))
    yield hub
    hub.stop()


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """The directory of a run, with nothing in it."""
    path = tmp_path / "run"
    path.mkdir()
    return RunDir(path)
