"""A rank that dies or hangs ends all of them, and its error is told once.

Each rank has a thread that says, over the store where the ranks met, that it is there, and looks at the others. A
process that was stopped, or whose machine is gone, says nothing any more: the others end then, and kill it where they
can. (Libraries notice a peer that died, but wait for one that is stopped, or never comes, until a time-out of half an
hour.)
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from llmctl import ranks
from llmctl.launch import going_on, leave_code

_BEATS_A_TIMEOUT = 10
_TIMEOUTS_TO_COME = 3  # all are started at once, but libraries take their time to load
_DONE = "done"


class Watchdog(threading.Thread):
    """Says that this rank is there, and ends it when another has said nothing for too long.

    Args:
        store: a ``torch.distributed`` store of its own, whose calls end within ``seconds``.
        seconds: how long a rank may say nothing.
        tell: shows an error to the person who watches: message and hint.
    """

    def __init__(self, store: Any, seconds: float, tell: Callable[[str, str | None], None]) -> None:
        super().__init__(name="watchdog", daemon=True)
        self.store = store
        self.seconds = seconds
        self.tell = tell
        self._over = threading.Event()
        self._beats = 0
        self._beat()
        store.set(f"who/{ranks.index()}", f"{os.getpid()} {socket.gethostname()}")

    def run(self) -> None:
        # Rank 0 looks at all, the others at rank 0: with N ranks 2 N questions, not N times N.
        watched = range(1, ranks.count()) if ranks.is_first() else range(1)
        began = answered = time.monotonic()
        seen = dict.fromkeys(watched, ("", began))
        while not self._over.wait(self.seconds / _BEATS_A_TIMEOUT):
            try:
                self._beat()
                for rank in watched:
                    beat = self._heard_of(rank)
                    if beat != seen[rank][0]:
                        seen[rank] = beat, time.monotonic()
                answered = time.monotonic()
            except Exception:  # the store is gone, with the process that keeps it
                if time.monotonic() - answered > self.seconds:
                    self._end("the process that started this one, or rank 0, does not answer any more")
                continue
            for rank, (beat, since) in seen.items():
                silent = time.monotonic() - since
                if beat not in ("", _DONE) and silent > self.seconds:
                    self._lost(rank)
                if not beat and silent > _TIMEOUTS_TO_COME * self.seconds:
                    self._end(f"rank {rank} has not come in {silent:.0f} seconds")

    def _heard_of(self, rank: int) -> str:
        key = f"beat/{rank}"  # asked for before it is there, it would be waited for
        return str(self.store.get(key).decode()) if self.store.check([key]) else ""

    def finish(self) -> None:
        """This rank has done its work and says no more."""
        self._over.set()
        with contextlib.suppress(Exception):
            self.store.set(f"beat/{ranks.index()}", _DONE)

    def speaks_first(self) -> bool:
        """Whether no other rank has told an error yet; the next that asks is told that this one has."""
        try:
            return int(self.store.add("errors", 1)) == 1
        except Exception:  # the store is gone
            return ranks.is_first()

    def _beat(self) -> None:
        self._beats += 1
        self.store.set(f"beat/{ranks.index()}", str(self._beats))

    def _lost(self, rank: int) -> None:
        pid, host = "", ""
        with contextlib.suppress(Exception):
            pid, _, host = self.store.get(f"who/{rank}").decode().partition(" ")
        if host == socket.gethostname():  # a stopped process hears no other signal
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(pid), signal.SIGKILL)
        self._end(f"rank {rank} (process {pid} on {host}) has not answered for {self.seconds:g} seconds")

    def _end(self, what: str) -> None:
        if self.speaks_first():
            self.tell(f"{what}: all processes end", f"see what became of it; {going_on()}")
            sys.stderr.flush()
            leave_code(1)
        os._exit(1)  # the main thread may wait for the lost rank for ever


def start(seconds: float, tell: Callable[[str, str | None], None]) -> Watchdog:
    """Watch the other ranks, which may be still to come.

    Args:
        seconds: as ``--ddp-timeout``.
        tell: as for :class:`Watchdog`.
    """
    watchdog = Watchdog(ranks.store(seconds), seconds, tell)
    watchdog.start()
    return watchdog
