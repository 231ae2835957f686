"""Ctrl-C during a training: answered at once, and obeyed at once the second time.

Python's own handlers wait for the running operation, which may be one long step. A byte a signal reaches a thread
without that wait.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from llmctl import launch
from llmctl.cli.console import sanitise
from llmctl.errors import LlmctlError
from llmctl.runs import RunDir

_SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def answered(say: Callable[[str], None], run: RunDir, *, live: bool) -> Iterator[None]:
    """While the block runs, tell that SIGINT or SIGTERM ends it after a step; end the process on a further SIGINT.

    Args:
        run: the one that is trained.
        live: stderr is a terminal whose cursor may be hidden.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(reader, say, run, live), daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)
        listener.join()
        os.close(reader)


def _listen(reader: int, say: Callable[[str], None], run: RunDir, live: bool) -> None:
    heard = False
    while number := os.read(reader, 1):
        if number[0] not in (signal.SIGINT, signal.SIGTERM):
            continue
        if number[0] == signal.SIGTERM and not launch.all_are_here():
            continue  # the launcher's, for want of another rank, which it tells
        if not heard:
            heard = True
            again = " again" if number[0] == signal.SIGINT else ""
            say(f"stopping after this step; Ctrl-C{again} stops at once")
        elif number[0] == signal.SIGINT:
            text = f"{_SHOW_CURSOR if live else ''}\nstopped at once, without saving\n{_left(run)}"
            os.write(2, text.encode(errors="replace"))
            os._exit(128 + signal.SIGINT)


def _left(run: RunDir) -> str:
    """What the training can be gone on with; whatever cannot be read now is left out."""
    with suppress(OSError, LlmctlError):
        kept = run.all_checkpoints()
        from_there = f"the last checkpoint is {kept[0]}" if kept else "no checkpoint was saved yet"
        return sanitise(f"{from_there}\n hint: {run.resume_command()}") + "\n"
    return ""
