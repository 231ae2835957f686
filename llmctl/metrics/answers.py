"""Scores of answers to questions, as SQuAD's two official scripts define them.

Predictions are N answers, "" for none; references are N lists of accepted answers, empty where the text holds none.
Sources: Rajpurkar et al., 2016 (v1.1) and 2018 (v2.0), sections on evaluation, and the scripts published with them.
"""

import math
import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from llmctl.metrics.measure import Measure

_PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII only, as the scripts have it
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalize(answer: str) -> str:
    """Lower case, without punctuation, without the articles a, an, the, with single blanks."""
    bare = answer.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


class Squad(Measure):
    """Exact match and F1 of words (percent), each the best over a question's accepted answers.

    Where any question has no answer the rules of v2.0 hold: no answer is right there and wrong elsewhere, and the
    scores are given for the two groups as well (``HasAns_exact``, ``NoAns_f1``, ...). They differ from those of
    v1.1 in one more case only: where nothing is left of an answer once it is normalised.
    Sums, of K = 6 columns: exact match, F1 and 1 of the questions with an answer; the same of those without.
    """

    always_v2 = False
    _by_v2 = False

    def reference(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
        sums = self.statistics(predictions, references).sum(axis=0, keepdims=True)
        scores = {name: float(found[0]) for name, found in self.from_sums(sums).items()}
        return {name: value for name, value in scores.items() if not math.isnan(value)}  # no empty group

    def statistics(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        self._by_v2 = self.always_v2 or not all(references)
        rows = np.zeros((len(references), 6))
        for row, prediction, accepted in zip(rows, predictions, references, strict=True):
            exact, f1 = (_score_v2 if self._by_v2 else _score_v1)(prediction, accepted)
            begin = 0 if accepted else 3
            row[begin : begin + 3] = exact, f1, 1
        return rows

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        with_answer, without = sums[:, :3], sums[:, 3:]
        exact, f1, total = (with_answer + without).T
        scores = {"exact_match": 100 * exact / total, "f1": 100 * f1 / total}
        if self._by_v2:
            for group, (exact, f1, total) in (("HasAns", with_answer.T), ("NoAns", without.T)):
                with np.errstate(invalid="ignore"):  # 0/0: a group without questions has no score
                    scores[f"{group}_exact"], scores[f"{group}_f1"] = 100 * exact / total, 100 * f1 / total
        return scores

    def signature(self) -> str:
        return f"squad:{'2.0' if self._by_v2 else '1.1'}|normalised:case,punctuation,articles,blanks"


class SquadV2(Squad):
    """As :class:`Squad`, by the rules of v2.0 even where every question has an answer."""

    always_v2 = True


def _score_v1(prediction: str, accepted: Sequence[str]) -> tuple[float, float]:
    """Exact match and F1 by v1.1; an answer of which nothing is left has no F1."""
    found = normalize(prediction)
    golds = [normalize(gold) for gold in accepted]
    return float(found in golds), max(_overlap(found.split(), gold.split()) for gold in golds)


def _score_v2(prediction: str, accepted: Sequence[str]) -> tuple[float, float]:
    """Exact match and F1 by v2.0; accepted answers of which nothing is left do not count."""
    found = normalize(prediction)
    golds = [gold for gold in map(normalize, accepted) if gold]
    if not golds:
        return float(not found), float(not found)
    return float(found in golds), max(_overlap(found.split(), gold.split()) for gold in golds)


def _overlap(words: list[str], gold: list[str]) -> float:
    """F1 of two bags of words; 0 where they share none."""
    shared = (Counter(words) & Counter(gold)).total()
    if not shared:
        return 0.0
    precision, recall = shared / len(words), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


ANSWERS: dict[str, type[Measure]] = {"squad": Squad, "squad_v2": SquadV2}
