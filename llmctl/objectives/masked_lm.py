"""Masked language modelling: find the hidden tokens of a text (Devlin et al., 2019, arXiv:1810.04805)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, ClassVar

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel
from torch.nn import functional

from llmctl import inference
from llmctl.data.blocks import IGNORED, TokenizedDocuments
from llmctl.errors import ModelError
from llmctl.objectives.masking import Masking, Vocabulary, disguised, hidden_tokens
from llmctl.objectives.rows import RowExamples, rows_of
from llmctl.objectives.text import (
    JUDGED_ROUND,
    SAMPLE_TOKENS,
    TextObjective,
    TextScores,
    num_targets,
    padded,
)
from llmctl.objectives.token_scores import summary
from llmctl.progress import Progress


@dataclass(frozen=True)
class Masker:
    """Hides a share of a row's tokens; what is hidden follows from seed, round and the row's number alone."""

    vocabulary: Vocabulary
    masking: Masking
    probability: float
    seed: int

    @property
    def description(self) -> str:
        return f"{100 * self.probability:.0f} % of each hidden, others in each epoch"

    @property
    def signature(self) -> str:
        return f"masked|masking:{self.masking}|probability:{self.probability:g}|seed:{self.seed}"

    def draw(self, epoch: int, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, index])

    def masked(self, tokens: np.ndarray, draw: np.random.Generator) -> dict[str, np.ndarray]:
        """Return "input_ids" and "labels", int64 (n,), -100 where nothing is hidden."""
        hidden = hidden_tokens(
            tokens, self.vocabulary, masking=self.masking, probability=self.probability, draw=draw
        )
        return {
            "input_ids": disguised(tokens, hidden, self.vocabulary, draw),
            "labels": np.where(hidden, tokens, IGNORED),
        }


@dataclass(frozen=True)
class MaskedRows(RowExamples):
    """Rows of a text in which other tokens are hidden in each round, the same ones whenever a round comes again."""

    masker: Masker

    changes_by_epoch: ClassVar[bool] = True

    @property
    def description(self) -> str:
        return f"{super().description}, {self.masker.description}"

    def __getitem__(self, place: tuple[int, int]) -> dict[str, np.ndarray]:
        """Row ``index`` in round ``epoch``, as :meth:`Masker.masked`."""
        epoch, index = place
        return self.masker.masked(self.rows[index], self.masker.draw(epoch, index))


class MaskedLM(TextObjective):
    """Documents in rows; a share of each row's tokens is hidden, and only those are looked at by the head."""

    what = "masked language model"

    @cached_property
    def masker(self) -> Masker:
        config = self.config
        vocabulary = Vocabulary.of(self.tokenizer)
        return Masker(vocabulary, config.masking, config.mlm_probability, config.seed)

    def check_tokenizer(self) -> None:
        if self.tokenizer.mask_token_id is None:
            name = self.config.tokenizer or self.config.model or "the tokenizer"
            raise ModelError(
                f"{name} has no mask token, which objective {self.config.objective} hides tokens with",
                hint="use the tokenizer of a masked model, or llmctl tokenizer train --architecture bert",
            )

    def training_set(self, features: TokenizedDocuments) -> Any:
        return MaskedRows(
            rows_of(features, self.config.block_size, packing=self.packs(features)), self.masker
        )

    def judged_set(self, features: TokenizedDocuments) -> Any:
        """As :meth:`training_set`, of what may be too little to learn from."""
        return self.training_set(features)

    def collate(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Rows of a batch, padded to its longest; an attention mask is there only where there is padding."""
        lengths = torch.tensor([len(example["input_ids"]) for example in examples])
        batch = {
            "input_ids": padded([example["input_ids"] for example in examples], self.tokenizer.pad_token_id),
            "labels": padded([example["labels"] for example in examples], IGNORED),
        }
        if lengths.min() < lengths.max():
            batch["attention_mask"] = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
        return batch

    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> torch.Tensor:
        """Cross-entropy of the hidden tokens, in nats."""
        logits, targets = logits_of_hidden(model, batch)
        total = functional.cross_entropy(logits.float(), targets, reduction="sum")
        return total / (num_items if num_items is not None else num_targets(batch["labels"]))

    def sample(self, model: Any, features: TokenizedDocuments) -> str:
        """The first row with what the model puts for its hidden tokens: ``[right]``, ``[wrong, not right]``."""
        batch = self.collate([self.judged_set(features)[JUDGED_ROUND, 0]])
        batch = {name: value.to(model.device) for name, value in batch.items()}
        with inference.evaluating(model), torch.no_grad():
            found = iter(self.found(model, batch).tolist())
        shown = []
        for token, hidden in zip(batch["input_ids"][0].tolist(), batch["labels"][0].tolist(), strict=True):
            if hidden == IGNORED:
                shown.append(token)
                continue
            names = [inference.decoded(self.tokenizer, [each]).strip() for each in (next(found), hidden)]
            shown.append(" [" + ", not ".join(dict.fromkeys(names)) + "] ")
        runs = groupby(shown[:SAMPLE_TOKENS], key=lambda item: isinstance(item, str))
        parts = ("".join(run) if told else inference.decoded(self.tokenizer, list(run)) for told, run in runs)
        return " ".join("".join(parts).split())

    def found(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The likeliest tokens (M,) for the M hidden ones of a batch."""
        return logits_of_hidden(model, batch)[0].argmax(dim=-1)

    def judge(
        self, model: Any, features: TokenizedDocuments, *, num_resamples: int, seed: int, progress: Progress
    ) -> TextScores:
        """``loss``, ``perplexity`` and ``masked_accuracy`` of tokens hidden by masks that are always the same."""
        examples = self.judged_set(features)
        sums = np.zeros((len(examples), 3))

        def score(batch: dict[str, torch.Tensor]) -> np.ndarray:
            return sums_of_hidden(*logits_of_hidden(model, batch), batch["labels"])

        for chosen, found in self.judged(model, examples, "rows", progress, score):
            sums[chosen] = found
        return summary(
            {"masked": sums},
            signature=f"{self.masker.signature}|length:{self.config.block_size}",
            num_resamples=num_resamples,
            seed=seed,
            unit="rows",
        )


def logits_of_hidden(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (M, V) and targets (M,) of the M hidden tokens; the head computes no others."""
    labels = batch["labels"]
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    hidden = labels.ne(IGNORED)
    with only(model, hidden):
        logits = model(**inputs).logits
    return logits[0], labels[hidden]


@contextmanager
def only(model: Any, places: torch.Tensor | tuple[torch.Tensor, ...]) -> Iterator[None]:
    """Let the head see of the body's last layer (B, L, H) the M chosen places alone, as one row (1, M, H).

    A masked language model's head looks at each place by itself, so its logits are the same, and five sixths of
    them, the largest matrix of a small model, are not computed.

    Args:
        model: of a family whose body is a module of its own; it may be wrapped for parallel training.
        places: (B, L) bool, or the indices of both dimensions, (M,) each.
    """

    def choose(module: Any, arguments: Any, output: Any) -> Any:
        output["last_hidden_state"] = output.last_hidden_state[places][None]
        return output

    body = extract_model_from_parallel(model).base_model
    hook = body.register_forward_hook(choose)
    try:
        yield
    finally:
        hook.remove()


def sums_of_hidden(logits: torch.Tensor, targets: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """By row, (B, 3): the negative log-likelihood of its hidden tokens in nats, their number, those found.

    Args:
        logits: (M, V).
        targets: (M,).
        labels: (B, L), M of them targets.
    """
    hidden = labels.ne(IGNORED)
    rows = hidden.nonzero()[:, 0]
    losses = functional.cross_entropy(logits.float(), targets, reduction="none").double()
    found = logits.argmax(dim=-1).eq(targets).double()
    values = torch.stack([losses, torch.ones_like(losses), found], dim=1)
    sums = torch.zeros(len(labels), 3, dtype=torch.float64, device=labels.device)
    return sums.index_add_(0, rows, values).cpu().numpy()
