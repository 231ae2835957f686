"""Start-up: whole processes, wall-clock, median of seven, interleaved, after one warm-up."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llmctl.cli import COMMANDS

BIN = Path(sys.executable).parent
BARE = "`python -c pass`"
HUB = "`hf --help`"
LIBRARY = '`python -c "from transformers import AutoModelForCausalLM, Trainer"`'
ROUNDS = 7

BASELINES: dict[str, list[str]] = {
    BARE: [sys.executable, "-c", "pass"],
    HUB: [str(BIN / "hf"), "--help"],
    LIBRARY: [sys.executable, "-c", "from transformers import AutoModelForCausalLM, Trainer"],
}
# what is typed -> the baseline and the share of it that is allowed
CLAIMS = {
    "--version": (BARE, 3.0),
    "--help": (HUB, 0.25),
    **{f"{command} --help": (HUB, 0.5) for command in COMMANDS},
    "pretrain --lerning-rate 1": (LIBRARY, 0.1),
    "pretrain --data nowhere.txt": (LIBRARY, 0.1),
    "pretrain --recipe bad.yaml": (LIBRARY, 0.1),
    "generate hello": (LIBRARY, 0.1),
}


def main() -> str:
    """A table of milliseconds and of the share of the baseline, beside the share that is allowed."""
    commands = BASELINES | {typed: [str(BIN / "llmctl"), *typed.split()] for typed in CLAIMS}
    times: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bad.yaml").write_text("learnin_rate: 1\nseed: x\n")
        environment = {**os.environ, "LLMCTL_RUNS_DIR": folder}
        for turn in range(ROUNDS + 1):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
                if turn:
                    times[name].append(time.perf_counter() - began)
    milliseconds = {name: 1000 * statistics.median(values) for name, values in times.items()}
    rows = ["| command | ms | of | share | allowed |", "|---|---|---|---|---|"]
    rows += [f"| {name} | {milliseconds[name]:.0f} | | | |" for name in BASELINES]
    for typed, (baseline, allowed) in CLAIMS.items():
        share = milliseconds[typed] / milliseconds[baseline]
        rows.append(
            f"| `llmctl {typed}` | {milliseconds[typed]:.0f} | {baseline} | {share:.2f} | {allowed} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    print(main())
