"""A model's answers to a split of labelled examples: scored, compared with knowing nothing, and written down."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl import disk, ranks
from llmctl.errors import RunError
from llmctl.metrics.baseline import majority
from llmctl.metrics.intervals import tell_few
from llmctl.progress import Progress
from llmctl.tasks import KINDS

if TYPE_CHECKING:
    from llmctl.metrics import Scores
    from llmctl.objectives.task import Predictions, TaskObjective

MISTAKES_SHOWN = 10
_CUT = 200  # characters of a text that a listing shows


@dataclass(frozen=True)
class Judgement:
    """What a model's answers are worth.

    Attributes:
        task: what was asked.
        split: of the data; ``None``: it has no splits.
        scores: with their intervals.
        baseline: score -> what the best constant answer would have, ``None`` where there is none.
        loss: mean over targets.
        n: examples.
        mistakes: the wrong answers of which the model was surest, as lines of the predictions' file.
        path: where it was written; ``None``: nowhere.
    """

    task: str
    split: str | None
    model: str
    data: str
    fingerprint: str
    scores: "Scores"
    baseline: dict[str, float | None]
    loss: float | None
    n: int
    mistakes: list[dict[str, Any]]
    path: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The object of ``llmctl eval --json`` and of ``eval/<split>.json``."""
        return {
            **{name: score.to_json() for name, score in self.scores.values.items()},
            "loss": self.loss,
            "baseline": self.baseline,
            "n": self.n,
            "task": self.task,
            "split": self.split,
            "model": self.model,
            "data": self.data,
            "fingerprint": self.fingerprint,
            "details": self.scores.details,
            "signature": self.scores.signature,
        }


def judge(
    objective: "TaskObjective",
    model: Any,
    features: Any,
    *,
    split: str | None,
    name: str,
    metrics: Sequence[str],
    num_resamples: int,
    seed: int,
    path: Path | None,
    progress: Progress,
) -> Judgement:
    """Let ``model`` answer all examples and score the answers.

    Args:
        features: of ``objective.encode``, labelled.
        name: of the model.
        path: where the scores go, as JSON; the predictions go beside them, a line an example.

    Raises:
        RunError: they cannot be written.
    """
    predictions = objective.predict(model, features, progress=progress)
    scores = objective.judge(features, predictions, metrics=metrics, num_resamples=num_resamples, seed=seed)
    examples = features.examples
    if num_resamples:
        tell_few(len(examples), "examples", progress)
    if KINDS[objective.task.kind].objective == "seq2seq" and not any(predictions.answers):
        progress.warn(f"all {len(examples):,} generated texts are empty")
    judgement = Judgement(
        task=objective.task.name,
        split=split,
        model=name,
        data=examples.name,
        fingerprint=examples.fingerprint,
        scores=scores,
        baseline=baseline(objective, features, metrics),
        loss=predictions.loss,
        n=len(examples),
        mistakes=_surest_mistakes(objective, features, predictions),
        path=str(path) if path else None,
    )
    if path:
        _write(path, judgement, objective, features, predictions)
        progress.note(f"scores: {path}")
    return judgement


def baseline(objective: "TaskObjective", features: Any, metrics: Sequence[str]) -> dict[str, float | None]:
    """What the best constant answer would score."""
    labels = getattr(objective, "labels", None)
    return majority(metrics, objective.gold(features), kind=objective.judged_as, label_names=labels)


def _surest_mistakes(
    objective: "TaskObjective", features: Any, predictions: "Predictions"
) -> list[dict[str, Any]]:
    if predictions.confidence is None:
        return []
    mistakes = []
    for index in (-predictions.confidence).argsort(kind="stable"):
        line = objective.record(features, predictions, int(index))
        if line.get("correct") is False:
            mistakes.append({"place": features.examples.place(int(index)), **line})
            if len(mistakes) == MISTAKES_SHOWN:
                break
    return mistakes


def _write(
    path: Path, judgement: Judgement, objective: "TaskObjective", features: Any, predictions: "Predictions"
) -> None:
    if not ranks.is_first():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with disk.staged_file(path.with_suffix(".predictions.jsonl")) as file:
            for index in range(len(features.examples)):
                line = objective.record(features, predictions, index)
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        disk.write_file(path, json.dumps(judgement.to_json(), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error
