"""A corpus of 2 GB that is streamed: memory against a stream of 20 MB, speed against cached data.

Built-in stories in 40 gzipped shards of 50 MB of text (ten copies of each of four; of 20 MB: one of 20), a byte-level
BPE. Memory: a LLaMA of 1 layer x 32 reads 40 MB of the large corpus, and the small one again and again in as many
steps; the peak of the proportional set size of all processes. Speed: a GPT-2 of 6 layers x 384, 16 blocks of 256 a
step, on the stream and on the 20 MB tokenised before, in turns (each goes first in every second pair): the median of
what a run logs, and the median of the pairs' ratios with the middle half of them, as the machine drifts.
"""

import gzip
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.trainings import MODEL, pretrain

LARGE, SMALL, SHARD, COPIES = 2000, 20, 50, 10  # MB of text
READ = 40
PAIRS, STEPS = 8, 12
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
        how = f"{text} {MODEL} --per-device-train-batch-size 16 --max-steps {STEPS} --logging-steps 2"
        how += f" --eval-steps {STEPS}"
        ways = {"cached": f"--data {folder}/small", "streamed": f"--data {folder}/large --streaming"}
        speeds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(PAIRS):
            for way in sorted(ways, reverse=number % 2 == 1):
                run = pretrain(folder, f"{way}-{number}", f"{ways[way]} {how}", threads=2)
                speeds[way].append(run.tokens_per_second)
        steps = round(READ * 1e6 / BYTES_A_TOKEN / 256 / BATCH)
        how = f"{text} --streaming {TINY} --per-device-train-batch-size {BATCH}"
        how += f" --max-steps {steps} --eval-steps {steps}"
        peaks = {
            name: pretrain(folder, f"{name}-memory", f"--data {folder}/{name} {how}", threads=1).peak
            for name in ("small", "large")
        }
    cached, streamed = (statistics.median(found) for found in speeds.values())
    pairs = [one / other for one, other in zip(speeds["streamed"], speeds["cached"], strict=True)]
    low, middle, high = statistics.quantiles(pairs, n=4, method="inclusive")
    ratio = peaks["large"] / peaks["small"]
    return "\n".join(
        [
            "| | peak MiB | ratio |",
            "|---|---|---|",
            f"| {SMALL} MB streamed | {peaks['small']:.0f} | 1 |",
            f"| {LARGE:,} MB streamed, {READ} MB of it read | {peaks['large']:.0f} | {ratio:.2f} |",
            "",
            "| | tokens/s | ratio |",
            "|---|---|---|",
            f"| cached | {cached:,.0f} | 1 |",
            f"| streamed | {streamed:,.0f} | {middle:.3f} ({low:.2f} to {high:.2f}) |",
        ]
    )


if __name__ == "__main__":
    print(main())
