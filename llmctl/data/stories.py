"""Generate small English children's stories: original, varied, and the same for the same seed everywhere.

A story follows one of seventeen plots. A plot ties its details together in tables (the clue fits the place it
leads to, the cure fits the trouble), and its text is a grammar whose choices are drawn per story.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from llmctl.data import _story_cast as cast
from llmctl.data._grammar import (
    Draw,
    Slots,
    Table,
    Template,
    compile_rules,
    compile_template,
    pick,
    sample,
    source,
    tidy,
    with_article,
)
from llmctl.data._story_plots_a import PLOTS_A
from llmctl.data._story_plots_b import PLOTS_B
from llmctl.data._story_plots_c import PLOTS_C

_PRONOUNS = {"he": ("he", "him", "his", "himself"), "she": ("she", "her", "her", "herself")}
_AGES = ("old", "dusty", "carved", "tall", "curious old", "beautiful", "painted", "heavy", "funny old")
_SERIES = 0.9
"""How often hero and friend are those of the folk's own series: a small model, which cannot yet look up who a story is
about, keeps to them."""
_HEROES = {"h": "she", "w": "he", "m": "she"}
"""The hero's gender in each series; hero and friend bear the first names of their lists."""
_ONE_PARAGRAPH = 0.15
"""The share of stories told without a paragraph break."""


class _Being(NamedTuple):
    kind: str
    home: str
    hands: str


class _Place(NamedTuple):
    folk: str
    where: str
    spots: list[str]
    crowd: str


_HUMANS = {"he": _Being("boy", "house", "hands"), "she": _Being("girl", "house", "hands")}
_NAMES = {
    ("h", "he"): cast.BOYS.split(),
    ("h", "she"): cast.GIRLS.split(),
    ("w", "he"): cast.ANIMAL_BOYS.split(),
    ("w", "she"): cast.ANIMAL_GIRLS.split(),
    ("m", "he"): cast.MAGIC_BOYS.split(),
    ("m", "she"): cast.MAGIC_GIRLS.split(),
}


class _World(NamedTuple):
    """Everything compiled once: the cast lists, the shared tables and the plots."""

    beings: dict[str, list[_Being]]
    places: list[_Place]
    elders: list[tuple[str, str]]
    helpers: list[list[str]]
    traits: Table
    plots: list[tuple[list[Table], list[Template]]]


def stories(size: int, *, seed: int = 0) -> Iterator[str]:
    """Yield `size` stories of about 150 to 250 words, paragraphs parted by a blank line.

    Story number i depends on (`seed`, i) alone, so a longer run begins with the stories of a shorter one.
    """
    for index in range(size):
        yield _story(source("stories", seed, index))


def _story(draw: Draw) -> str:
    world = _world()
    slots = _cast_slots(world, draw)
    tables, paragraphs = pick(draw, world.plots)
    for table in tables:
        table.fill(slots, draw)
    told = [tidy(paragraph.render(slots, draw)) for paragraph in paragraphs]
    return (" " if draw() < _ONE_PARAGRAPH else "\n\n").join(told)


def _cast_slots(world: _World, draw: Draw) -> Slots:
    place = pick(draw, world.places)
    folk = pick(draw, place.folk)
    slots: Slots = {"where": place.where, "crowd": place.crowd, "old": pick(draw, _AGES)}
    slots["s1"], slots["s2"], slots["s3"] = sample(draw, place.spots, 3)

    in_series = draw() < _SERIES
    gender = _HEROES[folk] if in_series else pick(draw, ("he", "she"))
    # Hero and friend differ in gender, so that a pronoun always tells which of the two is meant.
    genders = (gender, "she" if gender == "he" else "he", pick(draw, ("he", "she")))
    names: set[str] = set()
    kinds: set[str] = set()
    for prefix, role, gender in zip(("", "f", "o"), ("hero", "friend", "other"), genders, strict=True):
        known, *others = _NAMES[folk, gender]
        slots[role] = known if in_series and role != "other" else _fresh(draw, others, names)
        options = world.beings[folk] if folk != "h" else [_HUMANS[gender]]
        being = pick(draw, [option for option in options if option.kind not in kinds] or options)
        kinds.add(being.kind)
        slots[f"{prefix}kind"], slots[f"{prefix}home"], slots[f"{prefix}hands"] = being
        _pronouns(slots, prefix, gender)

    slots["elder"], gender = pick(draw, world.elders)
    _pronouns(slots, "e", gender)
    slots["helper"], *looks = pick(draw, world.helpers)
    slots["ahelper"] = with_article(f"{pick(draw, looks)} {slots['helper']}")
    _pronouns(slots, "h", pick(draw, ("he", "she")))
    world.traits.fill(slots, draw)
    return slots


def _fresh(draw: Draw, names: list[str], taken: set[str]) -> str:
    name = pick(draw, names)
    while name in taken:
        name = pick(draw, names)
    taken.add(name)
    return name


def _pronouns(slots: Slots, prefix: str, gender: str) -> None:
    for form, word in zip(_PRONOUNS["he"], _PRONOUNS[gender], strict=True):
        slots[prefix + form] = word


@cache
def _world() -> _World:
    rules = compile_rules(cast.RULES)
    plots = []
    for plot in (PLOTS_A | PLOTS_B | PLOTS_C).values():
        tables = [Table(columns, rows, rules) for columns, rows in plot.tables]
        plots.append((tables, [compile_template(text, rules) for text in plot.body.strip().split("\n\n")]))
    return _World(
        beings={"w": _beings(cast.ANIMALS), "m": _beings(cast.MAGIC)},
        places=_places(cast.PLACES),
        elders=[_named(entry) for entry in _entries(cast.ELDERS)],
        helpers=[entry.split() for entry in _entries(cast.HELPERS)],
        traits=Table("trait habit deed", cast.TRAITS, rules),
        plots=plots,
    )


def _named(entry: str) -> tuple[str, str]:
    name, pronoun = entry.rsplit(maxsplit=1)
    return name, pronoun


def _entries(text: str) -> list[str]:
    return [tidy(entry) for entry in text.split(",")]


def _beings(text: str) -> list[_Being]:
    beings = []
    for entry in _entries(text):
        names, hands = entry.rsplit(maxsplit=1)
        # "bear cub|cave": the bar parts a name of two words from its home.
        kind, home = names.split("|") if "|" in names else names.rsplit(maxsplit=1)
        beings.append(_Being(kind, home, hands))
    return beings


def _places(text: str) -> list[_Place]:
    places = []
    for row in text.strip().split("\n\n"):
        folk, where, spots, crowd = (tidy(field) for field in row.split(";"))
        places.append(_Place(folk, where, _entries(spots), crowd))
    return places
