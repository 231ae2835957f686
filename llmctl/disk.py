"""Writing so that a reader finds the old or the new, whole, and never a part."""

import contextlib
import errno
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from llmctl import locks
from llmctl.errors import ConfigError, LlmctlError

_ROOM, _LEAVE = "make room", "have it made writable, or choose another place (--runs-dir, LLMCTL_CACHE_DIR)"
# What helps where writing fails so; everything else that a system can say is told as a defect.
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: f"{_ROOM}: your quota is used up",
    errno.EFBIG: "choose a place that takes larger files (ulimit -f, --runs-dir)",
    errno.EIO: "the disk fails: look at the system's log, or choose another (--runs-dir, LLMCTL_CACHE_DIR)",
    errno.EROFS: _LEAVE,
    errno.EACCES: _LEAVE,
    errno.EPERM: _LEAVE,
}
_OF_LEAVE = (errno.EACCES, errno.EPERM)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the errors of a disk that takes no more."""
_YOUNG, _OLD = 10.0, 7 * 24 * 3600.0  # seconds
_OF_RUST = re.compile(r"\(os error (\d+)\)")  # how tokenizers and safetensors say it, whatever they raise


class DiskError(LlmctlError):
    """The disk is full, fails, or may not be written to."""


@contextmanager
def failures_told() -> Iterator[None]:
    """Tell a full, failing or forbidden disk by its own name, whatever the library says that was writing.

    Raises:
        DiskError: in place of that.
    """
    try:
        yield
    except LlmctlError:
        raise
    except Exception as error:
        found = _OF_RUST.search(str(error))
        number = error.errno if isinstance(error, OSError) else found and int(found[1])
        place = error.filename if isinstance(error, OSError) else None
        # Connections have these numbers, too: without a file's name, or in errors of a library's own.
        of_disk = found or place or (type(error).__module__ == "builtins" and number not in _OF_LEAVE)
        if number not in _REMEDIES or not of_disk:
            raise
        raise DiskError(
            f"{f'{place}: ' if place else 'cannot write: '}{os.strerror(number)}",
            hint=f"{remedy(number)}; a training that had begun goes on with --resume RUN",
        ) from error


def remedy(number: int | None) -> str:
    """What helps where writing failed with this ``errno``."""
    return _REMEDIES.get(number or 0, _ROOM)


def size_limit() -> float:
    """Bytes that a file of this process may have, as ``ulimit -f`` sets it."""
    try:
        import resource  # not on every system
    except ImportError:
        return math.inf
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit


def readable_mode() -> int:
    """The permissions of a new file by the user's umask."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def flush_file(path: Path) -> None:
    """Have what is written of a file outlive a loss of power."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def forget_file(path: Path) -> None:
    """Have the system forget what it holds of a flushed file in memory: who reads it next reads the disk."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def flush_directory(path: Path) -> None:
    """Have the names in a directory outlive a loss of power, where the system can do that."""
    with contextlib.suppress(PermissionError):  # Windows opens no directories
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def settle_directory(path: Path) -> None:
    """Give all below ``path`` the permissions that the user's umask says (safetensors writes 0600 whatever it is)."""
    mode = readable_mode()
    enter = mode | (mode & 0o444) >> 2  # a directory that can be read can be entered
    for inner in path.rglob("*"):
        inner.chmod(enter if inner.is_dir() else mode)
    path.chmod(enter)


@contextmanager
def staged_file(path: Path) -> Iterator[IO[str]]:
    """A new UTF-8 file beside ``path`` that takes its place, flushed to disk, when the block ends well.

    Raises:
        OSError: it cannot be written; ``path`` is as it was.
    """
    handle, staging = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with locks.held(Path(staging)):
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(staging, readable_mode())
            os.replace(staging, path)
        flush_directory(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staging)
        raise


@contextmanager
def staged_directory(path: Path) -> Iterator[Path]:
    """A new directory beside ``path`` that takes its place, flushed to disk, when the block ends well.

    Raises:
        OSError: it cannot be written, or ``path`` is a directory with something in it.
    """
    staging = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        with locks.held(staging):
            yield staging
            settle_directory(staging)
            for inner in staging.rglob("*"):
                if inner.is_file():
                    flush_file(inner)
                else:
                    flush_directory(inner)
            flush_directory(staging)
            staging.rename(path)
        flush_directory(path.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def sweep(folder: Path, pattern: str = ".*") -> None:
    """Remove what processes that were killed left half staged in a folder, and nothing of one that lives.

    Such a process holds a lock, but for an instant after it began. Where there are no locks a week's silence tells.
    """
    for litter in folder.glob(pattern):
        with contextlib.suppress(OSError):
            inside = litter.iterdir() if litter.is_dir() else ()
            quiet = time.time() - max(path.stat().st_mtime for path in (litter, *inside))
            held = locks.is_held(litter)
            if held or quiet < (_OLD if held is None else _YOUNG):
                continue
            if litter.is_dir():
                shutil.rmtree(litter)
            else:
                litter.unlink()


def check_new_file(path: Path) -> None:
    """Refuse to write an output file over another, or where there is no directory.

    Raises:
        ConfigError: naming it.
    """
    if path.exists():
        raise ConfigError(f"output file exists: {path}", hint="name a new --output-file")
    if not path.parent.is_dir():
        raise ConfigError(f"no such directory: {path.parent}", hint="make it first")


def write_file(path: Path, text: str) -> None:
    """Write ``text`` to ``path``; raises as :func:`staged_file`."""
    with staged_file(path) as file:
        file.write(text)
