"""A stream that two processes read and tokenise together against one that does so alone, a thread each; no training.

Built-in stories in 4 gzipped shards of 12 MB of text, a byte-level BPE of 2,000, buffers of 1,000 documents. Every
process reads all of the text and has all tokens in the end. Median of three, in turns.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.streaming import write

ROUNDS, SHARDS, MEGABYTES = 3, 4, 12


def tokenise(folder: Path) -> None:
    """As one of the processes: print the tokens of a pass and the seconds that it took."""
    from tokenizers import Tokenizer

    from llmctl import ranks
    from llmctl.config import PretrainConfig
    from llmctl.data.encode import Encoder
    from llmctl.data.load import load_streamed
    from llmctl.data.stream import buffers, start_of
    from llmctl.progress import SILENT

    ranks.join()
    config = PretrainConfig(
        data=str(folder / "corpus"),
        streaming=True,
        sample_by="line",
        validation_fraction=0.0,
        buffer_size=1000,
    )
    text = load_streamed(config, progress=SILENT, cache_dir=folder / "cache")["train"]
    encoder = Encoder(Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json")), 0)
    read = buffers(text, encoder, " \n", size=config.buffer_size, seed=0, place=start_of(text))
    began, tokens = time.monotonic(), 0
    for buffer in read:
        tokens += sum(len(part.tokens) for part in buffer.documents.values())
        if buffer.ends_pass:
            break
    if ranks.is_first():
        print(tokens, time.monotonic() - began)


def main() -> str:
    """The table."""
    from llmctl.data.builtin import stories

    speeds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "corpus").mkdir()
        texts = list(stories(20_000))
        for number in range(SHARDS):
            write(iter(texts), folder / "corpus" / f"{number}.txt.gz", MEGABYTES)
        learn = "tokenizer train --data builtin:stories --vocab-size 2000 --quiet --output-dir"
        command = [sys.executable, "-m", "llmctl", *learn.split(), str(folder / "tokenizer")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
        for _ in range(ROUNDS):
            for processes, found in speeds.items():
                start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
                said = subprocess.run(
                    [*start, "-m", "benchmarks.stream_ranks", place],
                    env=environment, check=True, stdout=subprocess.PIPE, text=True,
                ).stdout.split()  # fmt: skip
                found.append(int(said[0]) / float(said[1]))
    rows = ["| | tokens/s | ratio |", "|---|---|---|"]
    alone = statistics.median(speeds[1])
    for processes, found in speeds.items():
        speed = statistics.median(found)
        rows.append(f"| {processes} process{'es' * (processes > 1)} | {speed:,.0f} | {speed / alone:.2f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    tokenise(Path(sys.argv[1]))
