"""What a person sees: stdout is data, stderr is talk.

Every text that comes from data, models or file names passes :func:`sanitise` before it meets the terminal.
"""

import json
import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import IO, TYPE_CHECKING, Any

from llmctl.progress import Advance

if TYPE_CHECKING:
    from llmctl.runs import RunDir

# C0 (but tab and newline), DEL and C1 controls, the bidirectional marks that can reorder a line, what else ends one,
# and halves of surrogate pairs, which cannot be printed.
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_INDENT = "    "  # of a wrapped line's further lines
_MIN_WIDTH = 20
_BAR_SECONDS = 10.0  # how often a non-terminal hears of a running task


def sanitise(text: str) -> str:
    """Make foreign text safe to print: control characters and escapes become visible ``\\xNN``."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def as_json(data: Mapping[str, Any]) -> str:
    """One line of JSON that is safe to print: JSON itself leaves C1 controls and bidirectional marks as they are."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def obeys_escapes(stream: IO[str]) -> bool:
    """Whether ``stream`` is a terminal that can do more than print."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def is_coloured(stream: IO[str]) -> bool:
    """Whether ``stream`` is a terminal that may be coloured (https://no-color.org)."""
    return obeys_escapes(stream) and not os.environ.get("NO_COLOR")


def width_of(stream: IO[str]) -> int | None:
    """The columns of a terminal, by ``COLUMNS`` first; ``None`` where ``stream`` is none."""
    if not stream.isatty():
        return None
    try:
        width = int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # a terminal only by its word
        width = shutil.get_terminal_size().columns
    return max(width, _MIN_WIDTH)


def fitted(text: str, stream: IO[str]) -> str:
    """``text`` with its lines wrapped at words to the width of a terminal; as it is where ``stream`` is none."""
    width = width_of(stream)
    return "\n".join(wrapped(line, width) for line in text.split("\n")) if width else text


def wrapped(line: str, width: int, indent: str = _INDENT) -> str:
    """``line`` wrapped at words to ``width`` columns, its further lines behind ``indent``.

    Words are never cut: a path may be longer than the terminal is wide.
    """
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


class Style:
    """ANSI styles of one stream; the empty string where it takes none."""

    def __init__(self, stream: IO[str]) -> None:
        on = is_coloured(stream)
        self.bold = "\x1b[1m" if on else ""
        self.dim = "\x1b[2m" if on else ""
        self.red = "\x1b[31m" if on else ""
        self.green = "\x1b[32m" if on else ""
        self.yellow = "\x1b[33m" if on else ""
        self.cyan = "\x1b[36m" if on else ""
        self.end = "\x1b[0m" if on else ""


def show_error(message: str, hint: str | None, *, label: str = "error: ") -> None:
    """Print what is wrong and what to do next on stderr."""
    style = Style(sys.stderr)
    sys.stdout.flush()
    text = fitted(label + sanitise(message), sys.stderr)
    print(f"{style.red}{label}{style.end}{text.removeprefix(label)}", file=sys.stderr)
    if hint:
        print(f" {style.cyan}hint:{style.end} {sanitise(hint)}", file=sys.stderr)


class Console:
    """The terminal's :class:`~llmctl.progress.Progress`, and the printer of results.

    Args:
        quiet: tell nothing but errors and the result.
        as_json: print results as one JSON object.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json
        self._style = Style(sys.stderr)

    def note(self, message: str) -> None:
        if not self.quiet:
            self._say(fitted(sanitise(message), sys.stderr))

    def warn(self, message: str) -> None:
        text = fitted(f"warning: {sanitise(message)}", sys.stderr)
        self._say(text.replace("warning:", f"{self._style.yellow}warning:{self._style.end}", 1))

    def hint(self, message: str, command: str) -> None:
        """Tell the exact next command, on one line, to be copied."""
        if not self.quiet:
            self._say(f"{message}  {self._style.cyan}{sanitise(command)}{self._style.end}")

    def _say(self, message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    def write(self, text: str) -> None:
        """Stream data to stdout; on a terminal, foreign control characters are shown, not obeyed."""
        sys.stdout.write(sanitise(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()

    def result(self, data: Mapping[str, Any], text: str) -> None:
        """Print a result on stdout: ``data`` as JSON with ``--json``, else ``text``."""
        if self.as_json:
            print(as_json(data))
        else:
            print(sanitise(text))

    def bar(self, description: str, total: int | None, unit: str) -> AbstractContextManager[Advance]:
        if self.quiet:
            return _silent_bar()
        if obeys_escapes(sys.stderr):
            return _rich_bar(sanitise(description), total, unit)
        return self._plain_bar(description, total, unit)

    @contextmanager
    def _plain_bar(self, description: str, total: int | None, unit: str) -> Iterator[Advance]:
        done, told = 0, time.monotonic()

        def advance(count: int) -> None:
            nonlocal done, told
            done += count
            if time.monotonic() - told >= _BAR_SECONDS:
                told = time.monotonic()
                share = f" ({done / total:.0%})" if total else ""
                self._say(sanitise(f"{description}: {done:,} {unit}{share}"))

        yield advance

    @contextmanager
    def training(
        self, total_steps: int, done: int, run: "RunDir"
    ) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        from llmctl.cli import interrupts, training_view

        live = obeys_escapes(sys.stderr) and not self.quiet
        if self.quiet:
            view = training_view.silent()
        elif live:
            view = training_view.live(total_steps, done, run.events())
        else:
            view = training_view.plain(total_steps, done, lambda line: self._say(sanitise(line)))
        with interrupts.answered(self._say, run, live=live), view as tell:
            yield tell


class Mute(Console):
    """The terminal of a rank that is not the first: whatever it would say, rank 0 says."""

    def __init__(self) -> None:
        super().__init__(quiet=True)

    def _say(self, message: str) -> None:
        pass

    def write(self, text: str) -> None:
        pass

    def result(self, data: Mapping[str, Any], text: str) -> None:
        pass


@contextmanager
def _silent_bar() -> Iterator[Advance]:
    yield lambda count: None


@contextmanager
def _rich_bar(description: str, total: int | None, unit: str) -> Iterator[Advance]:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Amount(TextColumn):
        def render(self, task: Any) -> Text:
            done = f"{int(task.completed):,}" + (f" of {int(task.total):,}" if task.total else "")
            speed = f"  {task.speed:,.0f} {unit}/s" if task.speed else ""
            return Text(f"{done} {unit}{speed}")

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), Amount(""), TimeRemainingColumn())
    with Progress(*columns, console=RichConsole(stderr=True), transient=True) as view:
        task = view.add_task(description, total=total)
        yield lambda count: view.advance(task, count)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows under headers: the first column left-aligned, the others right-aligned."""
    cells = [[sanitise(cell).replace("\n", " ") for cell in row] for row in (headers, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    lines = []
    for row in cells:
        padded = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)
