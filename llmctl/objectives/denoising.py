"""Denoising for encoder-decoders: read a text with gaps, write what they hold (Raffel et al., 2020, arXiv:1910.10683).

T5's kin find a numbered sentinel in each gap and write the gaps alone, each behind its sentinel. Families whose
tokenizers have a mask token instead, such as BART, find that in each gap and write the whole text (text infilling,
Lewis et al., 2020, arXiv:1910.13461).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional

from llmctl import inference
from llmctl.data.blocks import TokenizedDocuments
from llmctl.errors import ConfigError, ModelError
from llmctl.objectives.next_token import cross_entropy
from llmctl.objectives.rows import RowExamples, rows_of
from llmctl.objectives.seq2seq import logits_of_targets
from llmctl.objectives.text import (
    IGNORED,
    SAMPLE_TOKENS,
    TextObjective,
    TextScores,
    num_targets,
    padded,
)
from llmctl.objectives.token_scores import summary
from llmctl.progress import Progress


def gaps(length: int, share: float, mean_span: float, draw: np.random.Generator) -> np.ndarray:
    """Which of ``length`` tokens (2 or more) lie in gaps, bool (length,).

    A fixed number of tokens in a fixed number of gaps; how they are cut up is drawn, each way alike. The text begins
    outside a gap and ends within one, as in T5's ``random_spans_noise_mask``.

    Args:
        share: of the tokens that lie in gaps.
        mean_span: tokens in a gap, on average.
    """
    missing = min(max(round(length * share), 1), length - 1)
    count = min(max(round(missing / mean_span), 1), missing, length - missing)
    sizes = np.stack([_parts(length - missing, count, draw), _parts(missing, count, draw)], axis=1)
    return np.repeat(np.arange(2 * count) % 2 == 1, sizes.ravel())


def _parts(total: int, count: int, draw: np.random.Generator) -> np.ndarray:
    """``count`` positive numbers whose sum is ``total``."""
    cuts = np.sort(draw.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(cuts, prepend=0, append=total)


@dataclass(frozen=True)
class Corrupted:
    """How a row of tokens becomes what is read and what is written.

    Attributes:
        sentinels: ids in the order of the gaps; a single one stands in every gap, and the whole text is written.
        end: id that ends both, ``None`` where there is none.
    """

    sentinels: tuple[int, ...]
    end: int | None
    share: float
    mean_span: float

    @property
    def writes_all(self) -> bool:
        return len(self.sentinels) == 1

    def __call__(self, tokens: np.ndarray, draw: np.random.Generator) -> dict[str, np.ndarray]:
        """Return "input_ids" and "labels", int64, of tokens (n,)."""
        if len(tokens) < 2:
            return {"input_ids": self._ended(tokens), "labels": self._ended(tokens)}
        missing = gaps(len(tokens), self.share, self.mean_span, draw)
        read = self._with_sentinels(tokens, missing)
        written = tokens if self.writes_all else self._with_sentinels(tokens, ~missing)
        return {"input_ids": self._ended(read), "labels": self._ended(written)}

    def _with_sentinels(self, tokens: np.ndarray, left_out: np.ndarray) -> np.ndarray:
        """The tokens, with a sentinel for each run that is left out."""
        begins = left_out & ~np.concatenate([[False], left_out[:-1]])
        found = tokens.copy()
        number = np.arange(int(begins.sum())) if not self.writes_all else np.zeros(int(begins.sum()), int)
        found[begins] = np.array(self.sentinels)[number]
        return found[begins | ~left_out]

    def _ended(self, tokens: np.ndarray) -> np.ndarray:
        return tokens if self.end is None else np.append(tokens, self.end)


@dataclass(frozen=True)
class CorruptedRows(RowExamples):
    """Rows of a text with other gaps in each round, the same ones whenever a round comes again."""

    corrupted: Corrupted
    seed: int

    changes_by_epoch: ClassVar[bool] = True

    @property
    def description(self) -> str:
        return (
            f"{super().description}, {100 * self.corrupted.share:.0f} % of each in gaps, others in each epoch"
        )

    def __getitem__(self, place: tuple[int, int]) -> dict[str, np.ndarray]:
        """Row ``index`` in round ``epoch``."""
        epoch, index = place
        return self.corrupted(self.rows[index], np.random.default_rng([self.seed, epoch, index]))


class Denoising(TextObjective):
    """Rows of ``block_size`` tokens with gaps; the decoder learns what they hold."""

    what = "encoder-decoder, trained to fill gaps,"

    @cached_property
    def corrupted(self) -> Corrupted:
        config, tokenizer = self.config, self.tokenizer
        return Corrupted(
            self._sentinels(), tokenizer.eos_token_id, config.mlm_probability, config.mean_span_length
        )

    def _sentinels(self) -> tuple[int, ...]:
        vocabulary = self.tokenizer.get_vocab()
        found: list[int] = []
        while (name := f"<extra_id_{len(found)}>") in vocabulary:
            found.append(vocabulary[name])
        if found:
            return tuple(found)
        return () if self.tokenizer.mask_token_id is None else (self.tokenizer.mask_token_id,)

    def check_tokenizer(self) -> None:
        sentinels = self._sentinels()
        if not sentinels:
            raise ModelError(
                "the tokenizer has neither sentinels (<extra_id_0>) nor a mask token to stand in gaps",
                hint="use the tokenizer of a T5 or BART, or llmctl tokenizer train --architecture t5",
            )
        config = self.config
        needed = round(config.block_size * config.mlm_probability / config.mean_span_length)
        if 1 < len(sentinels) < needed:
            raise ConfigError(
                f"blocks of {config.block_size} tokens have {needed} gaps, the tokenizer {len(sentinels)} sentinels",
                hint="lower --block-size or --mlm-probability, or raise --mean-span-length",
            )

    def training_set(self, features: TokenizedDocuments) -> CorruptedRows:
        length = self.config.block_size - 1  # and the end
        rows = rows_of(features, length, packing=self.packs(features))
        return CorruptedRows(rows, self.corrupted, self.config.seed)

    def collate(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        inputs = [torch.as_tensor(example["input_ids"]) for example in examples]
        return {
            "input_ids": padded(inputs, self.tokenizer.pad_token_id),
            "attention_mask": padded([torch.ones_like(row) for row in inputs], 0),
            "labels": padded([example["labels"] for example in examples], IGNORED),
        }

    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> torch.Tensor:
        """Cross-entropy of the tokens to write, in nats, each given those before it."""
        targets = batch["labels"]
        total = cross_entropy(logits_of_targets(model, batch), targets)
        return total / (num_items if num_items is not None else num_targets(targets))

    def sample(self, model: Any, features: TokenizedDocuments) -> str:
        """The first row with its gaps, and what the model writes for them."""
        row = self.training_set(features).rows[0][:SAMPLE_TOKENS]
        example = self.corrupted(row, np.random.default_rng(self.config.seed))
        read, wanted = example["input_ids"], example["labels"]
        with inference.evaluating(model), torch.no_grad():
            ids = torch.tensor(read[None], device=model.device)
            written = model.generate(ids, do_sample=False, max_new_tokens=len(wanted))[0]
        texts = [self.tokenizer.decode(each).strip() for each in (read, written[1:])]
        return " -> ".join(texts)

    def judge(
        self, model: Any, features: TokenizedDocuments, *, num_resamples: int, seed: int, progress: Progress
    ) -> TextScores:
        """``loss``, ``perplexity`` and ``written_accuracy`` of gaps that are always the same."""
        examples = self.training_set(features)
        sums = np.zeros((len(examples), 3))

        def score(batch: dict[str, torch.Tensor]) -> np.ndarray:
            return _sums(logits_of_targets(model, batch), batch["labels"])

        for chosen, found in self.judged(model, examples, "rows", progress, score):
            sums[chosen] = found
        config = self.config
        return summary(
            {"written": sums},
            signature=f"denoising|share:{config.mlm_probability:g}|span:{config.mean_span_length:g}"
            f"|length:{config.block_size}|seed:{config.seed}",
            num_resamples=num_resamples,
            seed=seed,
            unit="rows",
        )


def _sums(logits: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """By row, (B, 3): negative log-likelihood of its targets in nats, their number, those found."""
    known = labels.ne(IGNORED)
    losses = functional.cross_entropy(logits.float().mT, labels, ignore_index=IGNORED, reduction="none")
    found = logits.argmax(dim=-1).eq(labels) & known
    sums = torch.stack([losses.double().sum(1), known.sum(1).double(), found.sum(1).double()], dim=1)
    return sums.cpu().numpy()
