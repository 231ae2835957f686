"""The story of ``--find-learning-rate``: a short run of rising rates, a curve, a suggestion; nothing else is left."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl import disk, runs
from llmctl.errors import RunError
from llmctl.progress import Progress
from llmctl.runs import RunDir
from llmctl.workflows import train
from llmctl.workflows.rate_picture import draw
from llmctl.workflows.stage import ConfigT, Stage

FOLDER = "learning-rates"  # below that of the runs


@dataclass(frozen=True)
class RateFound:
    """What the test of learning rates came to.

    Attributes:
        suggestion: the rate to train with; ``None``: none brought the loss down.
        optim: the optimiser that it is for.
        rule: how it was chosen.
        rates: (N,) tried, one a step.
        losses: (N,) of those steps.
        smooth: (N,) means around each.
        files: the curve as JSON, and as a picture.
    """

    suggestion: float | None
    optim: str
    rule: str
    rates: list[float]
    losses: list[float]
    smooth: list[float]
    files: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def run(stage: Stage[ConfigT, Any], config: ConfigT, *, progress: Progress) -> RateFound:
    """Train on the real data for at most 100 steps, each at a higher rate, in a place that is gone afterwards.

    Raises:
        ConfigError, RunError, DataError, ModelError: as ``train.run``.
    """
    train.check(stage, config)
    train.check_here(stage, config)
    config, splits = train.load(stage, train.settle(stage, config), progress)

    from llmctl import training

    with tempfile.TemporaryDirectory(prefix="llmctl-") as folder:
        run_dir = RunDir(Path(folder))
        ready = stage.prepare(config, run_dir, splits, progress)
        progress.note(
            f"trying learning rates from {training.LOWEST:g} to {training.HIGHEST:g}, one a step, until the loss "
            "diverges; the weights are thrown away"
        )
        with progress.bar("learning rates", training.STEPS, "steps") as advance:
            curve = training.rate_curve(
                config,
                run_dir,
                ready.plan,
                model=ready.model,
                objective=ready.objective,
                training=ready.examples,
                advance=advance,
            )
    place = runs.runs_dir(config.runs_dir) / FOLDER
    name = runs.default_name(stage.command, *stage.name(config))
    found = RateFound(
        suggestion=curve.suggestion,
        optim=config.optim or "",
        rule=f"the loss has come down by {training.FALL:.0%} of all that it comes down",
        rates=curve.rates,
        losses=curve.losses,
        smooth=curve.smooth,
        files=tuple(str(place / f"{name}{ending}") for ending in (".json", ".png")),
    )
    _write(found)
    return found


def _write(found: RateFound) -> None:
    """Leave the curve behind.

    Raises:
        RunError: it cannot be written.
    """
    text, picture = (Path(file) for file in found.files)
    try:
        text.parent.mkdir(parents=True, exist_ok=True)
        disk.write_file(text, json.dumps(found.to_json(), indent=1) + "\n")
        draw(picture, found.rates, found.smooth, found.suggestion)
    except OSError as error:
        raise RunError(f"{error.filename}: cannot write the curve: {error.strerror}") from error
