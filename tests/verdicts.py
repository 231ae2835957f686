"""Texts that praise or blame, and a tiny BERT that knows their words: what small fine-tunings learn from."""

import csv
import json
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

from transformers import BertModel

from tests.tiny import bert, word_tokenizer

NOUNS = ["film", "plot", "cast", "score", "ending"]
ADVERBS = ["very", "rather", "simply"]
ADJECTIVES = {"pos": ["good", "fine", "great", "lovely"], "neg": ["bad", "poor", "dull", "weak"]}


def verdicts() -> list[tuple[str, str]]:
    """120 texts, each once, and whether they praise; 24 in a row hold all adjectives."""
    return [
        (f"the {noun} was {adverb} {adjective}", label)
        for noun, adverb in product(NOUNS, ADVERBS)
        for label, adjectives in ADJECTIVES.items()
        for adjective in adjectives
    ]


def write_csv(path: Path, rows: Iterable[tuple[Any, ...]], *header: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return path


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_reviews(folder: Path) -> Path:
    """``train.csv`` with 96 of ``verdicts`` and ``dev.csv`` with the other 24, in ``folder``."""
    write_csv(folder / "train.csv", verdicts()[24:], "text", "label")
    write_csv(folder / "dev.csv", verdicts()[:24], "text", "label")
    return folder


def save_base_model(folder: Path) -> Path:
    """A BERT without a head, and its tokenizer of the words that ``verdicts`` has."""
    words = ["the", "was", *NOUNS, *ADVERBS, *(word for words in ADJECTIVES.values() for word in words)]
    tokenizer = word_tokenizer(words)
    bert(tokenizer, BertModel, num_hidden_layers=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
