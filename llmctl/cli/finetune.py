"""``llmctl finetune``."""

from typing import TYPE_CHECKING

from llmctl.cli.options import Verb
from llmctl.config import FinetuneConfig
from llmctl.progress import many
from llmctl.workflows import finetune

if TYPE_CHECKING:
    from llmctl.cli.console import Console


def _run(config: FinetuneConfig, console: "Console") -> None:
    from llmctl.cli import judgement, rate

    if config.find_learning_rate:
        rate.show(finetune.find_rate(config, progress=console), console)
        return
    result = finetune.run(config, progress=console)
    text = (
        f"{result.run}: {many(result.steps, 'step')} in {result.seconds:,.0f} s, "
        f"{result.num_trainable:,} of {result.num_parameters:,} parameters trained\n{result.kept}"
    )
    if result.judgement:
        text = f"{judgement.as_text(result.judgement)}\n\n{text}"
    console.result(result.to_json(), text)
    verb = "generate" if result.kind == "chat" else "predict"
    question = ' --question "..."' if result.kind == "qa" else ""
    console.hint("use it:", f'llmctl {verb} "..."{question} --model {result.run}')
    console.hint("judge it by other data:", f"llmctl eval {result.run} --data FILE")


FINETUNE = Verb(
    FinetuneConfig,
    _run,
    check=finetune.check,
    check_here=finetune.check_here,
    settle=finetune.settle,
    plan=lambda config, device, console: finetune.plan(config, device=device, progress=console),
    examples=(
        "llmctl finetune --task sst2                                    # a task of the catalogue: llmctl tasks",
        "llmctl finetune --task classification --data reviews.csv --label-column stars",
        "llmctl finetune --task ner --data corpus.conll --model builtin:minilm",
        "llmctl finetune --task chat --data dialogues.jsonl --model builtin:smollm2 --method lora",
        "llmctl finetune --recipe recipes/finetune/reviews.yaml",
    ),
)
