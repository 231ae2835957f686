"""Corpus to token blocks: llmctl against what transformers' run_clm.py does, on the same text.

Each measurement is a process of its own, held to one or two cores; they take turns, the median is told. The
clock starts behind the imports and stops when every block can be read.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path

BLOCK_SIZE = 256


def ours(folder: Path, cache: Path) -> dict[str, float]:
    """Text to memory-mapped blocks as ``llmctl pretrain`` makes them."""
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
    blocks = Blocks(tokenized, BLOCK_SIZE)
    seconds = time.perf_counter() - start
    labels = (len(blocks) - 1) * BLOCK_SIZE + int((blocks[-1]["labels"] >= 0).sum())
    # Without the token that ends the document; the first token is in the stream, but no label.
    return {"seconds": seconds, "kept": labels + 1 - tokenized.suffix_length}


def run_clm(folder: Path, cache: Path, processes: int) -> dict[str, float]:
    """Lines mapped to tokens, a thousand at once, then concatenated and cut, as run_clm.py does it."""
    import datasets
    from transformers import AutoTokenizer

    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")

    def group(columns: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        streams = {name: list(chain.from_iterable(rows)) for name, rows in columns.items()}
        length = len(streams["input_ids"]) // BLOCK_SIZE * BLOCK_SIZE
        blocks = {
            name: [stream[i : i + BLOCK_SIZE] for i in range(0, length, BLOCK_SIZE)]
            for name, stream in streams.items()
        }
        blocks["labels"] = blocks["input_ids"].copy()
        return blocks

    start = time.perf_counter()
    lines = datasets.load_dataset(
        "text",
        data_files=str(folder / "corpus.txt"),
        keep_linebreaks=True,
        cache_dir=str(cache),
        split="train",
    )
    workers = processes if processes > 1 else None
    tokens = lines.map(
        lambda rows: tokenizer(rows["text"]), batched=True, remove_columns=["text"], num_proc=workers
    )
    blocks = tokens.map(group, batched=True, num_proc=workers)
    return {"seconds": time.perf_counter() - start, "kept": len(blocks) * BLOCK_SIZE}


def measure(way: str, folder: Path, cache: Path, cores: int) -> dict[str, float]:
    """Run one way in a process of its own; seconds, tokens kept, peak MB of memory and MB on disk."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if way == "ours" and cores > 1:
        environment |= {"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": str(cores)}
    command = [sys.executable, __file__, way, str(folder), str(cache), str(cores)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def child(way: str, folder: Path, cache: Path, cores: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    result = ours(folder, cache) if way == "ours" else run_clm(folder, cache, cores)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    disk = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) / 1e6
    print(json.dumps({**result, "memory": memory, "disk": disk}))


def prepare(folder: Path, megabytes: float) -> int:
    """Write stories of that size and a byte-level BPE of 8,192 tokens; the text's number of tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from llmctl.data import builtin

    with open(folder / "corpus.txt", "w", encoding="utf-8") as file:
        for story in builtin.stories(10**9):
            if file.write(story + "\n\n") and file.tell() >= megabytes * 1e6:
                break
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=8192, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(builtin.stories(2000), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")
    tokenizer.save_pretrained(folder / "tokenizer")
    with open(folder / "corpus.txt", encoding="utf-8") as file:
        lines = iter(lambda: file.readlines(1 << 20), [])
        return sum(len(e.ids) for batch in lines for e in backend.encode_batch_fast(batch))


def main(megabytes: float = 16.8, repeats: int = 3) -> str:
    """The comparison as a Markdown table."""
    rows = [
        "| way | seconds | tokens/s | peak MB | disk MB | tokens lost | speed |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        total = prepare(folder, megabytes)
        for cores in (1, 2):
            found: dict[str, list[dict[str, float]]] = {"run_clm": [], "ours": [], "ours, second run": []}
            for repeat in range(repeats):
                caches = {way: folder / f"{way}-{cores}-{repeat}" for way in ("run_clm", "ours")}
                for way, cache in caches.items():
                    cache.mkdir()
                    found[way].append(measure(way, folder, cache, cores))
                found["ours, second run"].append(measure("ours", folder, caches["ours"], cores))
            seconds = {way: statistics.median(run["seconds"] for run in runs) for way, runs in found.items()}
            for way, runs in found.items():
                label = f"{way}, {cores} core{'s' * (cores > 1)}"
                rows.append(
                    f"| {label} | {seconds[way]:.2f} | {total / seconds[way]:,.0f} "
                    f"| {max(run['memory'] for run in runs):.0f} | {runs[0]['disk']:.1f} "
                    f"| {total - runs[0]['kept']:,.0f} | {seconds['run_clm'] / seconds[way]:.2f} |"
                )
    return f"{megabytes} MB of stories, {total:,} tokens, median of {repeats}\n\n" + "\n".join(rows)


if __name__ == "__main__":
    if len(sys.argv) == 5:
        child(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        print(main())
