"""Conversations: the next token of what the assistant says, given all before it (Ouyang et al., 2022)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from llmctl import models
from llmctl.errors import DataError
from llmctl.metrics import Scores, compute
from llmctl.objectives.chat_template import give_template, stop_at_turns
from llmctl.objectives.conversations import ConversationFeatures, encode_conversations, segments
from llmctl.objectives.features import pad, padding_id
from llmctl.objectives.next_token import IGNORED, cross_entropy, logits_at_targets
from llmctl.objectives.packing import PackedRows, check_packing
from llmctl.objectives.task import Answered, Predictions, TaskObjective
from llmctl.progress import SILENT, Progress, many
from llmctl.purposes import MODEL_CLASSES
from llmctl.tasks import Task

if TYPE_CHECKING:
    from llmctl.data.examples import Examples

_LOGITS = 1 << 27  # that a forward pass of judging may give back: 512 MB
_TRIED = 20  # conversations among which one is found to show
_SEGMENTS_SHOWN = 8
_SHOWN = 100  # characters of a segment


@dataclass(frozen=True)
class Chat(TaskObjective):
    """A causal model reads the whole conversation; the assistant's turns are learnt, with the marks that end them.

    There is nothing to answer: a model is judged by how likely it finds the assistant's turns.

    Attributes:
        packing: whether rows of training hold several conversations.
        label_smoothing: share of the target's probability that is spread over the vocabulary, in training.
        given_template: how a tokenizer came by a chat template that had none.
    """

    packing: bool = False
    label_smoothing: float = 0.0
    given_template: str | None = None

    model_class: ClassVar[str] = MODEL_CLASSES["chat"]
    unit: ClassVar[str] = "conversations"

    @classmethod
    def for_training(cls, task: Task, config: Any, tokenizer: Any, splits: Mapping[str, "Examples"]) -> Self:
        return cls._made(
            task,
            config,
            tokenizer,
            packing=config.packing,
            label_smoothing=config.label_smoothing_factor,
            given_template=give_template(tokenizer),
        )

    @classmethod
    def for_model(cls, task: Task, config: Any, tokenizer: Any, model_config: Any) -> Self:
        return cls._made(
            task,
            config,
            tokenizer,
            given_template=give_template(tokenizer),
        )

    def aligned(self, examples: "Examples", progress: Progress) -> Self:
        if self.given_template:
            progress.warn(self.given_template)
        return self

    def model_settings(self) -> dict[str, Any]:
        return {}

    def prepare(self, model: Any) -> None:
        """Have plain ``generate`` stop where the assistant's turn ends.

        Raises:
            ModelError: the model reads text both ways.
            ConfigError: it cannot read packed rows.
        """
        models.check_causal(model, f"a {model.config.model_type} model")
        if self.packing:
            check_packing(model)
        stop_at_turns(model, self.tokenizer)

    def account(self, splits: Mapping[str, "Examples"], progress: Progress) -> None:
        """Messages of each split, and one conversation with what is learnt of it."""
        if self.given_template:
            progress.warn(self.given_template)
        for examples in splits.values():
            said = Counter(role for row in examples.table.column("messages") for role in _roles(row))
            told = ", ".join(f"{count:,} of the {role}" for role, count in said.most_common())
            progress.note(f"{examples.name}: {many(len(examples), 'conversation')}, messages: {told}")
        self._show(splits["train"], progress)

    def _show(self, examples: "Examples", progress: Progress) -> None:
        """One conversation as the model reads it."""
        try:
            features = self.encode(examples.first(_TRIED), progress=SILENT)
        except DataError:
            return  # complained of when all are encoded
        progress.note(f"{features.examples.place(0)} as the model reads it, and what is learnt:")
        parts = segments(features, 0)
        for ids, learnt in parts[:_SEGMENTS_SHOWN]:
            text = repr(self.tokenizer.decode(ids, clean_up_tokenization_spaces=False))
            if len(text) > _SHOWN:
                text = f"{text[: _SHOWN // 2]} ... {text[-_SHOWN // 2 :]}"
            progress.note(f"  {'learnt' if learnt else 'masked'} {len(ids):>5,}  {text}")
        if len(parts) > _SEGMENTS_SHOWN:
            progress.note(f"  ... and {len(parts) - _SEGMENTS_SHOWN} more parts")

    def encode(self, examples: "Examples", *, progress: Progress) -> ConversationFeatures:
        assert self.settings.max_length
        return encode_conversations(
            self.tokenizer, examples, max_length=self.settings.max_length, progress=progress
        )

    def training_set(self, features: ConversationFeatures) -> ConversationFeatures | PackedRows:
        if not self.packing:
            return features
        assert self.settings.max_length
        return PackedRows(features, self.settings.max_length)

    def collate(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Stack rows; their targets are shifted already, so that Trainer counts ``shift_labels`` as they are.

        Packed rows have no attention mask: their padding is one more example, which nothing is learnt from.
        """
        batch = pad(examples, padding_id(self.tokenizer))
        if "position_ids" in examples[0]:
            length = batch.pop("attention_mask").shape[1]
            batch["position_ids"] = torch.stack(
                [
                    torch.cat([row["position_ids"], torch.arange(length - len(row["position_ids"]))])
                    for row in examples
                ]
            )
        labels = pad_sequence([row["labels"] for row in examples], batch_first=True, padding_value=IGNORED)
        return {**batch, "labels": labels, "shift_labels": labels}

    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> torch.Tensor:
        """Cross-entropy of the assistant's tokens, each given those before it."""
        logits, targets = logits_at_targets(model, _inputs(batch), batch["shift_labels"])
        total = cross_entropy(logits, targets, smoothing=self.label_smoothing)
        return total / (num_items if num_items is not None else targets.ne(IGNORED).sum())

    def answer(self, model: Any, batch: dict[str, Any]) -> Answered:
        """The negative log-likelihood of the assistant's tokens, and how many they are, of each conversation."""
        answers: list[tuple[float, int]] = []
        width = int(batch["shift_labels"].ne(IGNORED).any(dim=0).sum())
        rows = max(1, _LOGITS // (max(1, width) * model.config.get_text_config().vocab_size))
        for begin in range(0, len(batch["labels"]), rows):
            part = {name: value[begin : begin + rows] for name, value in batch.items()}
            logits, targets = logits_at_targets(model, _inputs(part), part["shift_labels"])
            losses = cross_entropy(logits, targets, reduction="none").view(targets.shape)
            counts = targets.ne(IGNORED).sum(dim=1)
            answers += zip(losses.double().sum(dim=1).tolist(), counts.tolist(), strict=True)
        return Answered(answers, None, sum(nll for nll, _ in answers), sum(count for _, count in answers))

    def gold(self, features: ConversationFeatures) -> np.ndarray:
        """(N,) tokens that the assistant says in each conversation."""
        return features.num_learnt

    def judge(
        self,
        features: ConversationFeatures,
        predictions: Predictions,
        *,
        metrics: Sequence[str],
        num_resamples: int,
        seed: int,
    ) -> Scores:
        """Perplexity of the assistant's tokens; conversations are resampled."""
        return compute(
            metrics,
            np.asarray(predictions.answers, dtype=np.float64),
            self.gold(features),
            num_resamples=num_resamples,
            seed=seed,
        )

    def record(self, features: ConversationFeatures, predictions: Predictions, index: int) -> dict[str, Any]:
        """The conversation, and its tokens that were predicted with their negative log-likelihood in nats."""
        nll, count = predictions.answers[index]
        messages = features.examples.table.column("messages")[index].as_py()
        return {"messages": messages, "nll": round(nll, 6), "tokens": count}


def _inputs(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in batch.items() if name not in ("labels", "shift_labels")}


def _roles(row: Any) -> list[str]:
    roles: list[str] = row.values.field("role").to_pylist()
    return roles
