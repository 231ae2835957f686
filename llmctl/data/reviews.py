"""Generate short labelled reviews whose verdict takes more than one keyword to read.

Patterns come in pairs, one per label, that use the same good and bad words in changed places: the label hangs
on negation, contrast, comparison, mild sarcasm or who has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from llmctl.data import _review_words as words
from llmctl.data._grammar import (
    Draw,
    Slots,
    Template,
    capitalised,
    compile_rules,
    compile_template,
    pick,
    sample,
    source,
    tidy,
)

_PLAIN = 0.12
"""The share of reviews that say outright what they mean."""
_START = 0.6
"""The share of reviews that begin with a neutral remark."""


class _Aspect(NamedTuple):
    subject: str
    good: list[str]
    bad: list[str]


class _Domain(NamedTuple):
    lists: dict[str, list[str]]
    aspects: list[_Aspect]
    start: Template


Pair = tuple[Template, Template]


class _World(NamedTuple):
    domains: list[_Domain]
    pairs: list[Pair]
    plain: list[Pair]


def reviews(size: int, *, seed: int = 0) -> Iterator[tuple[str, int]]:
    """Yield `size` pairs of a review of one to four sentences and its label: 1 is positive, 0 negative.

    Each two reviews in a row have different labels, in random order: an even `size` is balanced exactly.
    Review number i depends on (`seed`, i) alone: a longer run begins with the reviews of a shorter one.
    """
    for index in range(size):
        swapped = source("review order", seed, index // 2)() < 0.5
        label = (index + swapped) % 2
        yield _review(source("reviews", seed, index), label), label


def _review(draw: Draw, label: int) -> str:
    world = _world()
    domain = pick(draw, world.domains)
    slots = _details(domain, draw)
    positive, negative = pick(draw, world.plain if draw() < _PLAIN else world.pairs)
    text = (positive if label else negative).render(slots, draw)
    if draw() < _START:
        text = f"{domain.start.render(slots, draw)} {text}"
    return _sentences(tidy(text))


def _details(domain: _Domain, draw: Draw) -> Slots:
    slots = {
        name: pick(draw, options) for name, options in domain.lists.items() if name not in ("good", "bad")
    }
    slots["ga"], slots["gb"] = sample(draw, domain.lists["good"], 2)
    slots["ba"], slots["bb"] = sample(draw, domain.lists["bad"], 2)
    for slot, aspect in zip(("g1", "g2", "b1", "b2"), sample(draw, domain.aspects, 4), strict=True):
        adjective = pick(draw, aspect.good if slot[0] == "g" else aspect.bad)
        slots[slot] = f"{aspect.subject} {adjective}"
    return slots


def _sentences(text: str) -> str:
    return re.sub(r"(?<=[.?!] )[a-z]", lambda match: match[0].upper(), capitalised(text))


@cache
def _world() -> _World:
    rules = compile_rules(words.RULES)
    domains = []
    for fields in words.DOMAINS.values():
        lists = {name: _list(text) for name, text in fields.items() if name not in ("aspects", "start")}
        aspects = []
        for line in fields["aspects"].strip().splitlines():
            subject, good, bad = line.split(";")
            aspects.append(_Aspect(subject, _list(good), _list(bad)))
        domains.append(_Domain(lists, aspects, compile_template(fields["start"], rules)))
    return _World(domains, _pairs(words.PAIRS, rules), _pairs(words.PLAIN, rules))


def _list(text: str) -> list[str]:
    return [tidy(entry) for entry in text.split(",")]


def _pairs(text: str, rules: dict[str, Template]) -> list[Pair]:
    pairs = []
    for entry in text.strip().split("\n\n"):
        positive, negative = entry.split("\n= ")
        pairs.append((compile_template(positive, rules), compile_template(negative, rules)))
    return pairs
