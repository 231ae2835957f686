"""Tags of words: the scheme they follow, the entities that they mark, and IOB2, the scheme that is learnt.

In IOB2 an entity's first word is ``B-TYPE``, its others ``I-TYPE``, all else ``O`` (Tjong Kim Sang and Veenstra, 1999).
IOB1 begins an entity with ``I-`` where it can; BIOES, BILOU and BMES mark its last word and single words as well.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

OUTSIDE = "O"
# What the letters of the schemes mean in BIOES.
_FORMS = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S"}
_UNTYPED = "_"  # of the bare tags B and I, as seqeval calls it


class Entity(NamedTuple):
    """What words ``begin`` to ``end - 1`` of a sentence name."""

    type: str
    begin: int
    end: int


@dataclass(frozen=True)
class Tags:
    """The tags of the W words of N sentences, one behind the other.

    Attributes:
        names: the tags there are.
        index: (W,) int64, which of ``names`` each word has.
        ends: (N,) int64, where each sentence ends.
    """

    names: tuple[str, ...]
    index: np.ndarray
    ends: np.ndarray

    @classmethod
    def of_column(cls, column: Any) -> "Tags":
        """The tags of an Arrow column of lists of strings."""
        from pyarrow import compute

        flat = compute.list_flatten(column).combine_chunks().dictionary_encode()
        ends = np.cumsum(compute.list_value_length(column).to_numpy(), dtype=np.int64)
        return cls(tuple(flat.dictionary.to_pylist()), flat.indices.to_numpy().astype(np.int64), ends)

    def __len__(self) -> int:
        return len(self.ends)

    @cached_property
    def sentences(self) -> list[list[str]]:
        """The tags of each sentence."""
        words = [self.names[index] for index in self.index]
        return [words[begin:end] for begin, end in zip([0, *self.ends[:-1]], self.ends, strict=True)]

    def counts(self) -> Counter[str]:
        """How many words have each tag."""
        found = np.bincount(self.index, minlength=len(self.names))
        return Counter({name: int(count) for name, count in zip(self.names, found, strict=True) if count})

    def sentence_of(self, word: int) -> int:
        """The sentence in which a word stands."""
        return int(np.searchsorted(self.ends, word, side="right"))

    def first_sentence_with(self, name: str) -> int:
        """The first sentence in which a word has the tag ``name``, which occurs."""
        return self.sentence_of(int(np.argmax(self.index == self.names.index(name))))


class Rewritten(NamedTuple):
    """Tags in IOB2, and the words (M,) whose tags were not."""

    tags: Tags
    changed: np.ndarray


def marks_entities(names: Sequence[str]) -> bool:
    """Whether tags mark entities by ``B-`` and ``I-``, or are plain classes of words, as parts of speech are."""
    if any(name.startswith(("B-", "I-")) for name in names):
        return True
    marks = {name for name in names if name != OUTSIDE}
    if OUTSIDE not in names or not marks:
        return False
    return marks <= {"B", "I"} or all("-" in name and _parse(name) for name in marks)


def malformed(names: Sequence[str]) -> list[str]:
    """Those of ``names`` that no scheme of entities has."""
    return [name for name in names if _parse(name) is None]


def type_of(name: str) -> str:
    """The type of entity that a tag marks; empty for ``O``."""
    return (_parse(name) or ("", ""))[1]


def iob2_labels(types: Iterable[str]) -> tuple[str, ...]:
    """All tags of these types: ``O``, then ``B-`` and ``I-`` of each in alphabetical order."""
    return (OUTSIDE, *(_tag(form, kind) for kind in sorted(types) for form in "BI"))


def to_iob2(tags: Tags) -> Rewritten:
    """Rewrite tags of any scheme in IOB2: the entities are those that seqeval's lenient reading finds.

    A tag that no scheme has counts as ``O``; see :func:`malformed`.
    """
    types = sorted({type_of(name) for name in tags.names} - {""})
    names = iob2_labels(types)
    outside, starts = _boundaries(tags)
    place = {kind: 2 * number + 1 for number, kind in enumerate(types)} | {"": 0}
    first = np.array([place[type_of(name)] for name in tags.names], dtype=np.int64)
    index = first[tags.index] + (~outside & ~starts)
    old = np.array([names.index(name) if name in names else -1 for name in tags.names], dtype=np.int64)
    return Rewritten(Tags(names, index, tags.ends), np.flatnonzero(old[tags.index] != index))


def entities(sentence: Sequence[str]) -> list[Entity]:
    """The entities of one sentence, as seqeval's lenient reading finds them."""
    distinct = {name: number for number, name in enumerate(dict.fromkeys(sentence))}
    index = np.array([distinct[name] for name in sentence], dtype=np.int64)
    outside, starts = _boundaries(Tags(tuple(distinct), index, np.array([len(sentence)])))
    stops = np.flatnonzero(starts | outside)
    return [
        Entity(type_of(sentence[begin]), begin, end)
        for begin, end in pairwise([*stops.tolist(), len(sentence)])
        if starts[begin]
    ]


def _boundaries(tags: Tags) -> tuple[np.ndarray, np.ndarray]:
    """Which words (W,) are outside of entities, and which begin one.

    As seqeval 1.2.2 in its default mode: ``B`` and ``S`` begin one, and so does any other tag after ``O``, after ``E``
    or ``S``, after another type, or first in its sentence.
    """
    parsed = [_parse(name) or ("O", "") for name in tags.names]
    kinds = {kind: number for number, kind in enumerate(dict.fromkeys(kind for _, kind in parsed))}
    forms = np.array([form for form, _ in parsed], dtype="U1")[tags.index]
    types = np.array([kinds[kind] for _, kind in parsed], dtype=np.int64)[tags.index]
    closed = np.ones(len(forms), dtype=bool)  # whether no entity can go on at this word
    closed[1:] = np.isin(forms[:-1], ("O", "E", "S")) | (types[1:] != types[:-1])
    inner_ends = tags.ends[tags.ends < len(forms)]
    closed[inner_ends] = True
    outside = forms == "O"
    return outside, ~outside & (closed | np.isin(forms, ("B", "S")))


def _parse(name: str) -> tuple[str, str] | None:
    """A tag's form in BIOES and its type; ``None`` for what no scheme has."""
    if name == OUTSIDE:
        return "O", ""
    form, dash, kind = name[:1], name[1:2], name[2:]
    if form not in _FORMS or dash not in ("", "-") or (dash and not kind):
        return None
    return _FORMS[form], kind or _UNTYPED


def _tag(form: str, kind: str) -> str:
    return form if kind == _UNTYPED else f"{form}-{kind}"
