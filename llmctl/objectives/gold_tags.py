"""The tags that examples came with, and the tags that are learnt from them."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from llmctl.errors import DataError
from llmctl.objectives.classes import unseen_label
from llmctl.objectives.tags import OUTSIDE, Tags, iob2_labels, malformed, to_iob2, type_of
from llmctl.progress import SILENT, Progress

if TYPE_CHECKING:
    from llmctl.data.examples import Examples


def given_tags(examples: "Examples") -> Tags:
    """The tags as they stand in the data.

    Raises:
        DataError: a sentence with more or fewer tags than words.
    """
    from pyarrow import compute as arrow

    tags = Tags.of_column(examples.table.column("label"))
    words = arrow.list_value_length(examples.table.column("tokens")).to_numpy()
    counts = np.diff(tags.ends, prepend=0)
    if (unlike := np.flatnonzero(words != counts)).size:
        first = int(unlike[0])
        raise DataError(
            f"{examples.place(first)}: {words[first]} words, but {counts[first]} tags",
            hint="each word needs one tag",
        )
    return tags


def learnt_tags(examples: "Examples", marking: bool, progress: Progress = SILENT) -> Tags:
    """The tags in IOB2 where they mark entities, telling what was rewritten; else as they are.

    Raises:
        DataError: as :func:`given_tags`; a tag that no scheme has, among others that mark entities.
    """
    given = given_tags(examples)
    if not marking:
        return given
    if odd := malformed(given.names):
        sentence = given.first_sentence_with(odd[0])
        word = given.sentences[sentence].index(odd[0]) + 1
        raise DataError(
            f"{examples.place(sentence)}: tag {odd[0]!r} of word {word:,} is not O, and not B- or I- with a type",
            hint="mend the tag; the others mark entities",
        )
    rewritten = to_iob2(given)
    if len(rewritten.changed):
        first = int(rewritten.changed[0])
        old, new = given.names[given.index[first]], rewritten.tags.names[rewritten.tags.index[first]]
        progress.note(
            f"{examples.name}: {len(rewritten.changed):,} of {len(given.index):,} tags were not in the scheme IOB2 and "
            f"were rewritten, which changes no entity (first: {examples.place(given.sentence_of(first))}: "
            f"{old} to {new})"
        )
    return rewritten.tags


def label_names(splits: Mapping[str, "Examples"], learnt: Tags, marking: bool) -> tuple[str, ...]:
    """The labels to learn: as the source declares them; else ``O`` first, and by the alphabet.

    A declared order counts where it has ``B-`` and ``I-`` of every type, so that every entity can be written in IOB2.

    Raises:
        DataError: one single tag; a tag or type of entity that only another split has.
    """
    train = splits["train"]
    found = learnt.counts()
    if len(found) < 2 and (not marking or OUTSIDE in found):
        only = f": {next(iter(found))!r}" if found else ""
        raise DataError(
            f"{train.name}: all words have one single tag{only}", hint="there is nothing to learn from it"
        )
    used = _classes(found, marking)
    declared = train.label_names or ()
    if declared and (set(declared) == set(iob2_labels(_classes(declared, True))) or not marking):
        return declared
    for examples in splits.values():
        if examples is not train and examples.labelled:
            tags = learnt_tags(examples, marking)
            if unseen := sorted(_classes(tags.counts(), marking) - used):
                first = next(name for name in tags.names if unseen[0] in _classes([name], marking))
                place = examples.place(tags.first_sentence_with(first))
                raise unseen_label(place, unseen[0], sorted(used))
    return iob2_labels(used) if marking else tuple(sorted(used))


def _classes(names: Iterable[str], marking: bool) -> set[str]:
    """The types of entity that tags mark; of plain tags themselves."""
    return {type_of(name) for name in names} - {""} if marking else set(names)
