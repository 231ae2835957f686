"""``llmctl pretrain``."""

from typing import TYPE_CHECKING

from llmctl.cli.options import Verb
from llmctl.config import PretrainConfig
from llmctl.workflows import pretrain

if TYPE_CHECKING:
    from llmctl.cli.console import Console


def _run(config: PretrainConfig, console: "Console") -> None:
    from llmctl.cli import rate
    from llmctl.cli.console import table

    if config.find_learning_rate:
        rate.show(pretrain.find_rate(config, progress=console), console)
        return
    result = pretrain.run(config, progress=console)
    rows = [[name, f"{value:.4f}"] for name, value in result.scores.items()]
    rows += [
        [f"loss of {part.source}", f"{part.scores['loss']:.4f}"] for part in result.sources if part.scores
    ]
    rows += [
        ["parameters", f"{result.num_parameters:,}"],
        ["steps", f"{result.steps:,}"],
        ["seconds", f"{result.seconds:,.0f}"],
    ]
    console.result(result.to_json(), f"{table(['validation', result.run], rows)}\n{result.kept}")
    console.hint("judge it:", f"llmctl eval {result.run}")
    if result.objective in ("clm", "rclm"):
        prompt = "Once upon a time" if str(config.data).startswith("builtin:stories") else "The"
        prompt = prompt if result.objective == "clm" else " the end."
        console.hint("let it write:", f'llmctl generate "{prompt}" --model {result.run}')
        return
    if result.objective != "seq2seq":
        console.hint("let it fill gaps:", f'llmctl predict "It was a [MASK] day." --model {result.run}')
    console.hint("teach it a task:", f"llmctl finetune --task TASK --model {result.run}")


PRETRAIN = Verb(
    PretrainConfig,
    _run,
    check=pretrain.check,
    check_here=pretrain.check_here,
    settle=pretrain.settle,
    plan=lambda config, device, console: pretrain.plan(config, device=device, progress=console),
    examples=(
        "llmctl pretrain                                      # a story model, from data that comes with the tool",
        "llmctl pretrain --data book.txt --block-size 128     # a text of your own",
        "llmctl pretrain --data 'shards/*.jsonl.gz' --architecture gpt2 --model-size small",
        "llmctl pretrain --model runs/stories --data more.txt # go on with a model",
        "llmctl pretrain --recipe recipes/pretrain/tinyshakespeare.yaml",
    ),
)
