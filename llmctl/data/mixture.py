"""Several sources of text learnt from together: what each is called, its weight, and their text as one."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from llmctl.config import TextData
from llmctl.data.documents import Documents
from llmctl.data.readers import Piece
from llmctl.data.sources import BuiltinSource, FileSource, Source, check_source, resolve
from llmctl.data.splits import name_of
from llmctl.errors import ConfigError

# A decimal point tells a weight from a size (builtin:stories:3000) and a subset (org/name:20220301).
_WEIGHT = re.compile(r"(.+):([-+]?(?:\d+\.\d*|\.\d+))")
_WHOLE = re.compile(r"(.+):(-?\d+)")
_NAMED = 3  # sources that a message names one by one


class Ingredient(NamedTuple):
    """A source, and its share of the training tokens beside those of the others; ``None``: all of it, once."""

    source: str
    weight: float | None


def ingredients(data: str | tuple[str, ...]) -> tuple[Ingredient, ...]:
    """The sources of ``TextData.data``, with the weights that are written behind them: ``SOURCE:0.7``.

    Raises:
        ConfigError: no source, a negative weight, none above zero, or weights for some sources only.
    """
    found = tuple(_ingredient(text) for text in ([data] if isinstance(data, str) else data))
    if not found:
        raise ConfigError("data names no source", hint="--data FILE, or data: FILE in a recipe")
    weights = [part.weight for part in found]
    if None in weights and any(weight is not None for weight in weights):
        without = found[weights.index(None)].source
        raise ConfigError(
            f"--data {without} has no weight, but others have",
            hint=f"give each a share of the tokens, as {without}:0.5, or none",
        )
    if negative := [part for part in found if part.weight is not None and part.weight < 0]:
        raise ConfigError(
            f"--data {negative[0].source}: the weight {negative[0].weight:g} is negative",
            hint="weights are shares of the training tokens, as 0.7 and 0.3",
        )
    if not any(weight is None or weight > 0 for weight in weights):
        raise ConfigError(
            "the weights of --data are all zero", hint="give one of the sources a share, as 1.0"
        )
    return found


def _ingredient(text: str) -> Ingredient:
    match = _WEIGHT.fullmatch(text)
    if match is None or Path(text).expanduser().exists():
        return Ingredient(text, None)
    return Ingredient(match[1], float(match[2]))


def check_text(config: TextData) -> None:
    """Find what can be known to be wrong with sources of text before anything is read or imported.

    Raises:
        ConfigError: as :func:`ingredients` and ``sources.check_source``, or what is in two sources.
    """
    parts = ingredients(config.data)
    found: dict[str, Source] = {}
    for source, _ in parts:
        _check_whole_number(source)
        check_source(replace(config, data=source))
        if source in found:
            raise _twice(source)
        found[source] = resolve(source, config)
    for one, other in combinations(found, 2):
        if shared := _shared(found[one], found[other]):
            raise _twice(f"{shared} (in {one} and in {other})")


def _check_whole_number(source: str) -> None:
    """Say what is amiss with ``FILE:2``, where the file is there but nothing of that name."""
    match = _WHOLE.fullmatch(source)
    if match and not Path(source).expanduser().exists() and Path(match[1]).expanduser().exists():
        raise ConfigError(
            f"no such file: {source}", hint=f"a weight has a decimal point: {match[1]}:{match[2]}.0"
        )


def _shared(one: Source, other: Source) -> str | None:
    """What two sources have both; built-in text of one kind begins alike whatever its size."""
    if isinstance(one, FileSource) and isinstance(other, FileSource):
        files = [
            {path.resolve() for split in found.splits.values() for path in split} for found in (one, other)
        ]
        return next((str(path) for path in sorted(files[0] & files[1])), None)
    if isinstance(one, BuiltinSource) and isinstance(other, BuiltinSource) and one.name == other.name:
        return f"builtin:{one.name}"
    return None


def _twice(what: str) -> ConfigError:
    return ConfigError(
        f"--data names the same source twice: {what}",
        hint="name it once; to learn more often from it, give weights, as SOURCE:0.7",
    )


def title_of(data: str | tuple[str, ...]) -> str:
    """What messages call the sources together."""
    sources = [source for source, _ in ingredients(data)]
    if len(sources) == 1:
        return sources[0]
    return (
        " + ".join(Path(source).name for source in sources)
        if len(sources) <= _NAMED
        else f"{len(sources)} sources"
    )


def joined(title: str, split: str, parts: Mapping[str, Documents]) -> Documents:
    """A split of several sources as one text, one source behind the other; that of a single source as it is.

    Args:
        parts: source -> its documents, of those that have such a split.
    """
    if len(parts) == 1:
        return next(iter(parts.values()))

    def stream() -> Iterator[Piece]:
        for part in parts.values():
            yield from part.stream()

    fingerprints = " ".join(part.fingerprint for part in parts.values())
    return Documents(
        name=name_of(title, split),
        num_documents=sum(part.num_documents for part in parts.values()),
        num_bytes=sum(part.num_bytes for part in parts.values()),
        fingerprint=hashlib.sha256(fingerprints.encode()).hexdigest()[:32],
        files=tuple(file for part in parts.values() for file in part.files),
        stream=stream,
        parts=parts,
        lost=tuple(line for part in parts.values() for line in part.lost),
    )
