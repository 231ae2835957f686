"""A corpus of 2 GB that is streamed: memory against a stream of 20 MB, speed against cached data.

Built-in stories in 40 gzipped shards of 50 MB of text (ten copies of each of four; of 20 MB: one of 20), a byte-level
BPE. Speed: two trainings, one on the stream of 2 GB and one on the 20 MB tokenised before, each with two threads, take
turns of four seconds, the other one stopped meanwhile, as the machine drifts from minute to minute; tokens of the steps
that each has finished in equal time. The smaller the model, the more of its time goes into reading. Memory: a LLaMA of
1 layer x 32 reads 40 MB of the large corpus, and the small one again and again in as many steps; the peak of the
proportional set size of all processes.
"""

import gzip
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.trainings import MODEL, pretrain, start
from llmctl.runs import RunDir

LARGE, SMALL, SHARD, COPIES = 2000, 20, 50, 10  # MB of text
READ = 40
SLICES, SECONDS = 30, 4.0  # of each of the two
MODELS = {  # layers x width: options
    "6 x 384": MODEL,
    "2 x 128": "--architecture gpt2 --hidden-size 128 --num-hidden-layers 2 --num-attention-heads 2 --block-size 256 "
    "--optim adamw_torch_fused",
}
ROWS, BLOCK, WARM = 4, 256, 10  # WARM steps before the turns begin
ENDLESS = f"--per-device-train-batch-size {ROWS} --logging-steps 1 --max-steps 100000 --eval-steps 100000"
BUFFER = 1000  # documents: several buffers are read and tokenised meanwhile
TINY = "--hidden-size 32 --num-hidden-layers 1 --num-attention-heads 2 --block-size 256 --optim adamw_torch_fused"
BATCH, BYTES_A_TOKEN = 64, 4.15


def write(texts: Iterator[str], file: Path, megabytes: int) -> None:
    """A shard with a document a line."""
    with gzip.open(file, "wt", compresslevel=1, encoding="utf-8") as out:
        left = megabytes * 1_000_000
        for text in texts:
            line = " ".join(text.split()) + "\n"
            out.write(line)
            left -= len(line)
            if left <= 0:
                return


def in_turns(folder: Path, size: str, trainings: dict[str, str]) -> list[float]:
    """Tokens a second of each of two trainings, which are stopped in turns."""
    name = size.replace(" ", "")
    running: dict[str, subprocess.Popen[str]] = {}
    try:
        for way, options in trainings.items():
            running[way] = start(folder, f"{way}-{name}", f"{options} {ENDLESS}", threads=2)
            while steps(folder, f"{way}-{name}") < WARM:
                if running[way].poll() is not None:
                    raise RuntimeError(running[way].communicate()[1][-2000:])
                time.sleep(0.1)
            running[way].send_signal(signal.SIGSTOP)
        before = [steps(folder, f"{way}-{name}") for way in running]
        for number in range(SLICES):
            for way in sorted(running, reverse=number % 2 == 1):
                running[way].send_signal(signal.SIGCONT)
                time.sleep(SECONDS)
                running[way].send_signal(signal.SIGSTOP)
        after = [steps(folder, f"{way}-{name}") for way in running]
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    tokens = ROWS * BLOCK / (SLICES * SECONDS)
    return [(end - begin) * tokens for begin, end in zip(before, after, strict=True)]


def steps(folder: Path, name: str) -> int:
    """How many steps a training has finished."""
    events = RunDir(folder / "runs" / name).events()
    return max((event["step"] for event in events if "loss" in event), default=0)


def main() -> str:
    """The table of memory and of speed."""
    from llmctl.data.builtin import stories

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in ("large", "small"):
            (folder / name).mkdir()
        texts = stories(1_000_000)
        for number in range(LARGE // SHARD // COPIES):
            first = folder / "large" / f"{number}-0.txt.gz"
            write(texts, first, SHARD)
            for copy in range(1, COPIES):
                shutil.copy(first, first.with_name(f"{number}-{copy}.txt.gz"))
        write(stories(100_000), folder / "small" / "000.txt.gz", SMALL)
        write(islice(stories(3_000), 64), folder / "validation.txt.gz", 1)
        text = f"--sample-by line --validation-data {folder}/validation.txt.gz"
        train = (
            f"tokenizer train --data {folder}/small --sample-by line --output-dir {folder}/tokenizer --quiet"
        )
        subprocess.run([sys.executable, "-m", "llmctl", *train.split()], check=True)
        text += f" --tokenizer {folder}/tokenizer --seed 0"
        ways = {
            "cached": f"--data {folder}/small",
            "streamed": f"--data {folder}/large --streaming --buffer-size {BUFFER}",
        }
        speeds = {
            size: in_turns(folder, size, {way: f"{data} {text} {model}" for way, data in ways.items()})
            for size, model in MODELS.items()
        }
        steps = round(READ * 1e6 / BYTES_A_TOKEN / 256 / BATCH)
        how = f"{text} --streaming {TINY} --per-device-train-batch-size {BATCH}"
        how += f" --max-steps {steps} --eval-steps {steps}"
        peaks = {
            name: pretrain(folder, f"{name}-memory", f"--data {folder}/{name} {how}", threads=1).peak
            for name in ("small", "large")
        }
    ratio = peaks["large"] / peaks["small"]
    rows = []
    for size, (cached, streamed) in speeds.items():
        rows += [
            f"| {size}, cached | {cached:,.0f} | 1 |",
            f"| {size}, streamed | {streamed:,.0f} | {streamed / cached:.3f} |",
        ]
    return "\n".join(
        [
            "| | tokens/s | ratio |",
            "|---|---|---|",
            *rows,
            "",
            "| | peak MiB | ratio |",
            "|---|---|---|",
            f"| {SMALL} MB streamed | {peaks['small']:.0f} | 1 |",
            f"| {LARGE:,} MB streamed, {READ} MB of it read | {peaks['large']:.0f} | {ratio:.2f} |",
        ]
    )


if __name__ == "__main__":
    print(main())
