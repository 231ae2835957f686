"""``llmctl predict``."""

from typing import TYPE_CHECKING, Any

from llmctl.cli.options import Verb
from llmctl.config import PredictConfig
from llmctl.progress import many
from llmctl.workflows import predict

if TYPE_CHECKING:
    from llmctl.cli.console import Console


def _run(config: PredictConfig, console: "Console") -> None:
    from llmctl.cli.console import as_json

    result = predict.run(config, progress=console)
    if result.output_file:
        console.note(f"wrote {many(len(result.answers), 'answer')} to {result.output_file}")
        if not console.as_json:
            return
    if config.text is not None:
        text = _readable(result.answers[0])
    else:  # many answers are data for the next program
        text = "\n".join(as_json(answer) for answer in result.answers)
    console.result(result.to_json(), text)


def _readable(answer: dict[str, Any]) -> str:
    """One answer for a person: the classes by probability, the entities, or the text."""
    from llmctl.cli.console import table

    if "entities" in answer:
        rows = [
            [
                found["text"],
                found["type"],
                f"{found['start']} to {found['end']}",
                f"{found['probability']:.3f}",
            ]
            for found in answer["entities"]
        ]
        return table(["entity", "type", "characters", "probability"], rows) if rows else "no entity"
    if "fillings" in answer:
        rows = [
            [str(number) if rank == 0 else "", found["token"], f"{found['probability']:.4f}"]
            for number, fillings in enumerate(answer["fillings"], start=1)
            for rank, found in enumerate(fillings)
        ]
        return table(["mask", "token", "probability"], rows)
    if "probabilities" in answer:
        ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
        return table(["label", "probability"], [[name, f"{share:.4f}"] for name, share in ranked])
    shown = str(answer["predicted"]) or ("no answer" if "question" in answer else "(empty)")
    return shown + (f"  ({answer['probability']:.3f})" if "probability" in answer else "")


PREDICT = Verb(
    PredictConfig,
    _run,
    check=predict.check,
    examples=(
        'llmctl predict "a film to remember"                     # the newest run that answers',
        'llmctl predict "Ada lived in London." --model runs/ner',
        'llmctl predict "The cat sat on the [MASK]." --model runs/bert',
        'llmctl predict "Ada was born in 1815." --question "When was Ada born?" --model runs/qa',
        "llmctl predict --input-file texts.jsonl --output-file answers.jsonl --model runs/reviews",
    ),
)
