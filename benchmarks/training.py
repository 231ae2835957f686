"""Training throughput: llmctl's trainer against plain ``transformers.Trainer`` on the same model, data and settings.

GPT-2 shape of 6 layers x 384, vocabulary 8,192, blocks of 256, batch 8, dropout 0, AdamW, one thread; each
measurement is a process of its own, interleaved. Peak is the resident memory of the whole process. "Bare loop": a GPT
of plain torch modules in ten lines of loop, as nanoGPT's; "compiled" its and ours with ``torch.compile``, once, the
seconds of compiling left out. MFU: 6 x parameters x tokens/s, of what a float32 matrix product of 2048 x 384 x 1536
reaches.
"""

import json
import statistics
import subprocess
import sys
import time

ROUNDS = 3
STEPS = 12
WARM_UP = 2
BATCH, BLOCK, VOCABULARY = 8, 256, 8192
PARAMETERS = 13_891_584  # 8,192 x 384 and 256 x 384 embeddings, 6 layers, the last norm
VARIANTS = ("Trainer", "llmctl", "bare loop")
COMPILED = ("llmctl, compiled", "bare loop, compiled")

PROGRAM = """
import json, resource, sys, tempfile, time
from pathlib import Path
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments
which, steps, warm_up, batch, block, vocabulary = sys.argv[1], *map(int, sys.argv[2:])
compiled = which.endswith("compiled")
torch.set_num_threads(1)
torch.manual_seed(0)
config = GPT2Config(vocab_size=vocabulary, n_positions=block, n_embd=384, n_layer=6, n_head=6,
                    resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)
model = GPT2LMHeadModel(config)
tokens = torch.randint(0, vocabulary, (steps * batch, block + 1))

class Clock(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == warm_up:
            self.began = time.perf_counter()
        if state.global_step == steps:
            self.seconds = time.perf_counter() - self.began

class Block(torch.nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norms = torch.nn.ModuleList([torch.nn.LayerNorm(width) for _ in range(2)])
        self.attention, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)
    def forward(self, x):
        parts = self.attention(self.norms[0](x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(torch.nn.functional.gelu(self.up(self.norms[1](x))))

class Plain(torch.nn.Module):
    def __init__(self, width=384, layers=6, heads=6):
        super().__init__()
        self.words, self.places = torch.nn.Embedding(vocabulary, width), torch.nn.Embedding(block, width)
        self.blocks = torch.nn.Sequential(*[Block(width, heads) for _ in range(layers)])
        self.norm, self.head = torch.nn.LayerNorm(width), torch.nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.words.weight
    def forward(self, ids, targets):
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        logits = self.head(self.norm(self.blocks(x)))
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

def loop(_):
    net = Plain()
    step_loss = torch.compile(net) if compiled else net
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    for step in range(steps):
        if step == warm_up:
            began = time.perf_counter()
        rows = tokens[step * batch : (step + 1) * batch]
        step_loss(rows[:, :-1], rows[:, 1:]).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - began

clock = Clock()
with tempfile.TemporaryDirectory() as folder:
    if which.startswith("bare loop"):
        clock.seconds = loop(model)
    elif which.startswith("llmctl"):
        from llmctl import training
        from llmctl.config import PretrainConfig
        from llmctl.objectives.causal_lm import CausalLM
        from llmctl.runs import RunDir
        from llmctl.training.speed import prepare
        settings = PretrainConfig(optim="adamw_torch_fused", learning_rate=3e-3, adam_beta2=0.95,
                                  per_device_train_batch_size=batch, max_steps=steps, block_size=block,
                                  save_steps=10**6, logging_steps=10**6, torch_compile=compiled)
        prepare(model, settings)
        data = [{"input_ids": row[:-1].numpy(), "labels": row[1:].numpy()} for row in tokens]
        plan = training.Plan(steps, steps, "loss", False, "tokens", batch * block)
        arguments = training.make_arguments(settings, RunDir(Path(folder)), plan, validated=False)
        trainer = training.ObjectiveTrainer(objective=CausalLM(settings, None), optim=settings.optim,
                                            run=RunDir(Path(folder)), model=model,
                                            args=arguments, train_dataset=data, validation=None, callbacks=[clock])
    else:
        arguments = TrainingArguments(folder, per_device_train_batch_size=batch, max_steps=steps, save_strategy="no",
                                      learning_rate=3e-3, weight_decay=0.1, adam_beta2=0.95, warmup_steps=0.05,
                                      lr_scheduler_type="cosine", logging_steps=10**6, report_to="none",
                                      disable_tqdm=True)
        data = [{"input_ids": row[:-1], "labels": row[:-1]} for row in tokens]
        trainer = Trainer(model=model, args=arguments, train_dataset=data, callbacks=[clock])
    if not which.startswith("bare loop"):
        trainer.train()
speed = (steps - warm_up) * batch * block / clock.seconds
print(json.dumps({"speed": speed, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def matrix_products() -> float:
    """Operations a second that one thread reaches in the largest products of such a model."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    left, right = torch.randn(2048, 384), torch.randn(384, 1536)
    seconds = []
    for _ in range(30):
        began = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - began)
    torch.set_num_threads(threads)
    return 2 * 2048 * 384 * 1536 / statistics.median(seconds)


def measure(which: str) -> dict[str, float]:
    """Tokens a second and peak MiB of one process."""
    numbers = [str(number) for number in (STEPS, WARM_UP, BATCH, BLOCK, VOCABULARY)]
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, which, *numbers], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return found


def main() -> str:
    """A table of all, and their ratios."""
    found: dict[str, list[dict[str, float]]] = {which: [] for which in VARIANTS}
    for _ in range(ROUNDS):
        for which, results in found.items():
            results.append(measure(which))
    found |= {which: [measure(which)] for which in COMPILED}
    speed = {which: statistics.median(r["speed"] for r in results) for which, results in found.items()}
    peak = {which: statistics.median(r["peak"] for r in results) for which, results in found.items()}
    limit = matrix_products()
    lines = ["| | tokens/s | of `Trainer` | peak MiB | of `Trainer` | MFU |", "|---|---|---|---|---|---|"]
    for which in found:
        faster, larger = speed[which] / speed["Trainer"], peak[which] / peak["Trainer"]
        used = 6 * PARAMETERS * speed[which] / limit
        lines.append(
            f"| {which} | {speed[which]:,.0f} | {faster:.2f} | {peak[which]:,.0f} | {larger:.2f} | {used:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
