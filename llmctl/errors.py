"""The errors that a user may see.

Each carries what was found (``message``) and what to type or do next (``hint``). The command line turns
them into two lines and an exit code; anything else that is raised is a bug and shown as one.
"""

from typing import Any

NOT_FINISHED = 75
"""The exit code of a training that its time limit ended: EX_TEMPFAIL of sysexits.h, "try again later"."""


class LlmctlError(Exception):
    """Something the user can mend.

    Args:
        message: what is wrong, naming the file, line or field, and what was found there.
        hint: what to type or do next; one sentence or one command.
    """

    exit_code = 1
    label = "error: "

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as it is, whatever the arguments of its class: rank 0 tells it the other ranks."""
        return _remade, (type(self), self.args, self.__dict__)


def _remade(kind: type[LlmctlError], args: tuple[Any, ...], content: dict[str, Any]) -> LlmctlError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(content)
    return error


class Terminated(BaseException):
    """SIGTERM has come."""


def is_panic(error: BaseException) -> bool:
    """Whether a library in Rust gave up, as tokenizers does over some damaged files; that is no ``Exception``."""
    return type(error).__name__ == "PanicException"


MORE_THREADS = (
    "raise the limit (ulimit -u), end other programs, or need fewer: OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1"
)


def lacks_threads(error: BaseException) -> bool:
    """Whether the system refused to start a thread, as Python or a library in Rust says it."""
    told = str(error)
    return "can't start new thread" in told or (is_panic(error) and "ThreadPoolBuildError" in told)


class ConfigError(LlmctlError):
    """What was asked for cannot be: a bad flag, recipe or path, known before any work starts."""

    exit_code = 2


class RunError(LlmctlError):
    """A run directory is missing, in use, unfinished or damaged; known before any work starts."""

    exit_code = 2


class DataError(LlmctlError):
    """The data is there, but it is not what it should be."""


class ModelError(LlmctlError):
    """A model or tokenizer cannot be found, read or used for what was asked."""
