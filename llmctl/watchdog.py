"""A rank that dies or is stopped ends all of them, and its error is told once.

Each rank has a thread that says, over the store where the ranks met, that it is there, and looks at others. A process
that was stopped, or whose machine is gone, says nothing any more: whoever finds that leaves word of it there, kills the
process where it can, and all end. (Libraries notice a peer that died, in a step, but wait for one that is stopped, or
never comes, until a time-out of half an hour.)

The launcher has a thread of its own for ranks that are stopped while no other looks.

Silence is counted in this process's own beats, not by a clock: where all of them are stopped together, by Ctrl-Z or
a scheduler, and go on later, none has missed another.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from llmctl import handover, ranks

_BEATS_A_TIMEOUT, _SECONDS_A_BEAT = 10, 1.0  # at least so many, at most so long
_BEATS_LATER = 3
_DONE = "done"
_END = "end"  # the store's key for why all end: an exit code, 1 where that is final, and words


class _Process(NamedTuple):
    """A rank's process; ``space``: of which processes its ``pid`` is the number of one."""

    pid: int
    host: str
    space: str

    @classmethod
    def this(cls) -> "_Process":
        host = space = socket.gethostname()
        with contextlib.suppress(OSError):  # machines made from one image have one name
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            space = f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
        return cls(os.getpid(), host, space)

    @property
    def is_here(self) -> bool:
        return self.space == _Process.this().space

    @property
    def is_gone(self) -> bool:
        """Whether it is here, and has ended."""
        import psutil  # type: ignore[import-untyped]

        try:
            return self.is_here and psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True


class Overseer(threading.Thread):
    """In the launcher: kills a rank that stays stopped where no other rank finds it, before they meet and at the end.

    Args:
        seconds: how long a rank may be stopped, as ``--ddp-timeout``.
        num_processes: ranks here; all of them stopped at a time were put aside by somebody, and go on later.

    Attributes:
        ended: numbers of the processes that were killed.
    """

    def __init__(self, seconds: float, num_processes: int) -> None:
        super().__init__(name="overseer", daemon=True)
        self.num_processes = num_processes
        self.ended: list[int] = []
        # Another rank that is there finds it first, and can tell more of it.
        self._patience = seconds + _BEATS_LATER * _SECONDS_A_BEAT
        self._over = threading.Event()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *raised: object) -> None:
        self._over.set()

    def run(self) -> None:
        import psutil

        stopped: dict[int, float] = {}
        while not self._over.wait(_SECONDS_A_BEAT):
            with contextlib.suppress(psutil.Error):
                found = [
                    child for child in psutil.Process().children() if child.status() == psutil.STATUS_STOPPED
                ]
                stopped = {child.pid: stopped.get(child.pid, 0) + _SECONDS_A_BEAT for child in found}
                for child in found if len(found) < self.num_processes or self.num_processes == 1 else ():
                    if stopped[child.pid] > self._patience:
                        self.ended.append(child.pid)
                        child.kill()


class Watchdog(threading.Thread):
    """Says that this rank is there, and ends it when another has said nothing for too long, or has failed.

    Args:
        store: a ``torch.distributed`` store of its own, whose calls end within ``seconds`` while its machine answers.
        seconds: how long a rank may say nothing.
        tell: shows an error to the person who watches: message and hint.
    """

    def __init__(self, store: Any, seconds: float, tell: Callable[[str, str | None], None]) -> None:
        super().__init__(name="watchdog", daemon=True)
        self.store = store
        self.seconds = seconds
        self.tell = tell
        self.interval = min(seconds / _BEATS_A_TIMEOUT, _SECONDS_A_BEAT)
        self._over = threading.Event()
        self._beats = 0
        self._unanswered = 0  # beats since the store has answered
        self._parent = os.getppid()
        self._beat()
        store.set(f"who/{ranks.index()}", " ".join(map(str, _Process.this())))

    def start(self) -> None:
        super().start()
        threading.Thread(target=self._watch_store, daemon=True).start()

    def run(self) -> None:
        # Rank 0 looks at all, the others at rank 0: with N ranks 2 N questions, not N times N.
        watched = range(1, ranks.count()) if ranks.is_first() else range(1)
        seen, silent = dict.fromkeys(watched, ""), dict.fromkeys(watched, 0)
        while not self._over.wait(self.interval):
            with contextlib.suppress(Exception):  # the store is gone, with its machine: see _watch_store
                self._beat()
                self._end_if_asked()
                self._look_beside()
                for rank in watched:
                    beat = self._word(f"beat/{rank}")
                    silent[rank] = silent[rank] + 1 if beat == seen[rank] else 0
                    seen[rank] = beat
                self._unanswered = 0
                for rank in watched:
                    self._judge(rank, seen[rank], silent[rank] * self.interval)

    def _judge(self, rank: int, beat: str, silent: float) -> None:
        """End all where a rank has said nothing new for ``silent`` seconds, which are too many."""
        if beat not in ("", _DONE) and silent > self.seconds:
            self._lost(rank)
        if not beat and silent > ranks.SECONDS_TO_COME:
            self._end(f"rank {rank} has not come in {silent:.0f} seconds")

    def _watch_store(self) -> None:
        """A call to a machine that is gone may never return: so another thread looks whether they do.

        And whether what started this rank, which mostly keeps the store, is there.
        """
        while not self._over.wait(self.interval):
            if os.getppid() != self._parent:
                self._end("the process that started this one was lost")
            self._unanswered += 1
            if self._unanswered * self.interval > self.seconds:
                what = "the process that started this one, or rank 0, does not answer any more"
                handover.leave_word(what)
                if not handover.is_launched() and ranks.number("LOCAL_RANK") == 0:
                    self.tell(f"{what}: all processes end", None)
                os._exit(1)

    def _look_beside(self) -> None:
        """Find the death of the next rank of this machine: of those that wait for it in a library, none would."""
        local, count = ranks.number("LOCAL_RANK"), ranks.number("LOCAL_WORLD_SIZE", 1)
        beside = ranks.index() - local + (local + 1) % count
        process = self._process(beside) if count > 1 else None
        if process and process.is_gone and self._word(f"beat/{beside}") != _DONE:
            what = f"rank {beside} (process {process.pid} on {process.host}) was lost"
            self._end(what, told="TORCHELASTIC_RUN_ID" in os.environ)  # by what started it

    def _word(self, key: str) -> str:
        """What stands in the store; asked for before it is there, it would be waited for."""
        return str(self.store.get(key).decode()) if self.store.check([key]) else ""

    def _process(self, rank: int) -> _Process | None:
        pid, host, space = (self._word(f"who/{rank}") or "  ").split(" ")
        return _Process(int(pid), host, space) if pid else None

    def finish(self) -> None:
        """This rank has done its work and says no more."""
        self._over.set()
        with contextlib.suppress(Exception):
            self.store.set(f"beat/{ranks.index()}", _DONE)

    def end_others(self, code: int, what: str, *, final: bool = False) -> None:
        """Have all ranks end, as this one does; ``final``: with no further attempt."""
        with contextlib.suppress(Exception):
            self.store.compare_set(_END, "", f"{code} {int(final)} {what}")  # the first reason is the reason

    def speaks_first(self) -> bool:
        """Whether no other rank has told an error yet; the next that asks is told that this one has."""
        try:
            return int(self.store.add("errors", 1)) == 1
        except Exception:  # the store is gone
            return ranks.is_first()

    def _beat(self) -> None:
        self._beats += 1
        self.store.set(f"beat/{ranks.index()}", str(self._beats))

    def _end_if_asked(self) -> None:
        if word := self._word(_END):
            code, final, what = word.split(" ", 2)
            handover.leave_word(what)
            os._exit(handover.leave_code(int(code), final=True) if int(final) else 1)

    def _lost(self, rank: int) -> None:
        process = self._process(rank)
        if process and process.is_here:  # a stopped process hears no other signal
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)
        where = f"process {process.pid} on {process.host}" if process else "process unknown"
        self._end(f"rank {rank} ({where}) has not answered for {self.seconds:g} seconds")

    def _end(self, what: str, *, told: bool = False) -> None:
        """End all ranks; the main thread may wait for the lost one for ever."""
        handover.leave_word(what)
        if not told and self.speaks_first():
            self.tell(f"{what}: all processes end", f"see what became of it; {handover.how_to_go_on()}")
            sys.stderr.flush()
            handover.leave_code(1)
        self.end_others(1, what)
        os._exit(1)


def start(seconds: float, tell: Callable[[str, str | None], None]) -> Watchdog:
    """Watch the other ranks, which may be still to come.

    Args:
        seconds: as ``--ddp-timeout``.
        tell: as for :class:`Watchdog`.
    """
    watchdog = Watchdog(ranks.store(seconds), seconds, tell)
    watchdog.start()
    return watchdog
