"""How the layers below the command line report what they do, without printing.

A workflow receives a :class:`Progress`; the terminal's implementation lives in ``cli.console``. Library users
who want silence pass :data:`SILENT`.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from llmctl.runs import RunDir

Advance = Callable[[int], None]


def many(count: int, noun: str, plural: str | None = None) -> str:
    """``1 row``, ``2 rows``; ``plural`` where that is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


class Progress(Protocol):
    """One person's view of a running workflow. Every text may be foreign: the receiver sanitises it."""

    def note(self, message: str) -> None:
        """Tell one line: what was done, counted, skipped or chosen."""

    def warn(self, message: str) -> None:
        """Tell one line that the user should not miss."""

    def bar(self, description: str, total: int | None, unit: str) -> AbstractContextManager[Advance]:
        """Show a task of ``total`` units (``None``: unknown); call the yielded function with each advance."""

    def training(
        self, total_steps: int, done: int, run: "RunDir"
    ) -> AbstractContextManager[Callable[[Mapping[str, Any]], None]]:
        """Show a training of ``total_steps`` steps; call the yielded function with each event.

        An event is a line of ``metrics.jsonl``: ``step`` and some of ``loss``, ``learning_rate``,
        ``grad_norm``, ``tokens_per_second``, ``eval_loss``, ...

        Args:
            done: steps that earlier sessions of the run have behind them.
            run: whose record holds their events, and whose checkpoints are left if the training is broken off.
        """


class Silent:
    """A :class:`Progress` that tells nobody anything."""

    def note(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        pass

    def bar(self, description: str, total: int | None, unit: str) -> AbstractContextManager[Advance]:
        return nullcontext(lambda count: None)

    def training(
        self, total_steps: int, done: int, run: "RunDir"
    ) -> AbstractContextManager[Callable[[Mapping[str, Any]], None]]:
        return nullcontext(lambda event: None)


SILENT: Progress = Silent()
