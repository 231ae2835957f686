"""How likely a causal language model finds a text: exact, batched, in bounded memory.

**The definition.** A document's text is cut into windows: window ``k`` covers the tokens from ``k * stride``
up to, but without, ``k * stride + max_length``; the last one ends with the text. The first window scores all
of its tokens; each later one only those that no earlier window covers, its last ``stride``, given the tokens
before them in the window. So every token is scored exactly once. Where ``stride`` equals ``max_length`` the
windows are disjoint, and each sees the one token before it, as nothing can be predicted from nothing. The
document's first token is predicted from the begin-of-text token, which is read by the first window alone.
Neither that token nor the end-of-text token is scored.

These are the windows of Hugging Face's strided perplexity, whose published loop weights them inexactly.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel

from llmctl import ranks
from llmctl.errors import ConfigError, ModelError
from llmctl.limits import check_ids, num_positions
from llmctl.progress import SILENT, Progress
from llmctl.sharding import is_sharded

if TYPE_CHECKING:
    from llmctl.data.blocks import TokenizedDocuments

_TRIAL_TOKENS = 16
_HEAD_LOGITS = 1 << 24  # logits computed at once by the head alone: 64 MB in fp32
_FULL_LOGITS = 1 << 27  # logits a whole forward pass may give back: 512 MB


@dataclass(frozen=True)
class Scores:
    """Negative log-likelihoods in nats; D documents, W windows."""

    nll: np.ndarray
    """(D,) float64, of all scored tokens of a document."""
    num_tokens: np.ndarray
    """(D,) int64, tokens scored."""
    num_words: np.ndarray
    """(D,) int64."""
    num_bytes: np.ndarray
    """(D,) int64, of the text in UTF-8."""
    window_document: np.ndarray
    """(W,) int64, the document that a window belongs to; windows stand in the order of the text."""
    window_nll: np.ndarray
    """(W,) float64."""
    window_num_tokens: np.ndarray
    """(W,) int64, tokens scored in a window."""
    num_unscored: int
    """Documents whose first token had no context to be predicted from."""


@dataclass(frozen=True)
class _Windows:
    """What each of W windows reads and scores; positions count from the document's first text token."""

    document: np.ndarray
    read_begin: np.ndarray  # -1: the context before the text
    score_begin: np.ndarray
    score_end: np.ndarray  # reads up to, but without, score_end - 1: the last target is not an input

    @property
    def num_scored(self) -> np.ndarray:
        return self.score_end - self.score_begin

    @property
    def num_read(self) -> np.ndarray:
        return self.score_end - 1 - self.read_begin


def score(
    model: Any,
    documents: "TokenizedDocuments",
    *,
    max_length: int,
    stride: int,
    batch_size: int,
    first_token_context: int | None = None,
    progress: Progress = SILENT,
) -> Scores:
    """Score every token of the documents' text exactly once, by the definition above.

    Args:
        model: a causal language model of transformers; it is scored in eval mode and left as it was.
        documents: the tokenised text; their prefix, if any, is context only, their suffix is left out.
        max_length: window, in tokens.
        stride: tokens newly scored in each window but the first; at most ``max_length``.
        batch_size: windows scored at once.
        first_token_context: token from which a document's first token is predicted when the documents have no
            prefix. ``None``: that token cannot be scored, and is counted in ``num_unscored``.
        progress: gets a bar in tokens.

    Raises:
        ConfigError: the window is longer than the model's positions, or shorter than the stride.
        ModelError: the tokenizer has ids that the model lacks, or the likelihood is not a number.
    """
    _check_window(model, max_length, stride)
    if len(documents.tokens):
        check_ids(model, int(documents.tokens.max()) + 1)
    begins = np.concatenate([[0], documents.ends[:-1]]).astype(np.int64) + documents.prefix_length
    lengths = documents.ends - documents.suffix_length - begins
    has_context = documents.prefix_length > 0 or first_token_context is not None
    windows = _plan(lengths, max_length, stride, has_context)
    nll = np.zeros(len(windows.document))
    with (
        evaluating(model),
        torch.no_grad(),
        progress.bar("scoring", int(windows.num_scored.sum()), "tokens") as advance,
    ):
        losses_of = None

        def scored(chosen: np.ndarray) -> np.ndarray:
            nonlocal losses_of
            batch = _tensors(documents, begins, windows, chosen, first_token_context)
            losses_of = losses_of or _loss_function(model)
            return _sum_by_window(losses_of(*batch), windows.num_scored[chosen])

        for chosen, sums in ranks.in_turns(batches_by_length(windows.num_read, batch_size), scored):
            if not np.isfinite(sums).all():
                document = int(windows.document[chosen][~np.isfinite(sums)].min())
                raise ModelError(
                    f"the model's loss on document {document + 1} is not a number",
                    hint="its weights may be damaged, or its training may have diverged",
                )
            nll[chosen] = sums
            advance(int(windows.num_scored[chosen].sum()))

    def by_document(values: np.ndarray) -> np.ndarray:
        return np.bincount(windows.document, weights=values, minlength=len(lengths))

    return Scores(
        nll=by_document(nll),
        num_tokens=by_document(windows.num_scored).astype(np.int64),
        num_words=np.asarray(documents.num_words, dtype=np.int64),
        num_bytes=np.asarray(documents.num_bytes, dtype=np.int64),
        window_document=windows.document,
        window_nll=nll,
        window_num_tokens=windows.num_scored,
        num_unscored=0 if has_context else len(lengths),
    )


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Put the model in eval mode, and back into the mode it was in."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _check_window(model: Any, max_length: int, stride: int) -> None:
    positions = num_positions(model)
    if positions is not None and max_length > positions:
        raise ConfigError(
            f"max_length is {max_length}, the model has {positions} positions",
            hint=f"use --max-length {positions} or less",
        )
    if stride > max_length:
        raise ConfigError(
            f"stride {stride} is longer than max_length {max_length}: tokens would be left out",
            hint=f"use --stride {max_length} or less",
        )


def _plan(lengths: np.ndarray, max_length: int, stride: int, has_context: bool) -> _Windows:
    """Cut documents of ``lengths`` (D,) tokens into windows."""
    lengths = lengths.astype(np.int64)
    counts = 1 + np.maximum(0, -(-(lengths - max_length) // stride))
    document = np.repeat(np.arange(len(lengths)), counts)
    index = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    score_end = np.minimum(index * stride + max_length, lengths[document])
    first = index == 0
    score_begin = np.where(first, 0 if has_context else 1, (index - 1) * stride + max_length)
    read_begin = np.where(first, score_begin - 1, np.minimum(index * stride, score_begin - 1))
    filled = score_begin < score_end
    return _Windows(document[filled], read_begin[filled], score_begin[filled], score_end[filled])


def batches_by_length(lengths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Indices (B,) of rows of like length, the longest first: what does not fit in memory fails at once."""
    order = np.argsort(-lengths, kind="stable")
    for begin in range(0, len(order), batch_size):
        yield order[begin : begin + batch_size]


def _tensors(
    documents: "TokenizedDocuments",
    begins: np.ndarray,
    windows: _Windows,
    chosen: np.ndarray,
    first_token_context: int | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return inputs (B, L) padded on the right, the mask (B, L) of positions that predict, and targets (M,).

    Padding needs no attention mask: no earlier position of a causal model sees it.
    """
    longest = int(windows.num_read[chosen].max())
    inputs = np.zeros((len(chosen), longest), dtype=np.int64)
    predicts = np.zeros((len(chosen), longest), dtype=bool)
    targets = []
    for row, window in enumerate(chosen):
        begin = begins[windows.document[window]]
        read, end = windows.read_begin[window], windows.score_end[window]
        skip = 0
        if read < 0 and documents.prefix_length == 0:
            assert first_token_context is not None  # else no window would read it
            inputs[row, 0] = first_token_context
            skip = 1
        inputs[row, skip : end - 1 - read] = documents.tokens[begin + read + skip : begin + end - 1]
        predicts[row, windows.score_begin[window] - 1 - read : end - 1 - read] = True
        targets.append(documents.tokens[begin + windows.score_begin[window] : begin + end])
    return (
        torch.from_numpy(inputs),
        torch.from_numpy(predicts),
        torch.from_numpy(np.concatenate(targets).astype(np.int64)),
    )


LossFunction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def _loss_function(model: Any) -> LossFunction:
    """Choose how losses (M,) are computed from a batch of :func:`_tensors`.

    Where the logits are those of a linear head and nothing else, the head is applied to the positions that
    predict alone, a piece at a time. Families that scale or cap their logits, and anything that is wrapped
    around a model, are told by a trial: there the model's own forward pass is used. A sharded model answers when
    all ranks ask, so each asks once a batch, whatever its length.
    """
    device = next(model.parameters()).device
    head = model.get_output_embeddings()
    vocabulary = model.get_input_embeddings().num_embeddings

    def by_head(inputs: torch.Tensor, predicts: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with hidden_states(model) as found:
            model(input_ids=inputs.to(device), use_cache=False)
        hidden = found[0][predicts.to(device)]
        size = max(1, _HEAD_LOGITS // vocabulary)
        pieces = zip(hidden.split(size), targets.to(device).split(size), strict=True)
        return torch.cat([_cross_entropy(head(piece), wanted) for piece, wanted in pieces])

    def by_forward(inputs: torch.Tensor, predicts: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        fitting = max(1, _FULL_LOGITS // (vocabulary * inputs.shape[1]))
        rows = len(inputs) if is_sharded(model) else fitting
        found = []
        wanted = targets.to(device).split([int(mask.sum()) for mask in predicts.split(rows)])
        for part, mask, target in zip(inputs.split(rows), predicts.split(rows), wanted, strict=True):
            logits = model(input_ids=part.to(device), use_cache=False).logits
            found.append(_cross_entropy(logits[mask.to(device)], target))
        return torch.cat(found)

    return by_head if has_plain_head(model) else by_forward


@contextmanager
def hidden_states(model: Any) -> Iterator[list[torch.Tensor]]:
    """Collect what the output layer of a model is given (B, L, H), and give it the last place only."""
    found: list[torch.Tensor] = []

    def keep(module: Any, arguments: tuple[torch.Tensor]) -> torch.Tensor:
        found.append(arguments[0])
        return arguments[0][:, -1:]

    hook = extract_model_from_parallel(model).get_output_embeddings().register_forward_pre_hook(keep)
    try:
        yield found
    finally:
        hook.remove()


@torch.no_grad()
def has_plain_head(model: Any) -> bool:
    """Whether a model's logits are what a linear layer over the vocabulary gives and nothing else, told by a trial.

    A sharded model has no such layer that could be used by itself.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or is_sharded(model):
        return False
    # not padding alone, whose embedding and logits may be 0: what caps or scales logits would not be seen
    trial = torch.arange(
        1, min(_TRIAL_TOKENS, num_positions(model) or _TRIAL_TOKENS) + 1, device=model.device
    )
    with evaluating(model), hidden_states(model) as found:
        logits = model(input_ids=trial[None] % head.out_features, use_cache=False).logits
    return len(found) == 1 and _same(head(found[0][:, -1:]), logits)


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")


def _sum_by_window(losses: torch.Tensor, counts: np.ndarray) -> np.ndarray:
    """Sum losses (M,) over consecutive runs of ``counts`` (B,), in float64."""
    return np.add.reduceat(losses.double().cpu().numpy(), np.cumsum(counts) - counts)
