"""Scores of what a model finds in a text, from sums over its rows, with intervals."""

import numpy as np

from llmctl import __version__
from llmctl.metrics.intervals import Interval, bootstrap_sums, percentile_bounds
from llmctl.objectives.text import TextScores


def summary(
    sums: dict[str, np.ndarray], *, signature: str, num_resamples: int, seed: int, unit: str
) -> TextScores:
    """The scores of some kinds of targets: ``loss``, ``perplexity`` of the first, and the accuracy of each.

    Args:
        sums: kind of target -> (R, 3) by row: negative log-likelihood in nats, targets, targets that were found.
            Its accuracy is called ``<kind>_accuracy``. Where there is more than one, each has a loss of its own,
            ``<kind>_loss``, and ``loss`` is the sum of their means.
        signature: what decides the sums.
        num_resamples: bootstrap resamples of rows behind the 95 % intervals; 0: none.
        seed: of the bootstrap.
        unit: what the rows are called.
    """
    together = np.concatenate(list(sums.values()), axis=1)
    values = _scores(together.sum(axis=0)[None], list(sums))
    bounds: dict[str, tuple[float, float]] = {}
    if num_resamples and len(together) > 1:
        samples = _scores(bootstrap_sums(together, num_resamples=num_resamples, seed=seed), list(sums))
        bounds = {name: percentile_bounds(found) for name, found in samples.items()}
    interval = f"interval:bootstrap95,{num_resamples}x{len(together)} {unit},seed:{seed}|llmctl:{__version__}"
    return TextScores(
        {name: Interval(float(value[0]), *bounds.get(name, (None, None))) for name, value in values.items()},
        n=len(together),
        unit=unit,
        num_tokens=int(next(iter(sums.values()))[:, 1].sum()),
        signature=f"{signature}|{interval}",
    )


def _scores(sums: np.ndarray, kinds: list[str]) -> dict[str, np.ndarray]:
    """Scores (S,) by name from S sums (S, 3 * kinds)."""
    parts = np.split(sums, len(kinds), axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        losses = [part[:, 0] / part[:, 1] for part in parts]
        found = {"loss": np.sum(losses, axis=0), "perplexity": np.exp(losses[0])}
        if len(kinds) > 1:
            found |= {f"{kind}_loss": loss for kind, loss in zip(kinds, losses, strict=True)}
        return found | {
            f"{kind}_accuracy": part[:, 2] / part[:, 1] for kind, part in zip(kinds, parts, strict=True)
        }
