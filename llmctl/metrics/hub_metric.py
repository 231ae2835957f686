"""Metrics of the Hub: ``ORG/NAME@COMMIT``, the code of one commit and no other."""

from collections.abc import Sequence
from typing import Any

from llmctl.errors import ConfigError, ModelError
from llmctl.hub import first_line, go_offline_if_unreachable
from llmctl.metrics.intervals import Interval
from llmctl.metrics.names import check_pinned
from llmctl.progress import Progress


def score_by_hub(
    name: str, predictions: Sequence[Any], references: Sequence[Any], *, progress: Progress
) -> dict[str, Interval]:
    """Every number that a metric of the Hub returns, under its own name and without an interval.

    Raises:
        ModelError: the metric cannot be loaded.
        ConfigError: it takes other predictions or references, or returns no number.
    """
    module = load(name)
    try:
        result = module.compute(predictions=_plain(predictions), references=_plain(references))
    except Exception as error:  # foreign code may raise anything
        raise ConfigError(
            f"metric {name} cannot score these predictions: {first_line(error)}",
            hint="its page on the Hub tells what it takes",
        ) from error
    values = {
        score: Interval(float(value), None, None)
        for score, value in (result or {}).items()
        if isinstance(value, (int, float)) or getattr(value, "ndim", None) == 0
    }
    if not values:
        raise ConfigError(f"metric {name} returns no number")
    progress.note(f"{name}: {', '.join(values)} without an interval")
    return values


def load(name: str) -> Any:
    """Load a metric's code from the Hub or its cache.

    Raises:
        ConfigError: its name does not say which commit.
        ModelError: it cannot be loaded.
    """
    check_pinned(name)
    import evaluate

    path, _, commit = name.partition("@")
    go_offline_if_unreachable()
    try:
        return evaluate.load(path, revision=commit, module_type="metric")
    except Exception as error:  # missing packages, a broken script, no network: all come from foreign code
        raise ModelError(
            f"cannot load the metric {name}: {first_line(error)}",
            hint="check its name and the network; what works offline: the metrics without a slash",
        ) from error


def _plain(values: Any) -> list[Any]:
    return values.tolist() if hasattr(values, "tolist") else list(values)
