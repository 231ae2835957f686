"""What ranks hand over to the launcher that started them, in files: exit code, why they ended, the run they train."""

import contextlib
import os
from pathlib import Path

from llmctl.errors import NOT_FINISHED
from llmctl.runs import RunDir

CODE_FILE = "LLMCTL_CODE_FILE"
"""Names the file in which a rank leaves the exit code of all, when it has told why or ended as it was asked to."""
_ORDERLY = (2, NOT_FINISHED, 130, 143)  # exit codes that no further attempt would better
_FINAL = "final"
_RUN, _WORD = "run", "word"  # beside the file of the code


def is_launched() -> bool:
    """Whether this process was started by our own launcher."""
    return CODE_FILE in os.environ


def leave_code(code: int, *, final: bool = False) -> int:
    """As a rank, tell the launcher, if there is one, with what code all end; returns the code of this process.

    Args:
        final: a further attempt would end so, too. The launcher, which starts again what fails, is then told 0.
    """
    if place := os.environ.get(CODE_FILE):
        final |= code in _ORDERLY
        Path(place).write_text(f"{code} {_FINAL if final else ''}")
        return 0 if final else code
    return code


def leave_word(what: str) -> None:
    """As a rank that ends untold, leave the reason: the launcher tells the first, where no rank was killed."""
    if place := os.environ.get(CODE_FILE):
        with contextlib.suppress(FileExistsError), Path(place).with_name(_WORD).open("x") as file:
            file.write(what)


def forget() -> None:
    """As a rank, begin anew: what an earlier attempt has told is told."""
    if place := os.environ.get(CODE_FILE):
        Path(place).unlink(missing_ok=True)
        Path(place).with_name(_WORD).unlink(missing_ok=True)


def leave_run(run: RunDir) -> None:
    """As the first rank of a machine, tell the launcher and its further attempts which run is trained."""
    if place := os.environ.get(CODE_FILE):
        Path(place).with_name(_RUN).write_text(str(run.path))


def run_begun() -> RunDir | None:
    """The run that the launcher's processes train on this machine; ``None``: they have not begun one, or train none."""
    if place := os.environ.get(CODE_FILE):
        with contextlib.suppress(OSError):
            run = RunDir(Path(Path(place).with_name(_RUN).read_text()))
            return run if run.path.is_dir() else None  # of a run that came to nothing none is left
    return None


def how_to_go_on(first: str = "was there enough memory?") -> str:
    """What to do ``first`` when a process was lost, and what to type then, as a hint."""
    run = run_begun()
    return first + (f" go on: {run.resume_command()}" if run else "")


def code() -> int:
    """As the launcher, the code that the ranks have left; 0: none."""
    with contextlib.suppress(OSError, ValueError):
        return int(Path(os.environ[CODE_FILE]).read_text().partition(" ")[0])
    return 0


def is_final() -> bool:
    """As the launcher, whether the code that the ranks have left is that of all attempts."""
    with contextlib.suppress(OSError):
        return Path(os.environ[CODE_FILE]).read_text().endswith(_FINAL)
    return False


def word() -> str:
    """As the launcher, the reason that the ranks have left, or nothing."""
    with contextlib.suppress(OSError):
        return Path(os.environ[CODE_FILE]).with_name(_WORD).read_text()
    return ""
