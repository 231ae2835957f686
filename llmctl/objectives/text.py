"""Objectives over plain text: what each must say, and what all of them share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from llmctl import ranks, runs
from llmctl.config import PretrainConfig
from llmctl.data.blocks import IGNORED as IGNORED
from llmctl.data.blocks import TokenizedDocuments, tokenize
from llmctl.data.documents import Documents
from llmctl.inference.scoring import batches_by_length, evaluating
from llmctl.metrics.intervals import Interval
from llmctl.progress import Progress, many
from llmctl.purposes import MODEL_CLASSES

ScoresT = TypeVar("ScoresT")

# share of the tokens in documents longer than a block from which on documents are packed
_LONG_DOCUMENTS = 0.05
JUDGED_ROUND = 2**31 - 1
"""The round whose masks and gaps a model is judged by: no training comes so far."""
SAMPLE_TOKENS = 40
"""How much a person is shown while a model learns."""


@dataclass(frozen=True)
class TextScores:
    """How well a model knows a text.

    Attributes:
        values: score name -> value with its interval; ``loss`` comes without one.
        n: units that the intervals resample.
        unit: what they are called.
        num_tokens: tokens that were scored.
        signature: all that decides the numbers besides model and text.
    """

    values: dict[str, Interval]
    n: int
    unit: str
    num_tokens: int
    signature: str


@dataclass(frozen=True)
class TextObjective(ABC):
    """A learning problem over documents that need no labels.

    Attributes:
        config: how documents become examples.
        tokenizer: fast, of transformers.
    """

    config: PretrainConfig
    tokenizer: Any

    what: ClassVar[str]
    """What such a model is, as its card says."""
    reads_backwards: ClassVar[bool] = False
    """Whether it is given texts in reverse."""
    remark: ClassVar[str] = ""
    """What its card says besides, as a paragraph of its own."""

    @property
    def model_class(self) -> str:
        """Name of the ``transformers`` Auto class that has the head."""
        return MODEL_CLASSES[self.config.objective]

    def check_tokenizer(self) -> None:  # noqa: B027
        """Refuse a tokenizer that lacks what the objective needs.

        Raises:
            ModelError: naming the token.
        """

    def check_model(self, model: Any, name: str) -> None:  # noqa: B027
        """Refuse a model that cannot learn this, or could learn it without understanding anything.

        Raises:
            ModelError: and what to choose instead.
        """

    def encode(self, documents: Documents, *, progress: Progress) -> TokenizedDocuments:
        """The documents' tokens, from the cache or into it."""
        features = tokenize(documents, self.tokenizer, cache_dir=runs.cache_dir(), progress=progress)
        per_byte = features.num_bytes.sum() / max(len(features.tokens), 1)
        progress.note(
            f"{documents.name}: {many(len(features.ends), 'document')}, {many(len(features.tokens), 'token')} "
            f"({per_byte:.2f} bytes a token)"
        )
        return self.arranged(features)

    def arranged(self, features: TokenizedDocuments) -> TokenizedDocuments:
        """The documents as the objective reads them."""
        return features

    def packs(self, features: TokenizedDocuments) -> bool:
        """Whether examples run over the borders of documents.

        Where next to no document is longer than a block, each has a row of its own: none is read without its
        beginning, and nothing is padded to speak of, as rows of like length make a batch.
        """
        if self.config.packing is not None:
            return self.config.packing
        sizes = np.diff(features.ends, prepend=0)
        return bool(sizes[sizes > self.config.block_size].sum() > _LONG_DOCUMENTS * sizes.sum())

    @abstractmethod
    def training_set(self, features: TokenizedDocuments) -> Any:
        """A map-style dataset of training examples.

        Raises:
            DataError: the text holds nothing to learn from.
        """

    @abstractmethod
    def collate(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Stack examples into one batch."""

    @abstractmethod
    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> torch.Tensor:
        """The training loss: a scalar, the sum over targets divided by ``num_items`` (``None``: the batch's own)."""

    @abstractmethod
    def judge(
        self,
        model: Any,
        features: TokenizedDocuments,
        *,
        num_resamples: int,
        seed: int,
        progress: Progress,
    ) -> TextScores:
        """Score a model, with intervals."""

    @abstractmethod
    def sample(self, model: Any, features: TokenizedDocuments) -> str:
        """What a model does with the beginning of a text, for a person to read while it learns.

        It depends on the model alone, and draws nothing from the random streams of the training.
        """

    def judged(
        self,
        model: Any,
        examples: Any,
        unit: str,
        progress: Progress,
        score: Callable[[dict[str, torch.Tensor]], ScoresT],
    ) -> Iterator[tuple[np.ndarray, ScoresT]]:
        """What ``score`` gives of each batch: its indices (B,) and that, which must be on the CPU.

        The batches are of examples of like length, on the model's device, each as in :data:`JUDGED_ROUND`; the model is
        in evaluation mode, and nothing keeps gradients. Ranks share them.
        """
        lengths = np.zeros(len(examples)) if examples.lengths is None else examples.lengths

        def scored(chosen: np.ndarray) -> ScoresT:
            batch = self.collate([examples[JUDGED_ROUND, int(index)] for index in chosen])
            return score({name: value.to(model.device) for name, value in batch.items()})

        batches = batches_by_length(lengths, self.config.per_device_eval_batch_size)
        with (
            evaluating(model),
            torch.no_grad(),
            progress.bar("judging", len(examples), unit) as advance,
        ):
            for chosen, found in ranks.in_turns(batches, scored):
                yield chosen, found
                advance(len(chosen))

    def evaluate(self, model: Any, features: TokenizedDocuments, *, progress: Progress) -> dict[str, float]:
        """The scores without intervals; ``loss`` decides which checkpoint is best."""
        scores = self.judge(model, features, num_resamples=0, seed=0, progress=progress)
        return {name: score.value for name, score in scores.values.items()}


def padded(rows: Sequence[np.ndarray | torch.Tensor], fill: int) -> torch.Tensor:
    """Stack rows (n,) of different lengths into (B, longest), int64, padded on the right."""
    return pad_sequence([torch.as_tensor(row) for row in rows], batch_first=True, padding_value=fill)


def num_targets(labels: torch.Tensor) -> torch.Tensor:
    """How many labels are targets, a scalar of int64."""
    return labels.ne(IGNORED).sum()
