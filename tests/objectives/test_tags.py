"""Schemes of tags: entities as seqeval reads them, before and after rewriting."""

import random
import warnings

import numpy as np
import pyarrow
import pytest
from seqeval.metrics.sequence_labeling import get_entities

from llmctl.objectives.tags import (
    Entity,
    Tags,
    entities,
    iob2_labels,
    malformed,
    marks_entities,
    to_iob2,
)


def tags_of(*sentences: list[str]) -> Tags:
    return Tags.of_column(pyarrow.chunked_array([pyarrow.array(sentences, pyarrow.list_(pyarrow.string()))]))


def seqeval_entities(sentence: list[str]) -> list[Entity]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [Entity(kind, first, last + 1) for kind, first, last in get_entities(sentence)]


def rewritten(*sentences: list[str]) -> list[list[str]]:
    return to_iob2(tags_of(*sentences)).tags.sentences


def test_a_column_in_chunks_and_slices_keeps_its_sentences() -> None:
    column = pyarrow.chunked_array([[["O"], ["B-X", "I-X"]], [[], ["O", "B-Y"]]]).slice(1)
    tags = Tags.of_column(column)
    assert tags.sentences == [["B-X", "I-X"], [], ["O", "B-Y"]]
    assert tags.ends.tolist() == [2, 2, 4]
    assert tags.counts() == {"B-X": 1, "I-X": 1, "O": 1, "B-Y": 1}
    assert [tags.sentence_of(word) for word in range(4)] == [0, 0, 2, 2]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["I-PER", "I-PER", "O"], ["B-PER", "I-PER", "O"]),  # IOB1
        (["I-PER", "B-PER", "I-PER"], ["B-PER", "B-PER", "I-PER"]),  # IOB1: B- parts neighbours
        (["O", "I-PER", "I-LOC"], ["O", "B-PER", "B-LOC"]),  # broken IOB2
        (["B-PER", "I-LOC"], ["B-PER", "B-LOC"]),
        (["S-PER", "B-LOC", "I-LOC", "E-LOC", "O"], ["B-PER", "B-LOC", "I-LOC", "I-LOC", "O"]),  # BIOES
        (["U-PER", "B-LOC", "I-LOC", "L-LOC", "U-PER"], ["B-PER", "B-LOC", "I-LOC", "I-LOC", "B-PER"]),
        (["B-X", "M-X", "E-X"], ["B-X", "I-X", "I-X"]),  # BMES
        (["I", "I", "O", "B"], ["B", "I", "O", "B"]),
        (["B-creative-work", "I-creative-work"], ["B-creative-work", "I-creative-work"]),
    ],
)
def test_any_scheme_becomes_iob2(given: list[str], expected: list[str]) -> None:
    assert rewritten(given) == [expected]


def test_an_entity_does_not_reach_over_the_end_of_a_sentence() -> None:
    found = to_iob2(tags_of([], ["O", "B-X"], ["I-X"], [], ["I-X", "I-X"]))
    assert found.tags.sentences == [[], ["O", "B-X"], ["B-X"], [], ["B-X", "I-X"]]
    assert found.changed.tolist() == [2, 3]


def test_entities_are_those_of_seqeval_before_and_after_rewriting() -> None:
    draw = random.Random(0)
    names = ["O", "O", *(f"{form}-{kind}" for form in "BIES" for kind in ("X", "Y-z")), "B", "I"]
    sentences = [draw.choices(names, k=draw.randrange(12)) for _ in range(400)]
    sentences += [draw.choices(["O", "B-X", "I-X"], k=draw.randrange(9)) for _ in range(100)]
    for given, iob2 in zip(sentences, rewritten(*sentences), strict=True):
        assert entities(given) == seqeval_entities(given)
        assert entities(iob2) == seqeval_entities(iob2) == entities(given)


def test_iob2_stays_as_it_is() -> None:
    found = to_iob2(tags_of(["B-X", "I-X", "B-X", "O"], ["B-Y", "B-Y"]))
    assert not len(found.changed)
    assert found.tags.sentences == [["B-X", "I-X", "B-X", "O"], ["B-Y", "B-Y"]]
    assert found.tags.index.dtype == np.int64


@pytest.mark.parametrize(
    ("names", "marking"),
    [
        (["O", "B-X", "I-X"], True),
        (["B-X"], True),
        (["O", "B", "I"], True),
        (["O", "S-X"], True),
        (["O", "B-X", "person"], True),  # one is malformed, which is refused later on
        (["O"], False),
        (["NOUN", "VERB"], False),
        (["NN", "-LRB-", "O"], False),
        (["B", "I"], False),
        ([], False),
    ],
)
def test_plain_tags_are_told_from_marks(names: list[str], marking: bool) -> None:
    assert marks_entities(names) is marking


def test_labels_begin_with_o_and_follow_the_alphabet() -> None:
    assert iob2_labels({"b", "a"}) == ("O", "B-a", "I-a", "B-b", "I-b")
    assert iob2_labels({"_"}) == ("O", "B", "I")
    assert malformed(["O", "B-X", "B_X", "b-X", "", "I"]) == ["B_X", "b-X", ""]
