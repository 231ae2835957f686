"""What happens at the steps of a training: the record, and an orderly end on SIGINT and SIGTERM."""

import json
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from accelerate.utils import extract_model_from_parallel
from transformers import TrainerCallback

from llmctl import ranks
from llmctl.errors import RunError
from llmctl.runs import RunDir
from llmctl.training.plan import Plan

_SPIKE_WINDOW = 20  # logged losses
_SPIKE_SCATTERS, _SPIKE_SHARE = 8.0, 0.1


class StoppedError(RunError):
    """The training ended early, in order, as it was asked to; its checkpoint is saved."""

    label = ""

    def __init__(self, what: str, run: RunDir, command: str, *, exit_code: int) -> None:
        super().__init__(
            f"{what}, checkpoint saved in {run.checkpoints}",
            hint=f"go on: llmctl {command} --resume {run.path}{run.processes()}",
        )
        self.exit_code = exit_code


class Recorder(TrainerCallback):
    """Appends each event to ``metrics.jsonl`` and tells it to the person who watches.

    Speed is that of steps and of all that they wait for, such as data: only what is before the first, evaluations and
    saves are left out. ``seconds`` counts from ``began`` on the monotonic clock. A loss far above those before it is
    marked as a ``spike``.

    Args:
        sample: given the model, what a person reads beside the scores of an evaluation.
    """

    def __init__(
        self,
        path: Path,
        tell: Callable[[Mapping[str, Any]], None],
        plan: Plan,
        began: float,
        sample: Callable[[Any], str] | None,
    ) -> None:
        self.path = path
        self.tell = tell
        self.plan = plan
        self.began = began
        self.sample = sample
        self._done = 0
        self._seconds = 0.0
        self._mark = 0.0  # up to where time is counted
        self._losses: deque[float] = deque(maxlen=_SPIKE_WINDOW)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._losses.extend(event["loss"] for event in state.log_history if "loss" in event)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._mark = self._mark or time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = time.perf_counter()
        self._seconds += now - self._mark
        self._mark = now
        self._done += self.plan.amount_at(state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        event = self._event(state, logs)
        if "loss" in event:
            if _is_spike(event["loss"], self._losses):
                event["spike"] = True
            self._losses.append(event["loss"])
            event[f"{self.plan.rate}_per_second"] = round(self._done / max(self._seconds, 1e-9), 1)
            self._done, self._seconds = 0, 0.0
        if state.is_world_process_zero:
            self._record(event)

    def note(self, state: Any, content: Mapping[str, Any]) -> None:
        """Record what happened at the step at hand."""
        if state.is_world_process_zero:
            self._record(self._event(state, content) | {"step": state.global_step + 1})

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if self.sample and state.is_world_process_zero:
            self._record(self._event(state, {"sample": self.sample(extract_model_from_parallel(model))}))
        self._mark = time.perf_counter()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._mark = time.perf_counter()

    def _event(self, state: Any, content: Mapping[str, Any]) -> dict[str, Any]:
        seconds = round(time.monotonic() - self.began, 3)
        return {"step": state.global_step, "time": round(time.time(), 3), "seconds": seconds, **content}

    def _record(self, event: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
        self.tell(event)


def _is_spike(loss: float, before: Sequence[float]) -> bool:
    """Whether a loss stands out above the ones before it: by a tenth, and by far more than they scatter."""
    if len(before) < _SPIKE_WINDOW:
        return False
    middle = median(before)
    scatter = median(abs(value - middle) for value in before)
    return loss > middle + max(_SPIKE_SCATTERS * scatter, _SPIKE_SHARE * abs(middle))


class StopOnSignal(TrainerCallback):
    """SIGINT and SIGTERM finish the step and save; a second SIGINT interrupts the step.

    Attributes:
        number: the signal that ends the training, the same on all ranks; ``None``: none has come.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._own: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            signal.signal(number, self._heard)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heard(self, number: int, frame: Any) -> None:
        if self._own is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._own = number

    def asked(self) -> bool:
        """Whether a signal has come to any rank; all ranks must ask at once."""
        self.number = ranks.largest(self._own or 0) or None
        return self.number is not None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.asked():
            control.should_save = True
            control.should_training_stop = True
