"""Losses and gradients that are NaN or infinite, and batches with nothing to learn from: seen before the update."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from transformers import TrainerCallback

from llmctl import ranks
from llmctl.errors import ModelError
from llmctl.sharding import part_of

MOST_IN_A_ROW = 10
"""So many steps in a row are skipped with ``--on-nonfinite skip``; then the training has diverged."""
_SHOWN = 16  # examples that a message names


class Finite(TrainerCallback):
    """Ends the training, or leaves out the update, before a loss or gradient that is not finite reaches the weights.

    A step of batches without any target is left out and told, too.

    Args:
        on_nonfinite: what to do.
        tell: given an event for ``metrics.jsonl`` and the person who watches.
        examples_of: the examples of a batch of this step; see :meth:`ObjectiveTrainer.examples_of`.
        leave_out: has the step at hand change nothing.

    Attributes:
        skipped: steps that were left out for numbers that are not finite, in this session.
        empty: steps that had nothing to learn from, in this session.
    """

    def __init__(
        self,
        on_nonfinite: Literal["stop", "skip"],
        tell: Callable[[Any, Mapping[str, Any]], None],
        examples_of: Callable[[int], list[int]],
        leave_out: Callable[[], None],
    ) -> None:
        self.on_nonfinite = on_nonfinite
        self.tell = tell
        self.examples_of = examples_of
        self.leave_out = leave_out
        self.skipped = self.empty = 0
        self._in_a_row = 0
        self._losses: list[torch.Tensor] = []
        self._norm: torch.Tensor | None = None
        self._targets: Any = None

    def saw_loss(self, loss: torch.Tensor) -> None:
        """The loss of one batch of the step."""
        self._losses.append(loss)

    def saw_norm(self, norm: torch.Tensor) -> None:
        """The norm of the step's gradients."""
        self._norm = norm

    def saw_targets(self, count: Any) -> None:
        """What the step's batches have to predict, all processes together; ``None``: not known."""
        self._targets = count

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        losses, norm, targets = self._losses, self._norm, self._targets
        self._losses, self._norm = [], None
        if targets is not None and int(targets) == 0:
            self.empty += 1
            self.leave_out()
            examples = [place for each in ranks.gather(self._examples(range(len(losses)))) for place in each]
            event = {"skipped": "no target", "examples": examples}
            self.tell(state, event)
            return
        seen = torch.stack([*losses, *([] if norm is None else [norm.to(losses[0].device, losses[0].dtype)])])
        finite = seen.isfinite().tolist()  # waits for the device, once a step
        if not ranks.largest(not all(finite)):
            self._in_a_row = 0
            return
        bad = [number for number, good in enumerate(finite[: len(losses)]) if not good]
        mine = f"the loss is {losses[bad[0]].item()}" if bad else None
        told = ranks.gather((mine, self._examples(bad or range(len(losses)))))
        # Of the ranks those whose loss it is; where it is nobody's, all of them.
        whose = [each for each in told if each[0]] or told
        what = whose[0][0] or f"the gradient's norm is {norm}"
        examples = [place for _, places in whose for place in places]
        self._in_a_row += 1
        if self.on_nonfinite == "skip" and self._in_a_row <= MOST_IN_A_ROW:
            self.skipped += 1
            self.leave_out()
            self.tell(state, {"skipped": what, "examples": examples})
            return
        raise _error(what, state.global_step + 1, examples, self._in_a_row, self.on_nonfinite)

    def _examples(self, batches: Any) -> list[int]:
        return [place for batch in batches for place in self.examples_of(batch)]


def bad_weight(model: Any) -> str | None:
    """The name of a weight that holds NaN or infinity; of sharded weights each process looks at its parts."""
    parts = [(name, part_of(weight)) for name, weight in model.named_parameters()]
    named = [(name, weight) for name, weight in parts if weight.numel()]
    # NaN is the least and the greatest of all; sixteen times as fast on a CPU as isfinite(), which makes a copy.
    extremes = torch.stack([torch.stack(torch.aminmax(weight.detach())).float() for _, weight in named])
    finite = extremes.isfinite().all(dim=1).tolist()
    return next((name for (name, _), good in zip(named, finite, strict=True) if not good), None)


def check_weights(model: Any, step: int) -> None:
    """Keep weights that are NaN or infinite, such as a step far too long leaves, from being saved.

    Raises:
        ModelError: naming one of them; of several processes the one that finds it ends all.
    """
    if name := bad_weight(model):
        raise ModelError(
            f"step {step:,} has made weights NaN or infinite ({name}); they are not saved",
            hint="lower --learning-rate or raise --warmup-steps",
        )


def _error(what: str, step: int, examples: list[int], in_a_row: int, on_nonfinite: str) -> ModelError:
    shown = ", ".join(map(str, examples[:_SHOWN])) + (", ..." if len(examples) > _SHOWN else "")
    batch = f" (its examples: {shown}, counted from 0)" if examples else ""
    again = f", the last of {in_a_row} in a row" if in_a_row > 1 else ""
    return ModelError(
        f"{what} at step {step:,}{again}{batch}; the weights were not changed by it",
        hint="look at these examples, lower --learning-rate or raise --warmup-steps"
        + ("" if on_nonfinite == "skip" else "; --on-nonfinite skip leaves such steps out"),
    )
