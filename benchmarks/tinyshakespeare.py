"""What is learnt in the same time: tinyshakespeare, bits a byte on the last tenth, whole processes on all cores.

Against nanoGPT's CPU settings (4 layers x 128, characters, block 64, batch 12, 2,000 steps, AdamW 1e-3 with warm-up
and cosine decay) in a bare PyTorch loop over transformers' GPT-2. Both are scored over disjoint windows of the length
they were trained with. Needs LLMCTL_REAL_DATA.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "recipes" / "pretrain" / "tinyshakespeare.yaml"

BASELINE = """
import math, sys
import torch
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel
text = open(sys.argv[1], encoding="utf-8").read()
characters = sorted(set(text))
number = {character: i for i, character in enumerate(characters)}
ids = torch.tensor([number[character] for character in text])
cut = int(0.9 * len(ids))
train, judge = ids[:cut], ids[cut:]
torch.manual_seed(1337)
block, batch, steps, warm_up, peak, low = 64, 12, 2000, 100, 1e-3, 1e-4
model = GPT2LMHeadModel(GPT2Config(vocab_size=len(characters), n_positions=block, n_embd=128, n_layer=4, n_head=4,
                                   resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))
matrices = [p for p in model.parameters() if p.dim() >= 2]
others = [p for p in model.parameters() if p.dim() < 2]
groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.99), fused=True)
for step in range(steps):
    share = (step - warm_up) / (steps - warm_up)
    rate = peak * step / warm_up if step < warm_up else low + 0.5 * (1 + math.cos(math.pi * share)) * (peak - low)
    for group in optimizer.param_groups:
        group["lr"] = rate
    at = torch.randint(len(train) - block, (batch,))
    rows = torch.stack([train[i : i + block + 1] for i in at])
    logits = model(input_ids=rows[:, :-1], use_cache=False).logits
    functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
model.eval()
rows = judge[: (len(judge) - 1) // block * block + 1]
inputs, targets = rows[:-1].view(-1, block), rows[1:].view(-1, block)
with torch.no_grad():
    total = 0.0
    for x, y in zip(inputs.split(64), targets.split(64)):
        logits = model(input_ids=x, use_cache=False).logits
        total += functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum").item()
print(total / targets.numel() / math.log(2))
"""


def run(command: list[str], folder: str) -> tuple[str, float]:
    """What the command prints, and its seconds."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
    return done.stdout, time.perf_counter() - began


def main() -> str:
    """A table of seconds and bits a byte."""
    if "LLMCTL_REAL_DATA" not in os.environ:
        return "Not run: LLMCTL_REAL_DATA is not set."
    text = str(Path(os.environ["LLMCTL_REAL_DATA"], "text", "tinyshakespeare.txt").resolve())
    llmctl = [sys.executable, "-m", "llmctl"]
    with tempfile.TemporaryDirectory() as folder:
        printed, baseline_seconds = run([sys.executable, "-c", BASELINE, text], folder)
        baseline = float(printed.splitlines()[-1])
        recipe = ["--recipe", str(RECIPE), "--data", text, "--run-name", "bench"]
        _, seconds = run([*llmctl, "pretrain", *recipe], folder)
        found = json.loads(run([*llmctl, "eval", "runs/bench", "--stride", "128", "--json"], folder)[0])
    bits = found["bits_per_byte"]
    return "\n".join(
        [
            "| | seconds | bits a byte |",
            "|---|---|---|",
            f"| nanoGPT's CPU settings | {baseline_seconds:.0f} | {baseline:.3f} |",
            f"| `{RECIPE.parent.name}/{RECIPE.name}` | {seconds:.0f} "
            f"| {bits['value']:.3f} ({bits['low']:.3f} to {bits['high']:.3f}) |",
        ]
    )


if __name__ == "__main__":
    print(main())
