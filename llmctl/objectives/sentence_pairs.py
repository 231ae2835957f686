"""Masked language modelling with a second question: does one passage follow the other?

Next-sentence prediction: the second passage is what follows in the document, or comes of another document, half and
half (Devlin et al., 2019, arXiv:1810.04805). Sentence-order prediction: two passages that follow each other stand in
their order, or the other way round (Lan et al., 2020, arXiv:1909.11942).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional

from llmctl.data.blocks import TokenizedDocuments
from llmctl.errors import DataError, ModelError
from llmctl.objectives.masked_lm import MaskedLM, Masker, only, sums_of_hidden
from llmctl.objectives.sentences import Passages, passages_of, sentence_endings
from llmctl.objectives.text import IGNORED, TextScores, num_targets, padded
from llmctl.objectives.token_scores import summary
from llmctl.progress import Progress

FOLLOWS, FOLLOWS_NOT = 0, 1  # as BertForPreTraining and AlbertForPreTraining count
_TRIES = 8  # to find a passage of another document


@dataclass(frozen=True)
class PairRows:
    """Pairs of passages, other ones in each round: ``[CLS] first [SEP] second [SEP]``, with hidden tokens.

    Args:
        passages: each becomes one pair a round, parted between two of its sentences.
        swapped: pairs that do not follow are the same two, swapped; else the second is of another document.
        frame: ids of the tokens that begin, part and end a pair.
        length: longest row, in tokens.
    """

    passages: Passages
    swapped: bool
    masker: Masker
    frame: tuple[int, int]
    length: int

    changes_by_epoch: ClassVar[bool] = True

    @property
    def lengths(self) -> np.ndarray:
        return self.passages.lengths + 3

    @property
    def sizes(self) -> np.ndarray:
        """(N,) int64, tokens of the text in each passage."""
        return self.passages.lengths

    @property
    def num_tokens(self) -> int:
        return int(self.sizes.sum())

    @property
    def description(self) -> str:
        second = "their halves swapped in half of them" if self.swapped else "half of them of two documents"
        return f"{len(self):,} pairs of passages of at most {self.length} tokens, {second}, {self.masker.description}"

    def __len__(self) -> int:
        return len(self.passages)

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Any]:
        """Pair ``index`` in round ``epoch``: "input_ids", "labels", "token_type_ids", int64 (n,), and "pair_label"."""
        epoch, index = place
        draw = self.masker.draw(epoch, index)
        first, second, label = self._pair(index, draw)
        begin, part = self.frame
        tokens = np.concatenate([[begin], first, [part], second, [part]])
        kinds = np.repeat([0, 1], [len(first) + 2, len(second) + 1])
        return {**self.masker.masked(tokens, draw), "token_type_ids": kinds, "pair_label": label}

    def _pair(self, index: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
        first, second = self.passages.parted(index, draw)
        if draw.random() < 0.5:
            return first, second, FOLLOWS
        if self.swapped:
            return second, first, FOLLOWS_NOT
        for _ in range(_TRIES):
            other = int(draw.integers(len(self)))
            if self.passages.document[other] != self.passages.document[index]:
                _, found = self.passages.parted(other, draw)
                return first, found[: self.length - 3 - len(first)], FOLLOWS_NOT
        return first, second, FOLLOWS


class SentencePairs(MaskedLM):
    """Hidden tokens, and pairs of passages; the loss is the sum of the means of both."""

    @property
    def swapped(self) -> bool:
        return self.config.objective == "mlm+sop"

    @property
    def what(self) -> str:  # type: ignore[override]
        second = "sentence-order" if self.swapped else "next-sentence"
        return f"masked language model with {second} prediction"

    @property
    def second(self) -> str:
        return "sop" if self.swapped else "nsp"

    def check_model(self, model: Any, name: str) -> None:
        if not (hasattr(model, "sop_classifier") or hasattr(getattr(model, "cls", None), "seq_relationship")):
            raise ModelError(
                f"{name} has no head that judges pairs of passages",
                hint="choose bert, albert or ernie, or --objective mlm",
            )

    def check_tokenizer(self) -> None:
        super().check_tokenizer()
        if self.tokenizer.cls_token_id is None or self.tokenizer.sep_token_id is None:
            raise ModelError(
                f"objective {self.config.objective} parts passages by the tokenizer's cls and sep tokens; it has none",
                hint="use the tokenizer of a BERT, or llmctl tokenizer train --architecture bert",
            )

    @cached_property
    def endings(self) -> np.ndarray:
        return sentence_endings(self.tokenizer)

    def training_set(self, features: TokenizedDocuments) -> PairRows:
        examples = self.judged_set(features)
        if not self.swapped and examples.passages.num_documents < 2:
            raise self._too_few(examples.passages, features)
        return examples

    def judged_set(self, features: TokenizedDocuments) -> PairRows:
        length = self.config.block_size
        passages = passages_of(features, self.endings, length - 3)
        if not len(passages):
            raise self._too_few(passages, features)
        frame = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        return PairRows(passages, self.swapped, self.masker, frame, length)

    def _too_few(self, passages: Passages, features: TokenizedDocuments) -> DataError:
        return DataError(
            f"objective {self.config.objective} needs documents of two sentences or more"
            f"{'' if self.swapped else ', two at least'}; "
            f"{passages.num_documents:,} of {len(features.ends):,} are such",
            hint="--objective mlm, or other documents: --sample-by paragraph makes several of a long text, "
            "--sample-by document longer ones",
        )

    def collate(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = super().collate(examples)
        batch["token_type_ids"] = padded([example["token_type_ids"] for example in examples], 0)
        batch["pair_label"] = torch.tensor([example["pair_label"] for example in examples])
        return batch

    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> torch.Tensor:
        """The sum of both means, in nats; of accumulated batches each counts by its share of hidden tokens."""
        logits, targets, pairs = self._logits(model, batch)
        found = functional.cross_entropy(logits.float(), targets) + functional.cross_entropy(
            pairs.float(), batch["pair_label"]
        )
        count = num_targets(batch["labels"])
        return found * count / (num_items if num_items is not None else count)

    def found(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return self._logits(model, batch)[0].argmax(dim=-1)

    def judge(
        self, model: Any, features: TokenizedDocuments, *, num_resamples: int, seed: int, progress: Progress
    ) -> TextScores:
        """As a masked model's, and the loss and accuracy of the second question."""
        examples = self.judged_set(features)
        hidden, pairs = np.zeros((len(examples), 3)), np.ones((len(examples), 3))

        def score(batch: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            logits, targets, answers = self._logits(model, batch)
            wanted = batch["pair_label"]
            losses = functional.cross_entropy(answers.float(), wanted, reduction="none")
            right = answers.argmax(dim=-1).eq(wanted)
            return sums_of_hidden(logits, targets, batch["labels"]), losses.cpu().numpy(), right.cpu().numpy()

        for chosen, found in self.judged(model, examples, "pairs", progress, score):
            hidden[chosen], pairs[chosen, 0], pairs[chosen, 2] = found
        return summary(
            {"masked": hidden, self.second: pairs},
            signature=f"{self.masker.signature}|length:{self.config.block_size}",
            num_resamples=num_resamples,
            seed=seed,
            unit="pairs",
        )

    def _logits(
        self, model: Any, batch: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits (M, V) and targets (M,) of the hidden tokens, and logits (B, 2) of the pairs."""
        labels = batch["labels"]
        places = labels.ne(IGNORED)
        inputs = {name: value for name, value in batch.items() if name not in ("labels", "pair_label")}
        with only(model, places):
            found = model(**inputs)
        answers = found.sop_logits if "sop_logits" in found else found.seq_relationship_logits
        return found.prediction_logits[0], labels[places], answers
