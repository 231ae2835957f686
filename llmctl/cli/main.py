"""The program: one entry, one error boundary."""

import atexit
import os
import sys

from llmctl import __version__

_READER_GONE = 141  # what a shell sees of a program that SIGPIPE ended
_heard: list[BaseException] = []  # what the signals of this command were raised as


def main() -> None:
    """Run ``llmctl`` on ``sys.argv`` and exit with its code.

    0: done; 1: failure; 2: usage, or bad input known before work starts; 75: ``--time-limit`` ended a training;
    130, 143: stopped by SIGINT, SIGTERM; 141: the reader of the output, such as ``head``, has closed it.
    """
    end = _End()
    atexit.register(end)  # the first to be registered is the last to be called
    try:
        code = run_command(sys.argv[1:])
    except BrokenPipeError:
        code = _READER_GONE
    if "WORLD_SIZE" in os.environ:
        from llmctl.cli import processes

        code = processes.part(code)
    end.expect(code)
    sys.exit(code)


class _End:
    """Ends the process once its threads have ended and what was registered for the end since is done.

    The interpreter would go on for a second, to free what the heavy libraries hold; so it does with ``LLMCTL_DEBUG``.
    """

    code: int | None = None  # none yet: an error is shown with its traceback

    def expect(self, code: int) -> None:
        """The work is done: what is still waited for, such as a tracker's last word, ends with a signal."""
        import signal

        self.code = code
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *given: os._exit(code))

    def __call__(self) -> None:
        code = self.code
        if code is None or os.environ.get("LLMCTL_DEBUG"):
            return
        for stream in (sys.stdout, sys.stderr):
            try:
                print(end="", file=stream, flush=True)
            except BrokenPipeError:
                code = _READER_GONE
            except (OSError, ValueError):  # a full disk; a closed stream
                code = code or 1
        os._exit(code)


def run_command(arguments: list[str]) -> int:
    """Run the command; turn what it raises into a message and an exit code."""
    import signal

    from llmctl.errors import LlmctlError, is_panic

    _settle_environment()
    _heard.clear()
    try:
        code = _dispatch(arguments)
        print(end="", flush=True)
        return code
    except BrokenPipeError:
        raise
    except LlmctlError as error:
        if os.environ.get("LLMCTL_DEBUG"):
            raise
        _tell(error, error.message, error.hint, label=error.label)
        return error.exit_code
    except BaseException as error:
        if ended := _signal_behind(error):
            by_hand = isinstance(ended, KeyboardInterrupt)
            _tell(ended, "interrupted" if by_hand else "terminated", None, label="")
            return 128 + (signal.SIGINT if by_hand else signal.SIGTERM)
        if os.environ.get("LLMCTL_DEBUG") or not (isinstance(error, Exception) or is_panic(error)):
            raise
        _tell(error, *_words_for(error))
        return 1


def _words_for(error: BaseException) -> tuple[str, str]:
    """Message and hint for what nothing below has told in words of its own."""
    from llmctl import disk
    from llmctl.errors import MORE_THREADS, lacks_threads

    if lacks_threads(error):
        return "the system starts no more threads for this user", MORE_THREADS
    if isinstance(error, OSError) and error.errno in disk.FULL:
        return f"{error.filename or 'cannot write'}: {error.strerror}", disk.remedy(error.errno)
    defect = "this is a defect of llmctl, or of a library under it: LLMCTL_DEBUG=1 shows the traceback"
    return f"{type(error).__name__}: {error}", defect


def _signal_behind(error: BaseException) -> BaseException | None:
    """The signal that ended the command, also where a library made an error of its own of it; ``None``: none did."""
    from llmctl.errors import Terminated

    if isinstance(error, (KeyboardInterrupt, Terminated)):
        return error
    return _heard[-1] if _heard else None


def _tell(error: BaseException, message: str, hint: str | None, *, label: str = "error: ") -> None:
    from llmctl import launch
    from llmctl.cli.console import show_error

    if launch.is_rank():
        from llmctl.cli import processes

        if not processes.may_tell(error):
            return
    show_error(message, hint, label=label)


def _settle_environment() -> None:
    """Set what the libraries below read when they are imported, and how often garbage is looked for."""
    import gc

    # The modules of the heavy libraries are some 400,000 objects, none of them garbage: looking through them after
    # every 700 new ones takes a fifth of the time that they take to load.
    gc.set_threshold(50_000)
    if "OMP_WAIT_POLICY" not in os.environ:
        # Threads that wait in a loop take the processor from those that they wait for as soon as anything else runs
        # beside them: a training with small matrices then takes ten times as long.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if os.environ.get("HF_HUB_OFFLINE") == "":  # peft takes the empty word for a mistake, when it saves
        del os.environ["HF_HUB_OFFLINE"]


def _dispatch(arguments: list[str]) -> int:
    from llmctl.cli import COMMANDS
    from llmctl.cli.help import command_help, overview

    if arguments == ["--version"]:
        print(f"llmctl {__version__}")
        return 0
    if "_LLMCTL_COMPLETE" in os.environ:  # the shell asks what a word could become
        from llmctl.cli.app import build_app

        build_app()(prog_name="llmctl")
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        overview()
        return 0
    nouns = {name.split()[0] for name in COMMANDS if " " in name}
    name = " ".join(arguments[:2]) if arguments[0] in nouns else arguments[0]
    asks_for_help = any(word in ("--help", "-h") for word in arguments)
    if name in COMMANDS and asks_for_help:
        command_help(name)
        return 0
    if arguments[0] in nouns and name not in COMMANDS and (asks_for_help or len(arguments) == 1):
        command_help(arguments[0])
        return 0
    return _parse_and_run(arguments, name)


def _parse_and_run(arguments: list[str], name: str) -> int:
    import signal

    import typer

    from llmctl.cli.app import build_app
    from llmctl.errors import ConfigError, Terminated

    def terminated(number: int, frame: object) -> None:
        _heard.append(Terminated())
        raise _heard[-1]

    def interrupted(number: int, frame: object) -> None:
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # a library may swallow the first; the second ends the process
        _heard.append(KeyboardInterrupt())
        raise _heard[-1]

    # a training replaces both by an orderly end
    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGINT, interrupted)
    try:
        app = build_app()  # not called: Typer has ways of its own with signals and broken pipes
        with app.make_context("llmctl", arguments) as context:
            app.invoke(context)
        return 0
    except typer.Exit as done:
        return done.exit_code
    except typer.TyperException as error:
        from llmctl.cli import COMMANDS

        words = f"llmctl {name} --help" if name in COMMANDS else "llmctl --help"
        message = error.format_message().rstrip(".")
        raise ConfigError(message[0].lower() + message[1:], hint=f"see {words}") from error
