import random

import pytest

from llmctl.metrics.answers import normalize
from tests.metrics.parity import agreed

NUM_CASES = 250


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("The  Cat, an Owl; a\tDog!", "cat owl dog"),
        ("the", ""),
        ("A.N. Other", "other"),  # punctuation goes first, and leaves an article
        ("Theatre", "theatre"),
        ("twenty-one", "twentyone"),
        ("$1,000.50", "100050"),
        ("the-the", "thethe"),
        ("«Où»", "«où»"),  # punctuation is ASCII only
        ("a\u00a0b", "b"),  # a no-break space is a blank
        ("a_b the_end", "ab theend"),
        ("", ""),
    ],
)
def test_normalisation(answer: str, normal: str) -> None:
    assert normalize(answer) == normal


@pytest.mark.parametrize(
    ("prediction", "accepted", "exact_match", "f1"),
    [
        ("Denver Broncos", ["Denver Broncos", "The Denver Broncos!"], 100, 100),
        ("the Broncos of Denver", ["Denver Broncos"], 0, 80),  # 2 of 3 and 2 of 2 words
        ("Broncos Broncos", ["Broncos"], 0, 200 / 3),  # a word counts as often as both have it
        ("gold", ["golden", "gold medal"], 0, 200 / 3),  # the best of the accepted
        ("", ["Santa Clara"], 0, 0),
        ("!", ["The"], 100, 0),  # v1.1: nothing is left of either
    ],
)
def test_v1_by_hand(prediction: str, accepted: list[str], exact_match: float, f1: float) -> None:
    found = agreed("squad", "text", [prediction], [accepted])
    assert found == pytest.approx({"exact_match": exact_match, "f1": f1})


def test_v2_by_hand() -> None:
    predictions = ["Denver", "", "France", "", "the"]
    references = [["Denver Broncos"], [], [], ["1066"], ["the"]]
    found = agreed("squad", "text", predictions, references)
    assert found == pytest.approx(
        {
            "exact_match": 40,  # the second and the last
            "f1": 100 * (2 / 3 + 1 + 0 + 0 + 1) / 5,
            "HasAns_exact": 100 / 3,
            "HasAns_f1": 100 * (2 / 3 + 0 + 1) / 3,
            "NoAns_exact": 50,
            "NoAns_f1": 50,
        }
    )


def test_v2_without_unanswerable_questions_has_one_group() -> None:
    found = agreed("squad_v2", "text", ["!", "x"], [["The"], ["x", "the"]])
    assert found == {"exact_match": 100, "f1": 100, "HasAns_exact": 100, "HasAns_f1": 100}
    assert list(agreed("squad_v2", "text", [""], [[]])) == ["exact_match", "f1", "NoAns_exact", "NoAns_f1"]


def _f1_by_definition(prediction: str, gold: str) -> float:
    words, left = normalize(prediction).split(), normalize(gold).split()
    size, shared = len(words) + len(left), 0
    for word in words:
        if word in left:
            left.remove(word)
            shared += 1
    return 2 * shared / size if size else 0.0


def test_random_answers_score_as_the_definition_says() -> None:
    rng = random.Random(0)
    words = ["the", "a", "cat", "Cat", "cat,", "sat", "!", "on", "mat-", "1,000", ""]

    def answer() -> str:
        return " ".join(rng.choices(words, k=rng.randint(0, 5)))

    for _ in range(NUM_CASES):
        size = rng.randint(1, 6)
        predictions = [answer() for _ in range(size)]
        references = [[answer() for _ in range(rng.randint(1, 3))] for _ in range(size)]
        best = [
            max(_f1_by_definition(prediction, gold) for gold in accepted)
            for prediction, accepted in zip(predictions, references, strict=True)
        ]
        exact = [
            any(normalize(prediction) == normalize(gold) for gold in accepted)
            for prediction, accepted in zip(predictions, references, strict=True)
        ]
        found = agreed("squad", "text", predictions, references)
        assert found["f1"] == pytest.approx(100 * sum(best) / size, abs=1e-9)
        assert found["exact_match"] == pytest.approx(100 * sum(exact) / size, abs=1e-9)
