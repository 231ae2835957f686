"""``llmctl eval``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl.cli.options import Verb
from llmctl.config import EvalConfig
from llmctl.progress import many
from llmctl.workflows import evaluate

if TYPE_CHECKING:
    from llmctl.cli.console import Console


def _run(config: EvalConfig, console: "Console") -> None:
    result = evaluate.run(config, progress=console)
    data = result.to_json()
    if "num_tokens" in data:
        console.result(data, _text_scores(data))
        return
    from llmctl.cli import judgement

    console.result(data, judgement.as_text(result))  # type: ignore[arg-type]


def _text_scores(data: dict[str, Any]) -> str:
    from llmctl.cli.console import table

    rows = []
    for name, score in data.items():
        if not isinstance(score, dict):
            continue
        bounds = "" if score["low"] is None else f"{_number(score['low'])} to {_number(score['high'])}"
        value = "too large" if score["value"] is None else _number(score["value"])
        rows.append([name.replace("_", " "), value, bounds])
    text = table([f"{data['model']} on {Path(data['data']).name}", "score", "95 % interval"], rows)
    scored = f"{many(data['num_tokens'], 'token')} of {many(data['n'], data['unit'].removesuffix('s'))}"
    return f"{text}\n\n{scored}\n{data['signature']}"


def _number(value: float) -> str:
    return f"{value:.4f}" if value < 1000 else f"{value:,.0f}"


EVAL = Verb(
    EvalConfig,
    _run,
    check=evaluate.check,
    examples=(
        "llmctl eval                                   # the newest run, on its own validation text",
        "llmctl eval runs/stories --data other.txt",
        "llmctl eval runs/reviews --data other.csv --label-column stars",
        "llmctl eval distilbert/distilbert-base-uncased-finetuned-sst-2-english --task sst2",
        "llmctl eval HuggingFaceTB/SmolLM2-135M --data book.txt --max-length 1024 --stride 512",
    ),
)
