"""The command line as a person calls it: real processes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def llmctl(tmp_path: Path) -> Run:
    """Run ``llmctl ARGUMENTS`` in an empty directory, offline, with its own runs and cache."""

    def run(
        *arguments: str, input: str | None = None, cwd: Path | None = None, timeout: float = 120, **env: str
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
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run
