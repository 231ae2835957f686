"""Scores of how likely a model finds the gold tokens of each example; there is nothing to compare.

Predictions are (N, 2) floats: the negative log-likelihood, in nats, of an example's targets, and how many they are.
References, (N,), are not looked at: the numbers are those that the model gave to them already.
"""

import numpy as np

from llmctl.metrics.measure import Measure


class _Likelihood(Measure):
    """What the metrics share. Sums, of K = 2 columns: negative log-likelihood, targets."""

    def reference(self, predictions: np.ndarray, references: object) -> dict[str, float]:
        found = self.from_sums(predictions.sum(axis=0, keepdims=True))
        return {name: float(value[0]) for name, value in found.items()}

    def statistics(self, predictions: np.ndarray, references: object) -> np.ndarray:
        return predictions

    def signature(self) -> str:
        return "mean:tokens|log:e"


class Loss(_Likelihood):
    """Mean negative log-likelihood of a token in nats, over the tokens of all examples; nan without tokens."""

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(invalid="ignore"):
            return {"loss": sums[:, 0] / sums[:, 1]}


class Perplexity(_Likelihood):
    """``exp`` of the loss: the number of equally likely tokens that the model would be as unsure among."""

    def from_sums(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(invalid="ignore", over="ignore"):
            return {"perplexity": np.exp(sums[:, 0] / sums[:, 1])}


LIKELIHOOD: dict[str, type[Measure]] = {"perplexity": Perplexity, "loss": Loss}
