"""Quality of fine-tuning on real data, from one command each; scores with their 95 % intervals.

``LLMCTL_REAL_DATA`` names the data. The baseline is the same answer for every example. SST-2 stands beside plain
``transformers.Trainer`` with the same hyperparameters (its score is the column "Trainer"). ``LLMCTL_QUALITY``, words
of the first column, limits what is run again; other rows keep what they say.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.finetuning import PROGRAM, call

RESULTS = Path(__file__).parent / "results.md"
HEADER = [
    "| data | settings | score | 95 % interval | baseline | Trainer | minutes |",
    "|---|---|---|---|---|---|---|",
]


class Case(NamedTuple):
    """A data set below ``LLMCTL_REAL_DATA``, the options of ``llmctl finetune``, and the score to tell."""

    data: str
    options: str
    score: str


ENCODER = "--model builtin:minilm"
CASES = {
    "sst2": Case("sst2", f"--task classification {ENCODER} --max-train-samples 20000 --num-train-epochs 1 "
                 "--learning-rate 2e-4", "accuracy"),
    "agnews": Case("agnews", f"--task classification {ENCODER} --num-train-epochs 1 --learning-rate 1e-4", "accuracy"),
    "wnut17": Case("ner/wnut17", f"--task ner {ENCODER} --num-train-epochs 5 --learning-rate 3e-4", "f1"),
    "wikiann": Case("ner/wikiann-en", f"--task ner {ENCODER} --max-train-samples 4000 --max-eval-samples 2000 "
                    "--num-train-epochs 3 --learning-rate 3e-4", "f1"),
    "xquad": Case("xquad", f"--task qa {ENCODER} --max-length 256 --num-train-epochs 6 --learning-rate 3e-4", "f1"),
    "dialogsum": Case("dialogsum", "--task chat --model builtin:smollm2 --method lora --text-column dialogue "
                      "--target-column summary --max-train-samples 200 --max-eval-samples 40 --num-train-epochs 1 "
                      "--max-length 512", "loss"),
    "multi30k": Case("multi30k", "--recipe recipes/finetune/multi30k-scratch.yaml", "bleu"),
}  # fmt: skip


def measure(case: Case, real: Path) -> dict[str, Any]:
    """Run the command; what its last line of JSON says, and the minutes it took."""
    with tempfile.TemporaryDirectory() as place:
        command = [
            *(
                sys.executable,
                "-m",
                "llmctl",
                "finetune",
                "--data",
                str(real / case.data),
                *case.options.split(),
            ),
            *("--runs-dir", place, "--json", "--quiet"),
        ]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        found: dict[str, Any] = json.loads(done.stdout)
        return found | {"minutes": (time.perf_counter() - began) / 60}


def plain_trainer(real: Path) -> float:
    """Accuracy of plain ``Trainer`` on SST-2 with the same hyperparameters."""
    from llmctl.models import find_source

    model = find_source("builtin:minilm", Path("runs")).location
    program = PROGRAM.replace(
        "learning_rate=5e-5", "learning_rate=2e-4, warmup_steps=0.05, weight_decay=0.01"
    )
    program = program.replace("torch.set_num_threads(1)", "")
    with tempfile.TemporaryDirectory() as place:
        for name in ("train.tsv", "dev.tsv"):
            (Path(place) / name).write_bytes((real / "sst2" / name).read_bytes())
        evaluated = len((real / "sst2" / "dev.tsv").read_text().splitlines()) - 1
        found = call(
            program, "group_by_length", place, model, 20_000, evaluated, 0, cache=place, threads=None
        )
        return found["accuracy"]


def untrained(real: Path) -> float:
    """Loss of the chat model on the validation dialogues before it learns."""
    command = [
        *(
            sys.executable,
            "-m",
            "llmctl",
            "eval",
            "builtin:smollm2",
            "--task",
            "chat",
            "--data",
            real / "dialogsum",
        ),
        *("--text-column", "dialogue", "--target-column", "summary", "--max-eval-samples", "40"),
        *(
            "--split",
            "validation",
            "--validation-fraction",
            "0.1",
            "--max-length",
            "512",
            "--json",
            "--quiet",
        ),
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["loss"])


def row(name: str, real: Path) -> str:
    """One line of the table."""
    case = CASES[name]
    found = measure(case, real)
    judgement = found["judgement"]
    score = judgement[case.score]
    if not isinstance(score, dict):
        score = {"value": score, "low": None, "high": None}
    value, low, high = (score[key] for key in ("value", "low", "high"))
    bounds = "" if low is None else f"{low:.3f} to {high:.3f}"
    baseline = judgement["baseline"].get(case.score)
    known = "" if baseline is None else f"{baseline:.3f}"
    if name == "dialogsum":
        known = f"{untrained(real):.3f} untrained"
    trainer = f"{plain_trainer(real):.3f}" if name == "sst2" else ""
    options = case.options.replace("--model builtin:", "")
    told = [f"`{options}`", f"{case.score} {value:.3f}", bounds, known, trainer, f"{found['minutes']:.1f}"]
    return f"| {' | '.join([name, *told])} |"


def main() -> str:
    """The table, with the rows that are not run again as they were."""
    real = os.environ.get("LLMCTL_REAL_DATA")
    if not real:
        return "not measured: LLMCTL_REAL_DATA names no folder"
    written = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    section = written.partition("## quality\n")[2].partition("\n## ")[0]
    rows = {found[1]: found[0] for found in re.finditer(r"^\| (\w+) \| `.*$", section, flags=re.MULTILINE)}
    for name in os.environ.get("LLMCTL_QUALITY", " ".join(CASES)).split():
        print(f"  {name}", file=sys.stderr, flush=True)
        rows[name] = row(name, Path(real))
    return "\n".join([*HEADER, *(rows[name] for name in CASES if name in rows)])


if __name__ == "__main__":
    print(main())
