"""The command line as a person calls it: real processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = ("torch", "transformers", "datasets", "numpy", "pandas", "pyarrow", "accelerate", "evaluate")


def modules_after(arguments: list[str], cwd: Path) -> tuple[int, set[str]]:
    """The exit code of a command, and the heavy modules it left in ``sys.modules``."""
    code = (
        "import atexit, json, sys\n"
        f"atexit.register(lambda: print('\\nMODULES', json.dumps([m for m in {HEAVY!r} if m in sys.modules])))\n"
        f"sys.argv = ['llmctl', *{arguments!r}]\n"
        "from llmctl.cli.main import main\n"
        "main()\n"
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
