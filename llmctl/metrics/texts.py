"""Scores of written text: BLEU and chrF by sacrebleu, ROUGE by rouge-score.

Predictions are N texts; references are N lists of one or more texts, or N texts.
"""

from collections.abc import Sequence
from importlib.metadata import version
from itertools import zip_longest
from typing import Any

import numpy as np

from llmctl.errors import ConfigError
from llmctl.hub import first_line
from llmctl.metrics.measure import Measure, Settings, ratio

References = Sequence[Sequence[str]]


class _Sacrebleu(Measure):
    """What the metrics of sacrebleu share; percent, over the whole corpus."""

    name: str
    metric: Any

    def reference(self, predictions: Sequence[str], references: References) -> dict[str, float]:
        return {self.name: float(self.metric.corpus_score(list(predictions), _streams(references)).score)}

    def statistics(self, predictions: Sequence[str], references: References) -> np.ndarray:
        # sacrebleu keeps these to itself, but its own bootstrap rests on them; the tests would notice a change.
        rows = self.metric._extract_corpus_statistics(list(predictions), _streams(references))
        return np.array(rows, dtype=np.float64)

    def signature(self) -> str:
        return str(self.metric.get_signature())


class Bleu(_Sacrebleu):
    """BLEU (Papineni et al., 2002) as sacrebleu has it (Post, 2018).

    Cased, tokenized by 13a or as the target language needs, exponential smoothing.
    Sums, of K = 10 columns: length, reference length; matching n-grams of order 1 to 4; n-grams of order 1 to 4.
    """

    name = "bleu"

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError where the target language's tokenizer is not installed."""
        from sacrebleu.metrics import BLEU

        super().__init__(settings)
        try:
            # Detokenized output is all we write: its warning about " ." at line ends has nobody to reach.
            self.metric = BLEU(trg_lang=settings.target_lang or "", force=True)
        except (ImportError, RuntimeError) as error:
            language = settings.target_lang
            raise ConfigError(
                f"BLEU of {language!r} needs a tokenizer that is not here: {first_line(error)}",
                hint=f"pip install 'sacrebleu[{language}]', or choose --metric chrf",
            ) from error

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """Papineni et al., 2002, section 2.3; a precision of 0 is 1 / (2^k n-grams), the k-th time (NIST)."""
        length, reference_length, right, total = sums[:, 0], sums[:, 1], sums[:, 2:6], sums[:, 6:]
        halvings = np.cumsum((right == 0) & (total > 0), axis=1)
        precisions = ratio(np.where(right > 0, right, 0.5**halvings), total)
        with np.errstate(divide="ignore"):  # no n-gram of an order: log 0, a BLEU of 0
            mean = np.log(precisions).mean(axis=1)
        brevity = np.minimum(0, 1 - ratio(reference_length, length))
        return {"bleu": np.where(right.any(axis=1), 100 * np.exp(mean + brevity), 0.0)}


class Chrf(_Sacrebleu):
    """chrF2 (Popović, 2015) as sacrebleu has it: character n-grams of order 1 to 6, recall counting four times.

    Sums, of K = 18 columns: for each order the prediction's, the reference's and the matching n-grams.
    """

    name = "chrf"

    def __init__(self, settings: Settings) -> None:
        from sacrebleu.metrics import CHRF

        super().__init__(settings)
        self.metric = CHRF()

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """F-beta of precision and recall, each the mean over the orders that both sides have n-grams of."""
        predicted, true, right = np.moveaxis(sums.reshape(len(sums), -1, 3), 2, 0)
        counted = (predicted > 0) & (true > 0)
        orders = counted.sum(axis=1)
        precision = ratio((ratio(right, predicted) * counted).sum(axis=1), orders)
        recall = ratio((ratio(right, true) * counted).sum(axis=1), orders)
        weight = self.metric.beta**2
        return {"chrf": 100 * ratio((1 + weight) * precision * recall, weight * precision + recall)}


class Rouge(Measure):
    """ROUGE-1, -2, -L and -Lsum (Lin, 2004) by rouge-score: mean F1 over examples, a fraction.

    Words are stemmed (Porter), as in the papers; the best of several references counts. For ``rougeLsum`` each
    line of a text is a sentence. Words are runs of a-z and 0-9: other scripts score 0.
    Sums, of K = 5 columns: examples, and the F1 of each kind.
    """

    kinds = ("rouge1", "rouge2", "rougeL", "rougeLsum")

    def reference(self, predictions: Sequence[str], references: References) -> dict[str, float]:
        means = self.statistics(predictions, references)[:, 1:].mean(axis=0)
        return dict(zip(self.kinds, map(float, means), strict=True))

    def statistics(self, predictions: Sequence[str], references: References) -> np.ndarray:
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(list(self.kinds), use_stemmer=True)
        rows = np.ones((len(references), 1 + len(self.kinds)))
        for row, prediction, accepted in zip(rows, predictions, references, strict=True):
            found = scorer.score_multi(_at_least_one(accepted), prediction)
            row[1:] = [found[kind].fmeasure for kind in self.kinds]
        return rows

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {kind: sums[:, 1 + place] / sums[:, 0] for place, kind in enumerate(self.kinds)}

    def signature(self) -> str:
        return f"rouge-score:{version('rouge-score')}|stemmer:porter|sentences:lines|average:mean-f1"


def _at_least_one(accepted: Sequence[str]) -> list[str]:
    return list(accepted) or [""]


def _streams(references: References) -> list[list[str | None]]:
    """N lists of references as sacrebleu takes them: one list of N for each, ``None`` where there is none."""
    return [list(stream) for stream in zip_longest(*map(_at_least_one, references))]


TEXTS: dict[str, type[Measure]] = {"bleu": Bleu, "chrf": Chrf, "rouge": Rouge}
