"""How a judgement looks: scores, what they are made of, and the mistakes that say most."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl.cli.console import table
from llmctl.progress import many

if TYPE_CHECKING:
    from llmctl.workflows.judge import Judgement

_MATRIX_CLASSES = 12  # wider confusion matrices do not fit a terminal
_OF_POSITIVES = ("f1", "precision", "recall")
_TEXT = 72


def as_text(judgement: "Judgement") -> str:
    """The scores beside the baseline's; the confusion matrix or the scores by type; the surest mistakes."""
    parts = [_scores(judgement)]
    details = judgement.scores.details
    if matrix := details.get("confusion_matrix"):
        parts += _confusion(matrix, details["label_names"])
    for name in ("by_type", "by_label"):
        if details.get(name):
            parts.append(_by(name, details[name]))
    if judgement.mistakes:
        parts.append(_mistakes(judgement.mistakes))
    parts.append(f"{many(judgement.n, 'example')} of {judgement.data}\n{judgement.scores.signature}")
    return "\n\n".join(parts)


def _scores(judgement: "Judgement") -> str:
    headers = [
        f"{judgement.model} on {Path(judgement.data).name}",
        "score",
        "95 % interval",
        "same answer for all",
    ]
    rows = [] if judgement.loss is None else [["loss", f"{judgement.loss:.4f}", "", ""]]
    baseline = {name: f"{value:.4f}" for name, value in judgement.baseline.items() if value is not None}
    positive = judgement.scores.details.get("positive_class")
    for name, score in judgement.scores.values.items():
        told = f"{name} (positive: {positive})" if positive and name in _OF_POSITIVES else name
        bounds = "" if score.low is None or score.high is None else f"{score.low:.4f} to {score.high:.4f}"
        rows.append([told, f"{score.value:.4f}", bounds, baseline.get(name, "")])
    if not baseline:  # a constant text means nothing
        headers, rows = headers[:-1], [row[:-1] for row in rows]
    return table(headers, rows)


def _confusion(matrix: list[list[int]], labels: list[str]) -> list[str]:
    if len(labels) > _MATRIX_CLASSES:
        return []
    rows = [[name, *(f"{count:,}" for count in counts)] for name, counts in zip(labels, matrix, strict=True)]
    return [table(["true \\ predicted", *labels], rows)]


def _by(name: str, found: dict[str, dict[str, Any]]) -> str:
    columns = list(next(iter(found.values())))
    rows = [
        [key, *(f"{value:,}" if isinstance(value, int) else f"{value:.4f}" for value in scores.values())]
        for key, scores in found.items()
    ]
    return table([name.removeprefix("by_"), *columns], rows)


def _mistakes(mistakes: list[dict[str, Any]]) -> str:
    lines = [f"the {many(len(mistakes), 'mistake')} it was surest of:"]
    for line in mistakes:
        told = line.get("text") or line.get("question") or " ".join(line.get("tokens", []))
        shown = " ".join(str(told).split())
        shown = shown if len(shown) <= _TEXT else shown[: _TEXT - 3] + "..."
        predicted, gold = (
            _short(line.get(name, line.get(other)))
            for name, other in (("entities", "predicted"), ("gold_entities", "gold"))
        )
        lines.append(
            f"  {line.get('probability', 0):.3f}  {predicted}, not {gold}: {shown}  ({line['place']})"
        )
    return "\n".join(lines)


def _short(value: Any) -> str:
    if isinstance(value, list):
        named = [
            f"{item['text']} ({item['type']})" if isinstance(item, dict) else str(item) for item in value
        ]
        value = ", ".join(named)
    text = str(value) or "nothing"
    return text if len(text) <= _TEXT // 2 else text[: _TEXT // 2 - 3] + "..."
