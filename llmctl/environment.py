"""What a run was made with: versions, hardware, the place it began in."""

import contextlib
import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from llmctl import ranks

LIBRARIES = (
    "llmctl",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "accelerate",
    "safetensors",
    "numpy",
)


@functools.cache
def versions() -> dict[str, str]:
    """The versions of what a model's numbers depend on."""
    found = {}
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[library] = importlib.metadata.version(library)
    return found


def describe(command: str, seed: int) -> dict[str, Any]:
    """What a run was made with: versions, hardware, seed, the working directory that paths are from, its git commit."""
    return {
        "command": command,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "versions": versions(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "num_processes": ranks.count(),
        "seed": seed,
        "git_commit": _git_commit(),
        "directory": str(Path.cwd()),
        "byte_order": sys.byteorder,
    }


def _git_commit() -> str | None:
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None
