"""What pretraining is worth: a small BERT that has read reviews, against one of random weights, as classifiers.

Both are of one shape (2 layers x 128, 2,048 tokens) and tokenizer, and are fine-tuned on the same labelled
reviews, with the same settings; the learning rate is the better of two for each. The first has read other reviews
before, without their labels, by ``recipes/pretrain/bert.yaml`` (hidden words, and which passages follow each other).
Reviews are generated: those that it read have another seed than the labelled ones, and none has the text of one that
judges. They come of the same grammar, so this is what reading more of one's own kind of text is worth. The 2,000 that
judge choose nothing: the last model is kept. Intervals are bootstrapped over them; that of the difference from pairs of
answers to the same review.
"""

import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from llmctl.data.builtin import reviews

RECIPE = Path(__file__).parents[1] / "recipes" / "pretrain" / "bert.yaml"
READ, JUDGING = 6_000, 2_000  # reviews
EPOCHS = 8  # of reading
LABELLED = {1000: 10, 2000: 6}  # reviews -> epochs over them
RATES = ("5e-4", "1e-3")
SHAPE = ("--hidden-size", 128, "--num-hidden-layers", 2, "--num-attention-heads", 4)


def write_data(folder: Path) -> int:
    """``read.jsonl``, and a folder for each number of labelled reviews; returns how many texts are read."""
    labelled = list(reviews(max(LABELLED) + JUDGING))
    judging = labelled[max(LABELLED) :]
    for count in LABELLED:
        place = folder / str(count)
        place.mkdir()
        for name, rows in {"train": labelled[:count], "validation": judging}.items():
            with (place / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("text", "label"), *rows])
    known = {text for text, _ in judging}
    texts = [text for text, _ in reviews(READ, seed=1) if text not in known]
    lines = [json.dumps({"text": text}) + "\n" for text in texts]
    (folder / "read.jsonl").write_text("".join(lines), encoding="utf-8")
    return len(texts)


def llmctl(folder: Path, *words: object) -> dict[str, Any]:
    """What the command's JSON says."""
    command = [sys.executable, "-m", "llmctl", *map(str, words), "--json", "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def tuned(folder: Path, count: int, *model: object) -> tuple[dict[str, float], np.ndarray]:
    """Accuracy and its interval after fine-tuning on ``count`` reviews, at the better learning rate; what is right."""
    settings = ["--num-train-epochs", LABELLED[count], "--no-load-best-model-at-end"]
    found = [
        llmctl(
            folder,
            *("finetune", "--task", "classification", "--data", count, *model, *settings),
            *("--learning-rate", rate, "--run-name", f"{str(model[0]).strip('-')}-{count}-{rate}"),
        )
        for rate in RATES
    ]
    best = max(found, key=lambda each: each["judgement"]["accuracy"]["value"])
    [answers] = (folder / best["run"] / "eval").glob("*.predictions.jsonl")
    lines = map(json.loads, answers.read_text(encoding="utf-8").splitlines())
    right = np.array([line["correct"] for line in lines])
    return best["judgement"]["accuracy"], right


def told(score: dict[str, float]) -> str:
    """``0.878 (0.857 to 0.898)``."""
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"


def difference(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """How much more often the second is right, with a paired bootstrap's 95 % interval."""
    gains = second.astype(float) - first
    draws = np.random.default_rng(0).integers(0, len(gains), (2000, len(gains)))
    low, high = np.quantile(gains[draws].mean(axis=1), [0.025, 0.975])
    return {"value": gains.mean(), "low": low, "high": high}


def main() -> str:
    """A table: labelled reviews, and the accuracy of both models."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        count = write_data(folder)
        began = time.perf_counter()
        reading = ["--data", "read.jsonl", "--num-train-epochs", EPOCHS, "--vocab-size", 2048, *SHAPE]
        known = llmctl(folder, "pretrain", "--recipe", RECIPE, *reading, "--run-name", "bert")["scores"]
        minutes = (time.perf_counter() - began) / 60
        lines = [
            "| labelled reviews | from random weights | pretrained | difference |",
            "|---|---|---|---|",
        ]
        for labelled in LABELLED:
            random, blank = tuned(folder, labelled, "--architecture", "bert", "--tokenizer", "bert", *SHAPE)
            pretrained, read = tuned(folder, labelled, "--model", "bert")
            cells = [told(score) for score in (random, pretrained, difference(blank, read))]
            lines.append(f"| {labelled} | {' | '.join(cells)} |")
    told_of_reading = (
        f"Reading took {minutes:.1f} minutes: {count:,} reviews, {EPOCHS} times; masked accuracy "
        f"{known['masked_accuracy']:.3f}, of pairs {known['nsp_accuracy']:.3f}."
    )
    return "\n".join([*lines, "", told_of_reading])


if __name__ == "__main__":
    print(main())
