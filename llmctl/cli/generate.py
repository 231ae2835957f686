"""``llmctl generate``."""

from typing import TYPE_CHECKING

from llmctl.cli.options import Verb
from llmctl.config import GenerateConfig
from llmctl.workflows import generate

if TYPE_CHECKING:
    from llmctl.cli.console import Console


def _run(config: GenerateConfig, console: "Console") -> None:
    write = (lambda text: None) if console.as_json else console.write
    result = generate.run(config, progress=console, write=write)
    if result.output_file:
        console.note(f"wrote {result.num_texts:,} texts to {result.output_file}")
    if console.as_json:
        console.result(result.to_json(), "")


GENERATE = Verb(
    GenerateConfig,
    _run,
    check=generate.check,
    examples=(
        'llmctl generate "Once upon a time"                          # the newest run',
        'llmctl generate "Once upon a time" --temperature 0 --model runs/stories',
        "llmctl generate --input-file prompts.jsonl --output-file texts.jsonl --batch-size 16",
    ),
)
