"""``llmctl generate``."""

import json
from typing import TYPE_CHECKING

from llmctl.cli.options import Verb
from llmctl.config import GenerateConfig
from llmctl.progress import many
from llmctl.workflows import generate

if TYPE_CHECKING:
    from llmctl.cli.console import Console


def _run(config: GenerateConfig, console: "Console") -> None:
    written: list[str] = []
    write = written.append if console.as_json else console.write
    result = generate.run(config, progress=console, write=write)
    if result.output_file:
        console.note(f"wrote {many(result.num_texts, 'text')} to {result.output_file}")
    if console.as_json:
        lines = [json.loads(line) for line in written] if config.input_file else result.texts
        console.result({**result.to_json(), "texts": lines}, "")


GENERATE = Verb(
    GenerateConfig,
    _run,
    check=generate.check,
    examples=(
        'llmctl generate "Once upon a time"                          # the newest run',
        'llmctl generate "Once upon a time" --temperature 0 --model runs/stories',
        'llmctl generate "Who are you?" --model builtin:smollm2      # a chat model answers; --raw: goes on',
        "llmctl generate --input-file prompts.jsonl --output-file texts.jsonl --batch-size 16",
    ),
)
