"""What ``--dry-run`` plans against what a training takes: peak memory and the seconds of a step.

GPT-2 and LLaMA of 4 layers x 256, vocabulary 4,096, blocks of 256, AdamW, float32, one thread; each a real training
(``ObjectiveTrainer``) in a process of its own. Memory: the process's peak over what it had when the model was made,
against the peak that is planned, in three steps whose large blocks go back to the system at once; "heap" is what it is
with the heap that llmctl keeps on processors, for speed, holes included. Time: the median step, against the planned
operations at the utilisation of one other run; a third more with activation checkpointing, whose second forward pass
is not the model's own. The peak is the rate of a bare matrix product between the steps, as the machine drifts.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WIDTH, LAYERS, HEADS, VOCABULARY, BLOCK = 256, 4, 4, 4096, 256
STEPS, WARM_UP = 8, 2
STEPS_FOR_MEMORY = 3
ROWS, PRODUCTS = 2048, 20  # of the bare matrix products
_GIVING_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # glibc's
REFERENCE = ("llama", 4, False)
CASES = (
    ("llama", 16, False),
    ("llama", 16, True),
    ("gpt2", 8, False),
    ("gpt2", 32, True),
)


def settings(architecture: str, batch: int, checkpointing: bool, steps: int = STEPS) -> Any:
    """The config of one case."""
    from llmctl.config import PretrainConfig

    return PretrainConfig(
        architecture=architecture,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        vocab_size=VOCABULARY,
        block_size=BLOCK,
        per_device_train_batch_size=batch,
        activation_checkpointing=checkpointing,
        optim="adamw_torch_fused",
        learning_rate=1e-3,
        max_steps=steps,
        save_steps=10**6,
        logging_steps=10**6,
        num_processes=1,
    )


def planned(architecture: str, batch: int, checkpointing: bool) -> dict[str, Any]:
    """The figures of the dry run."""
    from llmctl.config import Device
    from llmctl.progress import SILENT
    from llmctl.workflows import pretrain

    config = pretrain.settle(settings(architecture, batch, checkpointing))
    return pretrain.plan(config, device=Device(), progress=SILENT)


def train(architecture: str, batch: int, checkpointing: bool, steps: int) -> dict[str, float]:
    """Train, and give the bytes by which the process grew, the seconds of a step and the rate of bare products.

    As many steps as the time is taken of keep the heap; fewer give it back.
    """
    import resource

    import psutil  # type: ignore[import-untyped]
    import torch
    from transformers import TrainerCallback

    from llmctl import training
    from llmctl.objectives.causal_lm import CausalLM
    from llmctl.runs import RunDir
    from llmctl.training import speed
    from llmctl.workflows import planning

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.seconds: list[float] = []
            self.products: list[float] = []
            self.matrices = torch.randn(ROWS, WIDTH), torch.randn(WIDTH, 4 * WIDTH)

        def on_step_begin(self, *given: Any, **named: Any) -> None:
            self.began = time.perf_counter()
            for _ in range(PRODUCTS):
                self.matrices[0] @ self.matrices[1]
            self.products.append(time.perf_counter() - self.began)
            self.began = time.perf_counter()

        def on_step_end(self, *given: Any, **named: Any) -> None:
            self.seconds.append(time.perf_counter() - self.began)

    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = settings(architecture, batch, checkpointing, steps)
    rows = torch.randint(5, VOCABULARY, (steps * batch, BLOCK + 1)).numpy()
    data = [{"input_ids": row[:-1], "labels": row[1:]} for row in rows]
    make = planning.make_new(config, "clm", BLOCK)
    make(torch.float32)(torch.full((1, 8), 5)).logits.sum().backward()  # kernels are loaded
    before = psutil.Process().memory_info().rss
    model = make(torch.float32)
    speed.prepare(model, config) if steps == STEPS else speed.with_native_kernels(model)
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder))
        plan = training.Plan(steps, steps, "loss", False, "tokens", batch * BLOCK)
        training.ObjectiveTrainer(
            objective=CausalLM(config, None),  # type: ignore[arg-type]
            optim=config.optim,
            run=run,
            model=model,
            args=training.make_arguments(config, run, plan, validated=False),
            train_dataset=data,
            validation=None,
            callbacks=[clock := Clock()],
        ).train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    work = PRODUCTS * 2 * ROWS * WIDTH * 4 * WIDTH
    return {
        "bytes": peak - before,
        "seconds": statistics.median(clock.seconds[WARM_UP:]),
        "peak_flops": work / statistics.median(clock.products[WARM_UP:]),
    }


def measured(case: tuple[str, int, bool], steps: int = STEPS) -> dict[str, float]:
    """:func:`train` in a process of its own."""
    program = (
        f"import json; from benchmarks import planning; print(json.dumps(planning.train(*{case!r}, {steps})))"
    )
    environment = os.environ | ({} if steps == STEPS else _GIVING_BACK)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> str:
    """Planned and measured, side by side."""
    reference = measured(REFERENCE)
    rate = planned(*REFERENCE)["flops_a_step"] / reference["seconds"]
    mfu = rate / reference["peak_flops"]
    lines = [
        f"{REFERENCE[0]}, batch {REFERENCE[1]}, reaches {rate / 1e9:.0f} GFLOP/s, {mfu:.2f} of bare matrix products.",
        "",
        "| | memory planned, MB | measured | ratio | heap | step planned, s | measured | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        plan, kept, found = planned(*case), measured(case), measured(case, STEPS_FOR_MEMORY)
        name = f"{case[0]}, batch {case[1]}" + (", activation checkpointing" if case[2] else "")
        memory, seconds = plan["memory_bytes"], plan["flops_a_step"] / (kept["peak_flops"] * mfu)
        seconds *= 4 / 3 if case[2] else 1
        lines.append(
            f"| {name} | {memory / 1e6:,.0f} | {found['bytes'] / 1e6:,.0f} | {memory / found['bytes']:.2f} "
            f"| {kept['bytes'] / 1e6:,.0f} "
            f"| {seconds:.2f} | {kept['seconds']:.2f} | {seconds / kept['seconds']:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
