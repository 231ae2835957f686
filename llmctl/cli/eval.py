"""``llmctl eval``."""

from typing import TYPE_CHECKING

from llmctl.cli.options import Verb
from llmctl.config import EvalConfig
from llmctl.workflows import evaluate

if TYPE_CHECKING:
    from llmctl.cli.console import Console

SCORES = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte")


def _run(config: EvalConfig, console: "Console") -> None:
    from llmctl.cli.console import table

    result = evaluate.run(config, progress=console)
    data = result.to_json()
    rows = []
    for name in SCORES:
        score = data[name]
        bounds = "" if score["low"] is None else f"{score['low']:.4f} to {score['high']:.4f}"
        value = "too large" if score["value"] is None else f"{score['value']:.4f}"
        rows.append([name.replace("_", " "), value, bounds])
    text = table([f"{result.model} on {result.split}", "score", "95 % interval"], rows)
    console.result(
        data, f"{text}\n\n{data['num_tokens']:,} tokens of {data['n']:,} documents\n{data['signature']}"
    )


EVAL = Verb(
    EvalConfig,
    _run,
    check=evaluate.check,
    examples=(
        "llmctl eval                                   # the newest run, on its own validation text",
        "llmctl eval runs/stories --data other.txt",
        "llmctl eval HuggingFaceTB/SmolLM2-135M --data book.txt --max-length 1024 --stride 512",
    ),
)
