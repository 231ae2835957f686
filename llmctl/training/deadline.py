"""A training's end in time: its last checkpoint is saved before the session's time is over."""

import time
from typing import Any

from transformers import TrainerCallback

from llmctl import ranks

# What is kept free for the last save, as a multiple of the one before it.
_ROOM = 1.5
# Until a save is measured: a second, and four bytes a weight and eight of optimiser state a trained one, at so many a
# second, onto a slow disk.
_BYTES_A_WEIGHT, _BYTES_A_TRAINED_WEIGHT, _BYTES_A_SECOND = 4, 8, 1e8
# The first step may compile or warm caches: the longest step counts for less with each that follows.
_FORGETTING = 0.9


class Deadline(TrainerCallback):
    """Ends the training, with a checkpoint, where a further step would leave no time to save.

    At least one step is trained, so that a run of many sessions gets on. What a step, an evaluation and a save take is
    measured; only the first evaluation of a run is not foreseen.

    Attributes:
        ends: when the time is over, on the monotonic clock.
        reached: whether the training was ended.
    """

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.reached = False
        self._mark = self._step = self._evaluation = self._save = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        weights = list(kwargs["model"].parameters())
        size = _BYTES_A_WEIGHT * sum(weight.numel() for weight in weights)
        size += _BYTES_A_TRAINED_WEIGHT * sum(weight.numel() for weight in weights if weight.requires_grad)
        self._save = 1.0 + size / _BYTES_A_SECOND
        earlier = [event["eval_runtime"] for event in state.log_history if "eval_runtime" in event]
        self._evaluation = earlier[-1] if earlier else 0.0
        self._mark = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._step = max(self._passed(), self._step * _FORGETTING)
        due = self._evaluation * control.should_evaluate + self._save * control.should_save
        if self._is_late(due, args, state):
            self.reached = control.should_save = control.should_training_stop = True

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._evaluation = self._passed()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._save = self._passed()
        if self._is_late(0.0, args, state):
            self.reached = control.should_training_stop = True

    def _is_late(self, due: float, args: Any, state: Any) -> bool:
        """Whether, after what is due for ``due`` seconds, there is no time for a further step and its save.

        The same in all processes: they stop at the same step.
        """
        evaluates = args.eval_strategy == "steps" and (state.global_step + 1) % state.eval_steps == 0
        needed = due + self._step + self._evaluation * evaluates + _ROOM * self._save
        return bool(ranks.largest(self._mark + needed > self.ends))

    def _passed(self) -> float:
        """Seconds since this was last asked."""
        before, self._mark = self._mark, time.monotonic()
        return self._mark - before
