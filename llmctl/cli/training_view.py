"""How a running training looks: a live panel on a terminal, a line now and then elsewhere."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from llmctl.cli.console import sanitise

Tell = Callable[[Mapping[str, Any]], None]

_BLOCKS = "▁▂▃▄▅▆▇█"
_PLAIN_SECONDS = 10.0
_CURVE_WIDTH = 48


@contextmanager
def silent() -> Iterator[Tell]:
    yield lambda event: None


@contextmanager
def plain(total_steps: int, done: int, say: Callable[[str], None]) -> Iterator[Tell]:
    """A line every ten seconds, and one for each evaluation; ``done`` steps are of earlier sessions."""
    started, told = time.monotonic(), 0.0

    def left(step: int) -> str:
        gone = time.monotonic() - started
        return f"{duration(gone * (total_steps - step) / max(step - done, 1))} left"

    def tell(event: Mapping[str, Any]) -> None:
        nonlocal told
        now = time.monotonic()
        if "eval_loss" in event:
            say(f"step {event['step']:,} of {total_steps:,}: {_evaluation(event)}")
        elif "sample" in event:
            say(f"step {event['step']:,} of {total_steps:,}: {_line(event['sample'])}")
        elif "skipped" in event:
            say(f"step {event['step']:,} of {total_steps:,}: {_skipped(event)}")
        elif "loss" in event and (now - told >= _PLAIN_SECONDS or event["step"] >= total_steps):
            told = now
            say(f"step {event['step']:,} of {total_steps:,}: {_step(event)}, {left(event['step'])}")

    yield tell


@contextmanager
def live(total_steps: int, done: int, before: Iterable[Mapping[str, Any]] = ()) -> Iterator[Tell]:
    """A panel with progress, loss, speed, time left and the curve of the loss, from its begin in an earlier session on.

    Args:
        before: the events of earlier sessions.
    """
    from rich.console import Console
    from rich.live import Live

    told = [event.get("loss") for event in before]
    losses = [loss for loss in told if isinstance(loss, float) and math.isfinite(loss)]
    view = _Panel(total_steps, done)
    view.losses += losses
    with Live(view, console=Console(stderr=True), refresh_per_second=4) as screen:
        yield view.tell
        screen.update(view, refresh=True)


class _Panel:
    """What the live view shows, drawn anew at each refresh."""

    def __init__(self, total_steps: int, done: int) -> None:
        self.total_steps = total_steps
        self.started = time.monotonic()
        self.step = done
        self.line = "starting"
        self.evaluation = ""
        self.sample = ""
        self.skipped = ""
        self.losses: list[float] = []
        self.recent: deque[tuple[float, int]] = deque(maxlen=20)

    def tell(self, event: Mapping[str, Any]) -> None:
        self.step = event["step"]
        if "eval_loss" in event:
            self.evaluation = f"step {event['step']:,}: {_evaluation(event)}"
        elif "sample" in event:
            self.sample = _line(event["sample"])
        elif "skipped" in event:
            self.skipped = f"step {event['step']:,}: {_skipped(event)}"
        elif "loss" in event:
            self.losses.append(event["loss"])
            self.line = _step(event)
            self.recent.append((time.monotonic(), event["step"]))

    def __rich__(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        grid.add_column(style="bold")
        grid.add_column()
        grid.add_row("step", f"{self.step:,} of {self.total_steps:,}  {self._left()}")
        grid.add_row("", ProgressBar(total=self.total_steps, completed=self.step, width=_CURVE_WIDTH))
        grid.add_row("train", Text(self.line))
        if self.evaluation:
            grid.add_row("valid", Text(self.evaluation))
        if self.sample:
            grid.add_row("text", Text(self.sample, style="italic"))
        if self.skipped:
            grid.add_row("left out", Text(self.skipped, style="yellow"))
        if len(self.losses) > 1:
            grid.add_row("loss", Text(curve(self.losses, _CURVE_WIDTH), style="cyan"))
            grid.add_row("", Text(f"{self.losses[0]:.2f} -> {self.losses[-1]:.2f}", style="dim"))
        return grid

    def _left(self) -> str:
        if len(self.recent) < 2:
            return ""
        (then, before), (now, step) = self.recent[0], self.recent[-1]
        seconds = (self.total_steps - self.step) * (now - then) / max(step - before, 1)
        return f"{duration(seconds)} left, {duration(time.monotonic() - self.started)} gone"


def curve(values: list[float], width: int) -> str:
    """Draw values as a line of block characters, the oldest first; each column is a mean."""
    columns = min(width, len(values))
    edges = [round(i * len(values) / columns) for i in range(columns + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((mean - low) * scale)] for mean in means)


def duration(seconds: float) -> str:
    """``75`` -> ``1m 15s``."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"


def _step(event: Mapping[str, Any]) -> str:
    speed = next(
        (
            f", {value:,.0f} {name.removesuffix('_per_second')}/s"
            for name, value in event.items()
            if name.endswith("_per_second")
        ),
        "",
    )
    clipped = f" ({event['clipped']:.0%} clipped)" if event.get("clipped") else ""
    norm = f", gradient norm {event['grad_norm']:.2f}{clipped}" if "grad_norm" in event else ""
    return f"loss {event['loss']:.3f}, learning rate {event['learning_rate']:.2e}{norm}{speed}"


def _skipped(event: Mapping[str, Any]) -> str:
    shown = ", ".join(map(str, event["examples"][:8])) + (", ..." if len(event["examples"]) > 8 else "")
    return sanitise(f"left out, {event['skipped']}") + (f" (examples {shown})" if shown else "")


def _line(text: str) -> str:
    return sanitise(" ".join(text.split()))


def _evaluation(event: Mapping[str, Any]) -> str:
    scores = [
        f"{name.removeprefix('eval_')} {value:.4g}"
        for name, value in event.items()
        if name.startswith("eval_") and name != "eval_runtime"
    ]
    return sanitise("validation " + ", ".join(scores))
