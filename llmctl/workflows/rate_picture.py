"""A curve of losses over learning rates as a picture."""

from collections.abc import Sequence
from pathlib import Path

MOST = 1.1
"""Times the first loss: what diverges beyond would flatten the rest of a curve."""


def draw(path: Path, rates: Sequence[float], losses: Sequence[float], suggestion: float | None) -> None:
    """Draw ``losses`` (N,) over ``rates`` (N,), mark ``suggestion``, and write the picture to ``path`` (PNG)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses)
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
    axes.set_ylim(top=min(max(losses), MOST * losses[0]) + 0.05 * losses[0])
    if suggestion is not None:
        axes.axvline(suggestion, linestyle="--", color="tab:red", label=f"{suggestion:g}")
        axes.legend()
    figure.savefig(path, format="png", dpi=150)
