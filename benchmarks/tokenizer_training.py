"""Tokenizer training: speed against a bare ``tokenizers`` script on the same text, and peak memory on 500 MB.

Every figure comes from a process of its own; speeds are medians of three, taken in turns. The 25 MB are
built-in stories, after the texts of ``LLMCTL_REAL_DATA`` if it is set. The 500 MB are words drawn from
a Zipf law (exponent 1.35) over endlessly many, some 1.6 million distinct ones: harder than a natural text of
that size, as it is distinct words that take memory. One file is one document.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = 3
VOCAB_SIZE = 8192

_OURS = """
import os, tempfile
from llmctl.config import TokenizerTrainConfig
from llmctl.progress import SILENT
from llmctl.workflows import tokenizer
output_dir = tempfile.mkdtemp(dir=os.environ["LLMCTL_CACHE_DIR"])
config = TokenizerTrainConfig(data=path, validation_fraction=0, vocab_size=size, output_dir=output_dir)
seconds = tokenizer.train(config, progress=SILENT).seconds
"""
_FILES = """
import time
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
bare = Tokenizer(models.BPE())
bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
trainer = trainers.BpeTrainer(
    vocab_size=size,
    min_frequency=2,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
)
start = time.perf_counter()
bare.train([path], trainer)
seconds = time.perf_counter() - start
"""
_LINES = _FILES.replace("bare.train([path], trainer)", "bare.train_from_iterator(open(path), trainer)")
_REPORT = """
import json, resource
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def measure(script: str, path: Path) -> tuple[float, float]:
    """Run ``script`` on ``path`` in a new process: seconds of training, peak resident MiB."""
    code = f"path, size = {str(path)!r}, {VOCAB_SIZE}\n{script}{_REPORT}"
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"LLMCTL_CACHE_DIR": cache},
        )
    seconds, mebibytes = json.loads(done.stdout.splitlines()[-1])
    return seconds, mebibytes


def write_stories(path: Path, num_bytes: int) -> None:
    """Real texts if there are any, then built-in stories up to ``num_bytes``."""
    from llmctl.config import TextData
    from llmctl.data.load import load_text
    from llmctl.progress import SILENT

    written = 0
    with path.open("w", encoding="utf-8") as file:
        if real := os.environ.get("LLMCTL_REAL_DATA"):
            for source in sorted(Path(real, "text").glob("*.txt")):
                written += file.write(source.read_text(encoding="utf-8"))
        config = TextData(data="builtin:stories:100000", validation_fraction=0)
        with tempfile.TemporaryDirectory() as cache:
            stories = load_text(config, progress=SILENT, cache_dir=Path(cache), wanted=("train",))["train"]
        for story in stories:
            written += file.write(story + "\n")
            if written >= num_bytes:
                return


def write_zipf(path: Path, num_bytes: int) -> None:
    """Lines of twelve made-up words whose ranks follow a Zipf law; the rarer a word, the longer it is."""
    import numpy as np

    onsets = [*"bcdfghjklmnprstvwz", "ch", "sh", "th", "st", "br", "tr"]
    vowels = [*"aeiouy", "ai", "ea", "oo", "ou"]

    def word(rank: int) -> str:
        syllables = []
        while rank >= 0:
            rank, syllable = divmod(rank, 240)
            syllables.append(onsets[syllable // 10] + vowels[syllable % 10])
            rank -= 1
        return "".join(syllables)

    common = [word(rank) for rank in range(100_000)]
    generator = np.random.default_rng(0)
    written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < num_bytes:
            ranks = np.minimum(generator.zipf(1.35, 240_000) - 1, 10**12).tolist()
            words = [common[rank] if rank < len(common) else word(rank) for rank in ranks]
            for start in range(0, len(words), 12):
                written += file.write(" ".join(words[start : start + 12]) + ".\n")


def main() -> str:
    """Both comparisons, as one markdown table."""
    scripts = {"llmctl tokenizer train": _OURS, "tokenizers, files": _FILES, "tokenizers, lines": _LINES}
    rows = ["| text | program | MB/s | of the fastest bare script | peak MiB |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "stories.txt"), Path(folder, "zipf.txt")
        write_stories(small, 25_000_000)
        write_zipf(large, 500_000_000)
        for path, runs, left_out in ((small, RUNS, ""), (large, 1, "lines")):
            megabytes = path.stat().st_size / 1e6
            names = [name for name in scripts if not left_out or left_out not in name]
            measured: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
            for _ in range(runs):
                for name in names:
                    measured[name].append(measure(scripts[name], path))
            speed = {name: megabytes / statistics.median(s for s, _ in got) for name, got in measured.items()}
            bare = max(speed[name] for name in names if "llmctl" not in name)
            rows += [
                f"| {path.stem}, {megabytes:.0f} MB | {name} | {speed[name]:.2f} | {speed[name] / bare:.2f} "
                f"| {statistics.median(peak for _, peak in got):.0f} |"
                for name, got in measured.items()
            ]
    return "\n".join(rows)


if __name__ == "__main__":
    print(main())
