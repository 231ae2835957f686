"""Locks on files and directories, which end with their process however it ends."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_handles: set[int] = set()


def _let_go() -> None:
    """A lock is shared with children: workers would hold it for some seconds after a killed parent."""
    for handle in _handles:
        os.close(handle)
    _handles.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the lock of ``path`` while the block runs; yields whether no other process has it.

    Where the system or file system has no locks, nobody has it.
    """
    handle = os.open(path, os.O_RDONLY)
    mine = _lock(handle, shared=False) is not False
    _handles.add(handle)
    try:
        yield mine
    finally:
        if handle in _handles:  # else this is a child, which has let go of it
            _handles.remove(handle)
            os.close(handle)


def is_held(path: Path) -> bool | None:
    """Whether a process holds the lock of ``path``; ``None``: the system or file system has no locks.

    Raises:
        OSError: ``path`` cannot be read.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        mine = _lock(handle, shared=True)
        return None if mine is None else not mine
    finally:
        os.close(handle)


def _lock(handle: int, *, shared: bool) -> bool | None:
    """Whether the lock could be had; ``None``: there are none here."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True
