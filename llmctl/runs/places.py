"""Where runs and prepared data are kept."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """Where prepared data is kept: ``LLMCTL_CACHE_DIR``, else ``llmctl`` in the user's cache directory."""
    if given := os.environ.get("LLMCTL_CACHE_DIR"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llmctl"


def runs_dir(given: str | None) -> Path:
    """Where runs are kept: the option, else ``LLMCTL_RUNS_DIR``, else ``./runs``."""
    return Path(given or os.environ.get("LLMCTL_RUNS_DIR") or "runs")
