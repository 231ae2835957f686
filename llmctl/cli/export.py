"""``llmctl export``."""

from typing import TYPE_CHECKING

from llmctl.cli.options import Verb
from llmctl.config import ExportConfig
from llmctl.workflows import export

if TYPE_CHECKING:
    from llmctl.cli.console import Console


def _run(config: ExportConfig, console: "Console") -> None:
    result = export.run(config, progress=console)
    console.result(
        result.to_json(), f"{result.output_dir}: a plain model of {result.num_parameters:,} parameters"
    )


EXPORT = Verb(
    ExportConfig,
    _run,
    check=export.check,
    examples=(
        "llmctl export runs/chat --merge                          # LoRA's weights into its model, in runs/chat/merged",
        "llmctl export builtin:smollm2 --output-dir smollm2       # a GGUF file as a plain directory",
    ),
)
