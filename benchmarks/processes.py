"""Two processes with a thread each against one process with two threads: the same work, the same effective batch.

A GPT-2 of 6 layers x 384 on built-in stories, blocks of 256, 16 a step, AdamW, gloo; the speed is what the run logs,
each 2 steps of 16. The first step is timed from the command, all data prepared before. Median of three, in turns.
"""

import statistics
import tempfile
from pathlib import Path

from benchmarks.trainings import MODEL, Training, pretrain

ROUNDS, BATCH, STEPS = 3, 16, 16
KINDS = {"1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}


def main() -> str:
    """The table of both."""
    found: dict[str, list[Training]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as place:
        for number in range(-1, ROUNDS):
            for kind, (processes, threads) in KINDS.items():
                batch = f"--per-device-train-batch-size {BATCH // processes} --global-batch-size {BATCH}"
                steps = f"--max-steps {STEPS} --logging-steps 2 --eval-steps {STEPS}"
                options = (
                    f"--data builtin:stories --seed 0 {MODEL} {batch} {steps} --num-processes {processes}"
                )
                training = pretrain(Path(place), f"{processes}-{number}", options, threads=threads)
                if number >= 0:  # the first of each fills the cache
                    found[kind].append(training)
    rows = ["| | tokens/s | ratio | seconds to the first step | ratio |", "|---|---|---|---|---|"]
    speeds = {
        kind: statistics.median(each.tokens_per_second for each in runs) for kind, runs in found.items()
    }
    waits = {
        kind: statistics.median(each.seconds_to_first_step for each in runs) for kind, runs in found.items()
    }
    alone = next(iter(KINDS))
    for kind in KINDS:
        speed, wait = speeds[kind] / speeds[alone], waits[kind] / waits[alone]
        rows.append(f"| {kind} | {speeds[kind]:,.0f} | {speed:.2f} | {waits[kind]:.1f} | {wait:.2f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(main())
