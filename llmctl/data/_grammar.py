"""A small text grammar: templates with choices, slots and shared rules, rendered from a seeded source.

Notation: ``[a|b|c]`` draws one alternative, ``{name}`` inserts a slot, ``{a name}`` puts the right article
before it, a capital (``{Name}``, ``{A name}``) capitalises what is inserted, and ``<rule>`` stands for a
shared sub-template. A blank line parts two paragraphs; any other run of white space is one space.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Draw = Callable[[], float]
Slots = dict[str, str]
T = TypeVar("T")

_TOKEN = re.compile(r"[\[\]|]|\{[^{}]*\}|<[a-z_]+>|[^\[\]|{}<>]+")
_SILENT_H = ("hour", "honest", "heir", "honour")
_SOUNDS_LIKE_YOU = ("uni", "use", "usu", "one", "once", "eu")


def source(*key: object) -> Draw:
    """Return a stream of floats in [0, 1) that depends on `key` alone, on every platform and version."""
    return random.Random(":".join(map(str, key))).random


def pick(draw: Draw, options: Sequence[T]) -> T:
    """Draw one of `options`, each as likely as the others."""
    return options[int(draw() * len(options))]


def sample(draw: Draw, options: Sequence[T], count: int) -> list[T]:
    """Draw `count` different members of `options`, in random order."""
    pool = list(options)
    for position in range(count):
        other = position + int(draw() * (len(pool) - position))
        pool[position], pool[other] = pool[other], pool[position]
    return pool[:count]


def with_article(phrase: str) -> str:
    """Put "a" or "an" before `phrase`, by its first sound."""
    lowered = phrase.lower()
    vowel = lowered[:1] in "aeiou" and not lowered.startswith(_SOUNDS_LIKE_YOU)
    return f"an {phrase}" if vowel or lowered.startswith(_SILENT_H) else f"a {phrase}"


def capitalised(text: str) -> str:
    """Return `text` with its first letter in upper case and the rest untouched."""
    return text[:1].upper() + text[1:]


class _Slot:
    __slots__ = ("article", "capital", "name")

    def __init__(self, inside: str) -> None:
        first, _, second = inside.partition(" ")
        if second and first not in ("a", "A"):
            raise ValueError(f"unknown slot form {{{inside}}}")
        self.article = bool(second)
        self.capital = first[0].isupper()
        self.name = (second or first).lower()

    def render(self, slots: Mapping[str, str], draw: Draw) -> str:
        text = slots[self.name]
        if self.article:
            text = with_article(text)
        return capitalised(text) if self.capital else text


class _Choice:
    __slots__ = ("options",)

    def __init__(self, options: tuple[Template, ...]) -> None:
        self.options = options

    def render(self, slots: Mapping[str, str], draw: Draw) -> str:
        return self.options[int(draw() * len(self.options))].render(slots, draw)


class Template:
    """A compiled piece of text that can be rendered again and again."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[str | _Slot | _Choice | Template, ...]) -> None:
        self.parts = parts

    def render(self, slots: Mapping[str, str], draw: Draw) -> str:
        """Return the text with every choice drawn from `draw` and every slot filled from `slots`."""
        return "".join([part if isinstance(part, str) else part.render(slots, draw) for part in self.parts])


def compile_template(text: str, rules: Mapping[str, Template] | None = None) -> Template:
    """Compile one piece of text written in the notation of this module."""
    tokens = _TOKEN.findall(re.sub(r"\s+", " ", text).strip())
    template, end = _sequence(tokens, 0, rules or {})
    if end != len(tokens):
        raise ValueError(f"unbalanced brackets near {''.join(tokens[max(0, end - 3) : end + 3])!r}")
    return template


def compile_rules(texts: Mapping[str, str]) -> dict[str, Template]:
    """Compile shared rules in order; a rule may use those before it."""
    rules: dict[str, Template] = {}
    for name, text in texts.items():
        rules[name] = compile_template(text, rules)
    return rules


def tidy(text: str) -> str:
    """Close the gaps that optional pieces leave behind."""
    return " ".join(text.split())


def _sequence(tokens: list[str], at: int, rules: Mapping[str, Template]) -> tuple[Template, int]:
    parts: list[str | _Slot | _Choice | Template] = []
    while at < len(tokens) and tokens[at] not in ("|", "]"):
        token = tokens[at]
        at += 1
        if token == "[":
            options = []
            while True:
                option, at = _sequence(tokens, at, rules)
                options.append(option)
                if at >= len(tokens):
                    raise ValueError("a choice is not closed")
                at += 1
                if tokens[at - 1] == "]":
                    break
            parts.append(_Choice(tuple(options)))
        elif token[0] == "{":
            parts.append(_Slot(token[1:-1]))
        elif token[0] == "<":
            parts.append(rules[token[1:-1]])
        else:
            parts.append(token)
    return Template(tuple(parts)), at


class Table:
    """Rows of templates that belong together: drawing a row fills all its columns consistently.

    Columns are named in `columns`; rows stand apart by a blank line and their fields by semicolons.
    """

    def __init__(self, columns: str, text: str, rules: Mapping[str, Template] | None = None) -> None:
        self.columns = columns.split()
        self.rows: list[list[Template]] = []
        for row in re.split(r"\n\s*\n", text.strip()):
            fields = [compile_template(field, rules) for field in row.split(";")]
            if len(fields) != len(self.columns):
                raise ValueError(f"a row has {len(fields)} fields, not {len(self.columns)}: {row!r}")
            self.rows.append(fields)

    def fill(self, slots: Slots, draw: Draw) -> None:
        """Draw one row and render its columns into `slots`, left to right."""
        for name, field in zip(self.columns, pick(draw, self.rows), strict=True):
            slots[name] = field.render(slots, draw)
