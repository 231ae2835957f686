import random
import warnings

import pytest
import seqeval.metrics

from llmctl.metrics.measure import Settings
from llmctl.metrics.tags import Seqeval
from tests.metrics.parity import agreed

NUM_CASES = 250
TAGS = ["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC", "I-ORG", "E-LOC", "S-PER", "NOUN", "B-my-type"]

Sentences = list[list[str]]


def _cases() -> list[tuple[Sentences, Sentences]]:
    """0 to 8 words a sentence: well-formed and broken entities, types that only one side has, nothing at all."""
    rng = random.Random(0)
    cases: list[tuple[Sentences, Sentences]] = [
        ([["O"]], [["O"]]),
        ([["O", "O"]], [["B-PER", "I-PER"]]),
        ([["B-PER", "I-PER"]], [["O", "O"]]),
        ([[], ["B-PER"]], [[], ["B-PER"]]),
        ([["I-PER", "I-PER"]], [["B-PER", "I-PER"]]),
        ([["B-PER"], ["I-PER"]], [["B-PER"], ["B-PER"]]),  # an entity ends with its sentence
    ]
    while len(cases) < NUM_CASES:
        known = rng.sample(TAGS, rng.randint(1, len(TAGS)))
        true = [rng.choices(known, k=rng.randint(0, 8)) for _ in range(rng.randint(1, 6))]
        wrong = rng.random()
        predicted = [[rng.choice(TAGS) if rng.random() < wrong else tag for tag in tags] for tags in true]
        if any(true):
            cases.append((predicted, true))
    return cases


@pytest.mark.filterwarnings("ignore")
def test_entities_score_as_seqeval_says() -> None:
    for predicted, true in _cases():
        expected = {
            "precision": seqeval.metrics.precision_score(true, predicted),
            "recall": seqeval.metrics.recall_score(true, predicted),
            "f1": seqeval.metrics.f1_score(true, predicted),
            "accuracy": seqeval.metrics.accuracy_score(true, predicted),
        }
        assert agreed("seqeval", "tags", predicted, true) == pytest.approx(expected, abs=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_scores_by_type_are_those_of_seqevals_report() -> None:
    for predicted, true in _cases():
        by_type = Seqeval(Settings()).details(predicted, true)["by_type"]
        if not by_type:  # the report itself cannot be made of nothing
            continue
        report = seqeval.metrics.classification_report(true, predicted, output_dict=True)
        expected = {name: row for name, row in report.items() if not name.endswith(" avg")}
        assert list(by_type) == sorted(expected)
        for name, row in by_type.items():
            values = dict(zip(["precision", "recall", "f1", "support"], expected[name].values(), strict=True))
            assert row == pytest.approx(values, abs=1e-9)


def test_a_hand_made_corpus() -> None:
    true = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O"]]
    predicted = [["B-PER", "O", "O", "B-LOC"], ["B-LOC", "B-PER"]]
    found = agreed("seqeval", "tags", predicted, true)
    assert found == pytest.approx({"f1": 4 / 7, "precision": 2 / 4, "recall": 2 / 3, "accuracy": 4 / 6})


def test_sentences_without_words_score_zero() -> None:
    assert set(agreed("seqeval", "tags", [[]], [[]]).values()) == {0.0}


def test_tuples_do_as_well_as_lists_and_nothing_is_warned() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert agreed("seqeval", "tags", [("NOUN", "O")], [("NOUN", "O")])["accuracy"] == 1
