"""The generated data sets: the same everywhere, varied, correct English, labels no single word gives away."""

from __future__ import annotations

import hashlib
import math
import re
import subprocess
import sys
import time
from collections import Counter

import pytest

from llmctl.data import builtin
from llmctl.data._grammar import compile_rules, compile_template, sample, source, with_article
from llmctl.data.stories import _cast_slots, _world

STORIES = list(builtin.stories(4000))
REVIEWS = list(builtin.reviews(8000))


def digest(texts: list[str]) -> str:
    return hashlib.sha256("\x00".join(texts).encode()).hexdigest()


def test_catalogue_names_what_exists():
    assert set(builtin.CATALOGUE) == {"stories", "reviews"}
    for name, entry in builtin.CATALOGUE.items():
        assert entry.name == name
        assert entry.default_size > 0
        assert "\n" not in entry.description
        first = next(getattr(builtin, name)(1))
        assert len(entry.columns) == (1 if isinstance(first, str) else len(first))


def test_the_catalogue_loads_no_generator():
    code = "import sys, llmctl.data.builtin; print(any('_story' in name for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("generate", [builtin.stories, builtin.reviews])
def test_a_longer_run_begins_with_the_shorter_one(generate):
    assert list(generate(300, seed=5))[:100] == list(generate(100, seed=5))


@pytest.mark.parametrize("generate", [builtin.stories, builtin.reviews])
def test_seeds_differ(generate):
    assert not set(generate(200, seed=1)) & set(generate(200, seed=2))


def test_the_same_in_another_process():
    code = (
        "import hashlib; from llmctl.data import builtin;"
        "texts = list(builtin.stories(50)) + [text for text, _ in builtin.reviews(50)];"
        "print(hashlib.sha256('\\x00'.join(texts).encode()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(STORIES[:50] + [text for text, _ in REVIEWS[:50]])


def test_no_two_of_a_hundred_thousand_stories_alike():
    assert len({hash(text) for text in builtin.stories(100_000)}) == 100_000


def test_near_duplicates_are_rare():
    """Seldom do two stories share even half of their runs of eight words."""
    seen: dict[tuple[str, ...], int] = {}
    close = 0
    for number, text in enumerate(STORIES[:2000]):
        words = text.split()
        shared = Counter(seen.setdefault(tuple(words[at : at + 8]), number) for at in range(len(words) - 7))
        del shared[number]
        close += max(shared.values(), default=0) > len(words) / 2
    assert close < 20


def test_story_lengths():
    lengths = sorted(len(text.split()) for text in STORIES)
    assert 150 < sum(lengths) / len(lengths) < 215
    assert lengths[0] > 80
    assert lengths[-1] < 270


def test_stories_have_paragraphs_and_speech():
    assert sum("\n\n" in text for text in STORIES) > 0.75 * len(STORIES)
    assert sum('"' in text for text in STORIES) > 0.95 * len(STORIES)


def test_vocabulary_is_rich_yet_learnable():
    counts = Counter(word for text in STORIES for word in re.findall(r"[a-z']+", text.lower()))
    assert len(counts) > 2000
    assert sum(count >= 4 for count in counts.values()) > 0.9 * len(counts)


def test_many_openings():
    openings = Counter(" ".join(text.split()[:4]) for text in STORIES)
    assert (
        0 < sum(openings[words] for words in openings if words.startswith("Once upon")) < 0.4 * len(STORIES)
    )
    assert len(openings) > 100


@pytest.mark.parametrize(
    "fault",
    [
        r"[{}\[\]<>|;]",
        r" [,.!?]",
        r"  ",
        r"[.!?] [a-z](?!\w*\W* (?:said|cried))(?<!\.\.\. .)",
        r"\b[Aa] [aeio]\w+",
        r"\b([Aa]n?|[Tt]he|[Hh]is|[Hh]er) (a|an|the)\b(?<!her the)(?<!her a)",
        r"\b[Aa]n [^aeiouAEIOUh]",
        r"\b(\w+) \1\b(?<!knock)",
        r"[.,!?][.,](?!\.)(?<!\.\.)",
    ],
)
def test_no_mechanical_faults(fault):
    texts = STORIES + [text for text, _ in REVIEWS]
    found = [
        text[max(0, hit.start() - 30) : hit.end() + 30] for text in texts if (hit := re.search(fault, text))
    ]
    exceptions = re.compile(r"\ba one-eyed|very, very|was\.\.\. it")
    found = [piece for piece in found if not exceptions.search(piece)]
    assert not found, found[:5]


def test_every_sentence_and_quotation_is_closed():
    for text in STORIES:
        assert text[-1] in '.!?"', text
        assert text[0].isupper(), text
        for paragraph in text.split("\n\n"):
            assert paragraph.count('"') % 2 == 0, paragraph
            assert paragraph[0].isupper() or paragraph[0] == '"', paragraph


def test_the_cast_can_be_told_apart():
    """Hero and friend differ in name and gender, and all of a character's pronouns agree."""
    for number in range(500):
        slots = _cast_slots(_world(), source("cast", number))
        assert len({slots["hero"], slots["friend"], slots["other"]}) == 3
        assert slots["he"] != slots["fhe"]
        for prefix in ("", "f", "o", "e", "h"):
            forms = tuple(slots[prefix + form] for form in ("he", "him", "his", "himself"))
            assert forms in {("he", "him", "his", "himself"), ("she", "her", "her", "herself")}


def test_stories_are_quick_to_make():
    began = time.perf_counter()
    list(builtin.stories(1000, seed=9))
    assert time.perf_counter() - began < 2


def test_reviews_are_balanced_and_short():
    assert sum(label for _, label in REVIEWS) * 2 == len(REVIEWS)
    for text, label in REVIEWS:
        assert label in (0, 1)
        assert 1 <= len(re.findall(r"[.!?](?: |$)", text)) <= 4, text
        assert text[0].isupper()


def test_few_reviews_repeat():
    texts = [text for text, _ in builtin.reviews(20_000)]
    assert len(texts) - len(set(texts)) < 40


def test_no_review_has_both_labels():
    labels: dict[str, int] = {}
    for text, label in builtin.reviews(20_000):
        assert labels.setdefault(text, label) == label, text


def test_good_and_bad_words_stand_in_both_classes():
    positive, negative = (Counter() for _ in range(2))
    for text, label in REVIEWS:
        (positive if label else negative).update(set(re.findall(r"[a-z]+", text.lower())))
    for word in ("charming", "gripping", "boring", "flimsy", "stale", "sturdy", "not", "never"):
        share = positive[word] / (positive[word] + negative[word])
        assert 0.15 < share < 0.85, (word, share)


def naive_bayes_accuracy(train: list[tuple[str, int]], held_out: list[tuple[str, int]]) -> float:
    """Judge by single words alone, with add-one smoothing."""
    counts = (Counter(), Counter())
    for text, label in train:
        counts[label].update(set(re.findall(r"[a-z]+", text.lower())))
    documents = len(train) / 2
    right = 0
    for text, label in held_out:
        words = set(re.findall(r"[a-z]+", text.lower()))
        score = sum(
            math.log((counts[1][w] + 1) / (documents + 2)) - math.log((counts[0][w] + 1) / (documents + 2))
            for w in words
        )
        right += (score > 0) == label
    return right / len(held_out)


def test_single_words_do_not_give_the_label_away():
    accuracy = naive_bayes_accuracy(REVIEWS[:6000], REVIEWS[6000:])
    assert 0.6 < accuracy < 0.9


def test_articles():
    assert [with_article(word) for word in ("owl", "cat", "hour", "unicorn", "one-eyed crow", "Echo")] == [
        "an owl", "a cat", "an hour", "a unicorn", "a one-eyed crow", "an Echo",
    ]  # fmt: skip


def test_sample_draws_without_repeats():
    draw = source("test")
    assert sorted(sample(draw, "abcd", 4)) == list("abcd")
    assert all(len(set(sample(draw, range(5), 3))) == 3 for _ in range(50))


def test_template_notation():
    rules = compile_rules({"hello": "[Hello|Hello], {name}"})
    template = compile_template("<hello>! {A thing}, {a thing}[[ yes]|[ yes]].", rules)
    assert (
        template.render({"name": "Mia", "thing": "old hat"}, source(0))
        == "Hello, Mia! An old hat, an old hat yes."
    )


@pytest.mark.parametrize("broken", ["[a|b", "a|b]", "{the thing}"])
def test_broken_templates_are_refused(broken):
    with pytest.raises(ValueError, match=r"closed|unbalanced|unknown"):
        compile_template(broken)
