"""From the command to the end of the first step of pretraining, everything cached: seconds of whole processes.

A GPT-2 of 6 layers x 384 on built-in stories, blocks of 256, batch 8, a tokenizer that is there already; the script
is run_clm.py's way: ``datasets`` gives its cached blocks, ``Trainer`` trains. Median of five, in turns, all cores.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5

SCRIPT = """
import sys, time
from itertools import chain
from datasets import load_dataset
from transformers import (AutoTokenizer, GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments,
                          default_data_collator)
folder = sys.argv[1]
data = load_dataset("text", data_files=folder + "/text.txt", cache_dir=folder + "/cache")["train"]
tokenizer = AutoTokenizer.from_pretrained(folder + "/tokenizer")
def encode(rows):
    return tokenizer(rows["text"])
def group(rows):
    joined = {name: list(chain(*parts)) for name, parts in rows.items()}
    total = len(joined["input_ids"]) // 256 * 256
    found = {name: [part[i : i + 256] for i in range(0, total, 256)] for name, part in joined.items()}
    return found | {"labels": list(found["input_ids"])}
blocks = data.map(encode, batched=True, remove_columns=["text"]).map(group, batched=True)
model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_positions=256, n_embd=384, n_layer=6, n_head=6,
                                   bos_token_id=0, eos_token_id=0))
class First(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        print(time.time())
arguments = TrainingArguments(folder + "/out", per_device_train_batch_size=8, max_steps=1, save_strategy="no",
                              report_to="none", disable_tqdm=True)
Trainer(model=model, args=arguments, train_dataset=blocks, data_collator=default_data_collator,
        callbacks=[First()]).train()
"""


def script(folder: Path) -> float:
    """Seconds to the script's first step."""
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[0]) - began


def llmctl(folder: Path, name: str) -> float:
    """Seconds to llmctl's first step, as its run records it."""
    began = time.time()
    options = "--sample-by line --architecture gpt2 --model-size small --block-size 256 --packing"
    options += (
        " --per-device-train-batch-size 8 --max-steps 1 --logging-steps 1 --optim adamw_torch_fused --quiet"
    )
    places = [
        "--data",
        folder / "text.txt",
        "--tokenizer",
        folder / "tokenizer",
        "--runs-dir",
        folder / "runs",
    ]
    command = [sys.executable, "-m", "llmctl", "pretrain", *places, "--run-name", name, *options.split()]
    subprocess.run(list(map(str, command)), capture_output=True, check=True)
    events = map(json.loads, (folder / "runs" / name / "metrics.jsonl").read_text().splitlines())
    return float(next(event["time"] for event in events if "loss" in event)) - began


def main() -> str:
    """The table of both."""
    from llmctl.data.builtin import stories

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        lines = (" ".join(text.split()) for text in stories(3000))
        (folder / "text.txt").write_text("\n".join(lines), encoding="utf-8")
        train = [sys.executable, "-m", "llmctl", "tokenizer", "train", "--data", folder / "text.txt"]
        command = [*train, "--sample-by", "line", "--output-dir", folder / "tokenizer", "--quiet"]
        subprocess.run(list(map(str, command)), check=True)
        script(folder)  # fills the caches of both
        llmctl(folder, "warm")
        seconds: dict[str, list[float]] = {"script": [], "llmctl": []}
        for number in range(ROUNDS):
            seconds["script"].append(script(folder))
            seconds["llmctl"].append(llmctl(folder, f"run{number}"))
    plain, ours = (statistics.median(found) for found in seconds.values())
    return "\n".join(
        [
            "| | seconds | of the script's |",
            "|---|---|---|",
            f"| script with `Trainer` | {plain:.1f} | 1 |",
            f"| `llmctl pretrain` | {ours:.1f} | {ours / plain:.2f} |",
        ]
    )


if __name__ == "__main__":
    print(main())
