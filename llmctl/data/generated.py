"""Built-in text, generated once and then read from the cache: a corpus is read several times in a run."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from llmctl.data.sources import BuiltinSource
from llmctl.disk import staged_file, sweep

_GENERATORS = ("builtin.py", "stories.py", "reviews.py", "_[!_]*.py")


def code_digest() -> str:
    """A digest of the generators' code: generated text changes with the code that generates it, and no other."""
    folder = Path(__file__).parent
    files = sorted(path for pattern in _GENERATORS for path in folder.glob(pattern))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def builtin_texts(source: BuiltinSource, cache_dir: Path) -> Iterator[str]:
    """The documents of a built-in data set, kept in ``cache_dir``, or generated anew where that cannot be."""
    kept = cache_dir / "builtin" / f"{source.name}-{source.size}-{code_digest()}.jsonl"
    if not kept.exists():
        try:
            _keep(_generate(source), kept)
        except OSError:
            yield from _generate(source)
            return
    with open(kept, encoding="utf-8") as file:
        yield from map(json.loads, file)


def _generate(source: BuiltinSource) -> Iterator[str]:
    from llmctl.data import builtin

    if source.name == "reviews":
        return (text for text, _ in builtin.reviews(source.size))
    return builtin.stories(source.size)


def _keep(texts: Iterator[str], place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    sweep(place.parent)
    with staged_file(place) as file:
        for text in texts:
            file.write(json.dumps(text, ensure_ascii=False) + "\n")
