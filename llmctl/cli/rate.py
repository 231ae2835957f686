"""How a test of learning rates looks: the curve, the rate that is suggested, and where both are kept."""

from typing import TYPE_CHECKING

from llmctl.cli.training_view import curve
from llmctl.workflows.rate_picture import MOST

if TYPE_CHECKING:
    from llmctl.cli.console import Console
    from llmctl.workflows.find_rate import RateFound

_WIDTH = 50


def show(found: "RateFound", console: "Console") -> None:
    """Print the curve and the suggestion, and tell what to type next."""
    console.result(found.to_json(), _as_text(found))
    if found.suggestion is None:
        console.hint("less noise in the losses, the same command with", "--gradient-accumulation-steps 8")
    else:
        console.hint(
            "train with it, the same command without --find-learning-rate and with",
            f"--learning-rate {found.suggestion:g}",
        )


def _as_text(found: "RateFound") -> str:
    drawn = curve([min(loss, MOST * found.smooth[0]) for loss in found.smooth], _WIDTH)
    ends = f"{found.rates[0]:.0e}", f"{found.rates[-1]:.1e}"
    lines = [
        f"loss           {drawn}  {found.smooth[0]:.4g}, at best {min(found.smooth):.4g}",
        f"learning rate  {ends[0]}{ends[1].rjust(len(drawn) - len(ends[0]))}",
    ]
    if found.suggestion is None:
        lines.append("no learning rate brought the loss down: there is nothing to suggest")
    else:
        below = sum(rate < found.suggestion for rate in found.rates) * len(drawn) // len(found.rates)
        lines.insert(1, f"{' ' * 15}{' ' * below}^ {found.suggestion:g}")
        lines.append(f"with {found.optim}: {found.suggestion:g}, where {found.rule}")
    return "\n".join([*lines, f"curve: {', '.join(found.files)}"])
