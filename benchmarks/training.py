"""Training throughput: llmctl's trainer against plain ``transformers.Trainer`` on the same model, data and settings.

GPT-2 shape of 6 layers x 384, vocabulary 8,192, blocks of 256, batch 8, dropout 0, AdamW, one thread; each
measurement is a process of its own, interleaved. Peak is the resident memory of the whole process.
"""

import json
import statistics
import subprocess
import sys

ROUNDS = 3
STEPS = 12
WARM_UP = 2
BATCH, BLOCK, VOCABULARY = 8, 256, 8192

PROGRAM = """
import json, resource, sys, tempfile, time
from pathlib import Path
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments
which, steps, warm_up, batch, block, vocabulary = sys.argv[1], *map(int, sys.argv[2:])
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

clock = Clock()
with tempfile.TemporaryDirectory() as folder:
    if which == "llmctl":
        from llmctl import training
        from llmctl.config import PretrainConfig
        from llmctl.objectives.causal_lm import CausalLM
        from llmctl.runs import RunDir
        settings = PretrainConfig(optim="adamw_torch_fused", learning_rate=3e-3, adam_beta2=0.95,
                                  per_device_train_batch_size=batch, max_steps=steps, block_size=block,
                                  save_steps=10**6, logging_steps=10**6)
        data = [{"input_ids": row[:-1].numpy(), "labels": row[1:].numpy()} for row in tokens]
        plan = training.Plan(steps, steps, "loss", False, "tokens", batch * block)
        arguments = training.make_arguments(settings, RunDir(Path(folder)), plan, validated=False)
        trainer = training.ObjectiveTrainer(objective=CausalLM(settings, None), optim=settings.optim, model=model,
                                            args=arguments, train_dataset=data, validation=None, callbacks=[clock])
    else:
        arguments = TrainingArguments(folder, per_device_train_batch_size=batch, max_steps=steps, save_strategy="no",
                                      learning_rate=3e-3, weight_decay=0.1, adam_beta2=0.95, warmup_steps=0.05,
                                      lr_scheduler_type="cosine", logging_steps=10**6, report_to="none",
                                      disable_tqdm=True)
        data = [{"input_ids": row[:-1], "labels": row[:-1]} for row in tokens]
        trainer = Trainer(model=model, args=arguments, train_dataset=data, callbacks=[clock])
    trainer.train()
speed = (steps - warm_up) * batch * block / clock.seconds
print(json.dumps({"speed": speed, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def measure(which: str) -> dict[str, float]:
    """Tokens a second and peak MiB of one process."""
    numbers = [str(number) for number in (STEPS, WARM_UP, BATCH, BLOCK, VOCABULARY)]
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, which, *numbers], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return found


def main() -> str:
    """A table of both, and the ratio."""
    found: dict[str, list[dict[str, float]]] = {"Trainer": [], "llmctl": []}
    for _ in range(ROUNDS):
        for which, results in found.items():
            results.append(measure(which))
    speed = {which: statistics.median(r["speed"] for r in results) for which, results in found.items()}
    peak = {which: statistics.median(r["peak"] for r in results) for which, results in found.items()}
    ratio = speed["llmctl"] / speed["Trainer"]
    return "\n".join(
        [
            "| | tokens/s | ratio | peak MiB |",
            "|---|---|---|---|",
            f"| `Trainer` | {speed['Trainer']:,.0f} | 1 | {peak['Trainer']:,.0f} |",
            f"| llmctl | {speed['llmctl']:,.0f} | {ratio:.2f} | {peak['llmctl']:,.0f} |",
        ]
    )


if __name__ == "__main__":
    print(main())
