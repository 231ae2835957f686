"""``python -m benchmarks [NAME ...]``: run the benchmarks and write their sections of ``results.md``.

Sections that are not run again keep what they say.
"""

import importlib
import os
import platform
import re
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results.md"
NAMES = (
    "startup",
    "tokenizer_training",
    "blocks",
    "training",
    "masked",
    "first_step",
    "saving",
    "perplexity",
    "generation",
    "tinyshakespeare",
    "pretrained_encoder",
    "finetuning",
    "planning",
    "processes",
    "stream_ranks",
)
LONG = (
    "soak",
    "large_corpus",
    "streaming",
    "quality",
)  # ten minutes to an hour: run when named, and by make soak


def processor() -> str:
    """The processor's model name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def main(names: list[str]) -> None:
    unknown = [name for name in names if name not in NAMES + LONG]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]!r}; there are: {', '.join(NAMES + LONG)}")
    sections, failed = {}, False
    if RESULTS.exists():
        parts = re.split(r"^## (\w+)\n", RESULTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
        sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    for name in names or NAMES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        module = importlib.import_module(f"benchmarks.{name}")
        title = (module.__doc__ or "").strip()
        machine = f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores of {processor()}"
        found = module.main().strip()
        failed |= "FAILED" in found
        sections[name] = f"\n{title}\n\n{found}\n\n{machine}: `python -m benchmarks {name}`\n\n"
        ordered = [f"## {key}\n{sections[key]}" for key in NAMES + LONG if key in sections]
        RESULTS.write_text("# Measured\n\n" + "".join(ordered).rstrip() + "\n", encoding="utf-8")
    sys.exit(failed)


if __name__ == "__main__":
    main(sys.argv[1:])
