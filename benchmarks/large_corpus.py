"""500 MB of text to blocks: seconds on one core and on both, and the memory of all processes together.

Built-in stories in one file, a byte-level BPE of 8,192 tokens; each measurement is a process of its own, in turns, the
median is told. Memory is the proportional set size of the process and its children, sampled twice a second. The
tokens are decoded again and compared with the file, byte for byte.
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.blocks import prepare
from benchmarks.trainings import watched

MEGABYTES, ROUNDS = 500, 3


def child(folder: Path, cache: Path, cores: int) -> None:
    """Make the blocks; print the seconds and whether the text can be made of them again."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    import numpy as np
    from transformers import AutoTokenizer

    from llmctl.config import PretrainConfig
    from llmctl.data.blocks import Blocks, tokenize
    from llmctl.data.load import load_text
    from llmctl.progress import SILENT

    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    config = PretrainConfig(data=str(folder / "corpus.txt"), validation_fraction=0.0)
    start = time.perf_counter()
    documents = load_text(config, progress=SILENT, cache_dir=cache)["train"]
    tokenized = tokenize(documents, tokenizer, cache_dir=cache, progress=SILENT)
    blocks = Blocks(tokenized, 256)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds}), flush=True)
    text, table = hashlib.sha256(), {value: key for key, value in _bytes_of_letters().items()}
    spelt = [bytes(table[letter] for letter in word) for word in _words(tokenizer)]
    for begin in range(0, len(blocks), 4096):
        rows = [blocks[i]["labels"] for i in range(begin, min(begin + 4096, len(blocks)))]
        ids = np.concatenate(rows)
        text.update(b"".join(map(spelt.__getitem__, ids[ids >= 0].tolist())))
    first = int(blocks[0]["input_ids"][0])
    print(json.dumps({"sha256": text.hexdigest(), "first": spelt[first].hex()}))


def _words(tokenizer: Any) -> list[str]:
    """Each token in the letters of byte-level BPE; those that are no text are empty."""
    vocabulary = {number: word for word, number in tokenizer.get_vocab().items()}
    special = set(tokenizer.all_special_ids)
    return ["" if number in special else vocabulary[number] for number in range(len(vocabulary))]


def _bytes_of_letters() -> dict[int, str]:
    """Byte -> letter, as GPT-2's byte-level BPE writes it."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def measure(folder: Path, cache: Path, cores: int) -> dict[str, float | bool]:
    """Seconds, and peak MB of all processes until the blocks are there."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "benchmarks.large_corpus", str(folder), str(cache), str(cores)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with watched(process) as peak:
        seconds = json.loads(process.stdout.readline())["seconds"]
    found = json.loads(process.stdout.readline())
    process.wait()
    with open(folder / "corpus.txt", "rb") as file:
        first = bytes.fromhex(found["first"])
        same = file.read(len(first)) == first
        rest = hashlib.sha256()
        while part := file.read(1 << 20):
            rest.update(part)
    return {"seconds": seconds, "peak": peak.mib, "same": same and rest.hexdigest() == found["sha256"]}


def main() -> str:
    """The comparison as a Markdown table."""
    rows = ["| cores | seconds | MB/s | peak MiB | same bytes after decoding |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, MEGABYTES)
        found: dict[int, list[dict[str, float | bool]]] = {1: [], 2: []}
        for number in range(ROUNDS):
            for cores, runs in found.items():
                cache = folder / f"{cores}-{number}"
                cache.mkdir()
                runs.append(measure(folder, cache, cores))
    seconds = {cores: statistics.median(run["seconds"] for run in runs) for cores, runs in found.items()}
    for cores, runs in found.items():
        same = "yes" if all(run["same"] for run in runs) else "NO"
        peak = max(run["peak"] for run in runs)
        rows.append(
            f"| {cores} | {seconds[cores]:.1f} | {MEGABYTES / seconds[cores]:.1f} | {peak:.0f} | {same} |"
        )
    return "\n".join([*rows, "", f"Two cores are {seconds[1] / seconds[2]:.2f} times one."])


if __name__ == "__main__":
    child(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
