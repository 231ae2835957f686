"""What a checkpoint that can be trusted costs: llmctl's save against the same state written plainly, flushed to disk.

The GPT-2 of 6 layers x 384 of ``training``, with AdamW's state. "Plain": safetensors and ``torch.save``, then fsync of
each file; llmctl also stages, hashes and renames, and reads back what is on the disk during the next steps. Median of
nine, in turns. The share of a training's time that a checkpoint every 100 steps takes follows from both, as if reading
back held the training up, and from the seconds of a step (batch 8, blocks of 256, one thread): whole runs of hundreds
of steps would measure the same and take an hour.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.training import BATCH, BLOCK, VOCABULARY

ROUNDS = 9
STEPS, WARM_UP = 6, 2
EVERY = 100  # steps


def trainer_in(folder: Path) -> tuple[Any, float]:
    """A trainer after some steps, ready to save, and the seconds of a step."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, TrainerCallback

    from llmctl import training
    from llmctl.config import PretrainConfig
    from llmctl.objectives.causal_lm import CausalLM
    from llmctl.runs import RunDir

    class Clock(TrainerCallback):
        seconds: list[float]

        def on_train_begin(self, *given: Any, **named: Any) -> None:
            self.seconds = []

        def on_step_begin(self, *given: Any, **named: Any) -> None:
            self.began = time.perf_counter()

        def on_step_end(self, *given: Any, **named: Any) -> None:
            self.seconds.append(time.perf_counter() - self.began)

    torch.manual_seed(0)
    shape = {
        "n_positions": BLOCK,
        "n_embd": 384,
        "n_layer": 6,
        "n_head": 6,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, **shape, **dropout))
    tokens = torch.randint(0, VOCABULARY, (STEPS * BATCH, BLOCK + 1))
    data = [{"input_ids": row[:-1].numpy(), "labels": row[1:].numpy()} for row in tokens]
    settings = PretrainConfig(
        optim="adamw_torch_fused",
        learning_rate=3e-3,
        per_device_train_batch_size=BATCH,
        max_steps=STEPS,
        block_size=BLOCK,
        save_steps=10**6,
        logging_steps=10**6,
    )
    run, clock = RunDir(folder), Clock()
    arguments = training.make_arguments(
        settings, run, training.Plan(STEPS, STEPS, "loss", False, "tokens", BATCH * BLOCK), validated=False
    )
    trainer = training.ObjectiveTrainer(
        objective=CausalLM(settings, None),
        optim=settings.optim,
        run=run,
        model=model,
        args=arguments,
        train_dataset=data,
        validation=None,
        callbacks=[clock],
    )
    trainer.train()
    return trainer, statistics.median(clock.seconds[WARM_UP:])


def safe(trainer: Any) -> tuple[float, float]:
    """Seconds of llmctl's save that the training waits, and seconds until it is read back besides."""
    shutil.rmtree(trainer.run.checkpoints)
    os.sync()
    began = time.perf_counter()
    trainer._save_checkpoint(trainer.model, None)
    saved = time.perf_counter()
    trainer.saves.settle()
    return saved - began, time.perf_counter() - saved


def plain(trainer: Any, folder: Path) -> float:
    """Seconds of writing the same files one after the other, and flushing each."""
    import torch

    shutil.rmtree(folder, ignore_errors=True)
    os.sync()
    began = time.perf_counter()
    trainer.model.save_pretrained(folder)
    torch.save(trainer.optimizer.state_dict(), folder / "optimizer.pt")
    torch.save(trainer.lr_scheduler.state_dict(), folder / "scheduler.pt")
    trainer.state.save_to_json(str(folder / "trainer_state.json"))
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    return time.perf_counter() - began


def measure() -> dict[str, float]:
    """Median seconds of both saves, of reading back and of a step, and the bytes of a checkpoint."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=".") as name:
        place = Path(name)
        trainer, step = trainer_in(place)
        trainer.saves.settle()
        found: dict[str, list[float]] = {"plain": [], "safe": [], "read": []}
        for _ in range(ROUNDS):
            found["plain"].append(plain(trainer, place / "plain"))
            saved, read = safe(trainer)
            found["safe"].append(saved)
            found["read"].append(read)
        size = sum(path.stat().st_size for path in trainer.run.checkpoints.rglob("*") if path.is_file())
    return {
        **{which: statistics.median(seconds) for which, seconds in found.items()},
        "step": step,
        "bytes": size,
    }


def main() -> str:
    """Seconds and megabytes a second of both, and what a checkpoint every 100 steps takes."""
    command = [
        sys.executable,
        "-c",
        "import json; from benchmarks import saving; print(json.dumps(saving.measure()))",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    lines = [
        f"A checkpoint of {found['bytes'] / 1e6:,.0f} MB",
        "",
        "| | seconds | MB/s | of plain |",
        "|---|---|---|---|",
    ]
    labels = {
        "plain": "plain, flushed",
        "safe": "llmctl",
        "read": "reading it back, while the training goes on",
    }
    for which, label in labels.items():
        seconds = found[which]
        lines.append(
            f"| {label} | {seconds:.2f} | {found['bytes'] / 1e6 / seconds:,.0f} | {seconds / found['plain']:.2f} |"
        )
    took = found["safe"] + found["read"]
    lost = took / (took + EVERY * found["step"])
    lines += [
        "",
        f"A step takes {found['step']:.2f} s: a checkpoint every {EVERY} steps takes {lost:.2%} of the time.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
