"""The command line as a person calls it: real processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak.conftest import forks
from tests.soak.forks import Forks

__all__ = ["forks"]
Run = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = ("torch", "transformers", "datasets", "numpy", "pandas", "pyarrow", "accelerate", "evaluate")


def modules_after(arguments: list[str], cwd: Path) -> tuple[int, set[str]]:
    """The exit code of a command, and the heavy modules it left in ``sys.modules``."""
    code = (
        "import json, sys\n"
        f"sys.argv = ['llmctl', *{arguments!r}]\n"
        "from llmctl.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    print('\\nMODULES', json.dumps([m for m in {HEAVY!r} if m in sys.modules]))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=60)
    return result.returncode, set(json.loads(result.stdout.rpartition("MODULES")[2]))


@pytest.fixture
def llmctl(tmp_path: Path) -> Run:
    """Run ``llmctl ARGUMENTS`` in an empty directory, offline, with its own runs and cache."""

    def run(
        *arguments: str,
        input: str | None = None,
        cwd: Path | None = None,
        timeout: float = 120,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        **env: str,
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("LLMCTL_")},
            "LLMCTL_CACHE_DIR": str(tmp_path / "cache"),
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(tmp_path / "hf"),
            **env,
        }
        return subprocess.run(
            [sys.executable, "-m", "llmctl", *arguments],
            cwd=cwd or tmp_path,
            env=environment,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            stdout=stdout,
            stderr=stderr,
            text=True,
            timeout=timeout,
        )

    return run


def in_forks(forks: Forks, folder: Path) -> Run:
    """Run ``llmctl ARGUMENTS`` in ``folder``, in a process that has the libraries: they take four seconds to import."""

    def run(*arguments: str, input: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        environment = {"LLMCTL_CACHE_DIR": str(folder / "cache"), **env}
        ended = forks.run(*arguments, environment=environment, folder=folder, input=input, after=120)
        return subprocess.CompletedProcess(arguments, ended.code, ended.stdout, ended.stderr)

    return run


@pytest.fixture
def forked(forks: Forks, tmp_path: Path) -> Run:
    """As ``llmctl``, but quick: for tests of what a command does, not of what comes with a process of its own."""
    return in_forks(forks, tmp_path)
