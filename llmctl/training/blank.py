"""The losses of the objectives on batches of blank tokens, for :mod:`llmctl.training.rehearsal`.

They are computed as the objectives compute them, but that all places are targets, or a share of them that is known:
which places are, only data tells.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from llmctl.inference.scoring import evaluating, hidden_states
from llmctl.objectives.chunked_loss import summed_cross_entropy
from llmctl.objectives.masked_lm import only
from llmctl.objectives.next_token import cross_entropy
from llmctl.objectives.seq2seq import logits_of_targets

Loss = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Blank:
    """A batch without words.

    Attributes:
        objective: a key of ``llmctl.purposes.MODEL_CLASSES``.
        rows, length: of what a model reads; length in tokens.
        written: tokens of a text to write, of an encoder-decoder.
        hidden: share of the tokens that a masked model looks for.
        chunked: whether the loss of a causal model may be computed by chunks: whole on its device, not compiled.
    """

    objective: str
    rows: int
    length: int
    written: int = 0
    hidden: float = 0.0
    chunked: bool = False

    def loss_of(self, model: Any) -> Loss:
        """What computes the loss of a model, of this batch."""
        if self.objective in ("clm", "rclm"):
            return self._chunked(model) if self.chunked and _has_plain_head(model) else self._whole(model)
        return self._others().get(self.objective, self._answered)(model)

    def _others(self) -> dict[str, Callable[[Any], Loss]]:
        masked = dict.fromkeys(("mlm", "mlm+nsp", "mlm+sop"), self._masked)
        return {**masked, "chat": self._whole, "seq2seq": self._written}

    def _ids(self, length: int) -> torch.Tensor:
        return torch.zeros(self.rows, length, dtype=torch.long)

    def _chunked(self, model: Any) -> Loss:
        head = model.get_output_embeddings()

        def loss() -> torch.Tensor:
            with hidden_states(model) as found:
                model(input_ids=self._ids(self.length), use_cache=False)
            targets = self._ids(self.length).flatten()
            states = found[0].flatten(0, 1)[torch.arange(len(targets))]
            return summed_cross_entropy(states, head.weight, head.bias, targets)

        return loss

    def _whole(self, model: Any) -> Loss:
        def loss() -> torch.Tensor:
            logits = model(input_ids=self._ids(self.length), use_cache=False).logits
            return cross_entropy(logits[:, -self.length :], self._ids(self.length))

        return loss

    def _masked(self, model: Any) -> Loss:
        number = max(1, round(self.rows * self.length * self.hidden))
        places = torch.arange(number) // self.length, torch.arange(number) % self.length

        def loss() -> torch.Tensor:
            with only(model, places):
                found = model(input_ids=self._ids(self.length))
            logits = found["logits"] if "logits" in found else found["prediction_logits"]
            return cross_entropy(logits, torch.zeros(1, number, dtype=torch.long))

        return loss

    def _written(self, model: Any) -> Loss:
        def loss() -> torch.Tensor:
            batch = {"input_ids": self._ids(self.length), "labels": self._ids(self.written)}
            batch["attention_mask"] = torch.ones_like(batch["input_ids"])
            return cross_entropy(logits_of_targets(model, batch), batch["labels"])

        return loss

    def _answered(self, model: Any) -> Loss:
        """Of heads that answer with few numbers, whose loss weighs nothing beside the body."""

        def loss() -> torch.Tensor:
            read = self._ids(self.length)
            found = model(input_ids=read, attention_mask=torch.ones_like(read))
            answers = [value for value in found.values() if isinstance(value, torch.Tensor)]
            return torch.stack([answer.float().logsumexp(-1).sum() for answer in answers]).sum()

        return loss


def _has_plain_head(model: Any) -> bool:
    """Whether the logits are what a linear output layer gives, untouched: the very tensor.

    Nothing else can be told without values; where the training finds that they are equal it needs less.
    """
    given: list[Any] = []
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear):
        return False
    hook = head.register_forward_hook(lambda module, arguments, output: given.append(output))
    try:
        with evaluating(model), torch.no_grad():
            found = model(input_ids=torch.zeros(1, 2, dtype=torch.long), use_cache=False).logits
    finally:
        hook.remove()
    return len(given) == 1 and found is given[0]
