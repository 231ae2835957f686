"""Perplexity of text under a causal language model, with its interval: training and ``eval`` share this."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmctl import __version__
from llmctl.errors import DataError
from llmctl.inference.scoring import Scores, score
from llmctl.metrics.intervals import MIN_UNITS, Interval, bootstrap_sums, percentile_bounds, tell_few
from llmctl.progress import SILENT, Progress

if TYPE_CHECKING:
    from llmctl.data.blocks import TokenizedDocuments


@dataclass(frozen=True)
class Perplexity:
    """The scores of some text, and how they were had."""

    perplexity: Interval
    """``exp(nll / tokens)``; not comparable between tokenizers."""
    word_perplexity: Interval
    """``exp(nll / words)``, words split at white space."""
    byte_perplexity: Interval
    """``exp(nll / bytes)``, UTF-8."""
    bits_per_byte: Interval
    """``nll / ln 2 / bytes``."""
    n: int
    """Documents."""
    num_tokens: int
    """Tokens scored."""
    signature: str
    """All that decides the numbers besides model and text."""

    @property
    def mean_nll(self) -> float:
        """Loss in nats a token, as training reports it."""
        return math.log(self.perplexity.value)


def first_token_context(model: Any, tokenizer: Any) -> int | None:
    """The token that stands before a text: begin-of-text, else end-of-text, else ``None``.

    The tokenizer is asked first: a model's config may hold its family's default, which is another token here.
    """
    for owner in (tokenizer, model.config):
        for name in ("bos_token_id", "eos_token_id"):
            token = getattr(owner, name, None)
            if isinstance(token, int):
                return token
    return None


def evaluate_documents(
    model: Any,
    documents: "TokenizedDocuments",
    *,
    max_length: int,
    stride: int,
    batch_size: int,
    first_token_context: int | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
    progress: Progress = SILENT,
) -> tuple[Perplexity, Scores]:
    """Score the documents and summarise the scores; see :func:`llmctl.inference.scoring.score`.

    Args:
        num_resamples: bootstrap resamples behind the 95 % interval; 0: none.
        seed: of the bootstrap.

    Raises:
        ConfigError, ModelError: as :func:`llmctl.inference.scoring.score`.
        DataError: there is no token to score.
    """
    scores = score(
        model,
        documents,
        max_length=max_length,
        stride=stride,
        batch_size=batch_size,
        first_token_context=first_token_context,
        progress=progress,
    )
    if scores.num_unscored:
        progress.warn(
            f"the first token of {scores.num_unscored:,} documents is not scored: "
            "neither the tokenizer nor the model has a begin or end of text"
        )
    if not scores.num_tokens.sum():
        raise DataError("there is no token to score", hint="give more text")
    units, unit = _units(scores)
    if len(units) < 2 and num_resamples:
        progress.note(f"no interval: the text is a single {unit.removesuffix('s')}")
    if num_resamples:
        tell_few(len(units), unit, progress)
    values, bounds = _summarise(units, num_resamples, seed)
    first = "unscored" if first_token_context is None else f"after-{first_token_context}"
    if documents.prefix_length:
        first = f"after-{documents.tokens[0]}"
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    parts = [
        f"perplexity|window:{max_length}|stride:{stride}|first_token:{first}|eos:unscored|dtype:{dtype}",
        f"interval:bootstrap95,{num_resamples}x{len(units)} {unit},seed:{seed}|llmctl:{__version__}",
    ]
    intervals = {name: Interval(value, *bounds.get(name, (None, None))) for name, value in values.items()}
    result = Perplexity(
        **intervals, n=len(scores.nll), num_tokens=int(scores.num_tokens.sum()), signature="|".join(parts)
    )
    return result, scores


def _units(scores: Scores) -> tuple[np.ndarray, str]:
    """Return what is resampled, (units, 4): nll, tokens, words and bytes of each; and its name.

    Of too few documents the windows are resampled instead. They share their document's words and bytes by tokens.
    """
    documents = np.stack([scores.nll, scores.num_tokens, scores.num_words, scores.num_bytes], axis=1)
    if len(documents) >= MIN_UNITS or len(scores.window_nll) <= len(documents):
        return documents, "documents"
    owner, tokens = scores.window_document, scores.window_num_tokens
    share = tokens / scores.num_tokens[owner]
    words, size = share * scores.num_words[owner], share * scores.num_bytes[owner]
    return np.stack([scores.window_nll, tokens, words, size], axis=1), "windows"


def _summarise(
    units: np.ndarray, num_resamples: int, seed: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Return the scores of ``units`` (U, 4) by name, and their bounds where there are units to resample."""
    values = {name: float(found[0]) for name, found in _scores(units.sum(axis=0)[None]).items()}
    if len(units) < 2 or not num_resamples:
        return values, {}
    samples = _scores(bootstrap_sums(units, num_resamples=num_resamples, seed=seed))
    return values, {name: percentile_bounds(found) for name, found in samples.items()}


def _scores(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Scores (R,) from sums (R, 4) of nll, tokens, words and bytes."""
    nll, tokens, words, size = sums.T
    with np.errstate(over="ignore"):  # text without spaces: a "word" may be less likely than a float can say
        return {
            "perplexity": np.exp(nll / tokens),
            "word_perplexity": np.exp(nll / words),
            "byte_perplexity": np.exp(nll / size),
            "bits_per_byte": nll / math.log(2) / size,
        }
