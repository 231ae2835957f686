"""A command of several processes: who starts them, and which of them speaks."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from llmctl import handover, launch, ranks
from llmctl.config import Launch, options
from llmctl.errors import NOT_FINISHED, ConfigError, LlmctlError, Terminated
from llmctl.hub import first_line

if TYPE_CHECKING:
    from llmctl.cli.console import Console
    from llmctl.watchdog import Watchdog

_SECONDS_FOR_OTHERS, _SECONDS_FOR_RANK_0 = 3.0, 0.5
_ALL_END_SO = (0, NOT_FINISHED, 130, 143)  # codes with which each rank ends by itself
# What may differ from machine to machine.
_OWN = ("accelerate_config", "machine_rank", "main_process_ip", "runs_dir")
_OF_PEERS = ("gloo", "nccl", "connection closed by peer", "connection reset by peer", "broken pipe")

ConfigT = TypeVar("ConfigT", bound=Any)

_watchdog: "Watchdog | None" = None
_untold = False  # whether this rank ends without a word, by a signal
_met: BaseException | None = None  # the error with which this rank ends


def know_rank(name: str, config_class: type) -> None:
    """Find out which of several processes this one is, before anything is said.

    Raises:
        ConfigError: the command is one process's work, or the environment says it by halves.
    """
    if issubclass(config_class, Launch):
        launch.take_rank_from_scheduler()
        ranks.check()
        if ranks.count() > 1:
            os.environ.setdefault(
                "TORCH_CPP_LOG_LEVEL", "ERROR"
            )  # below it: stack traces of lost connections
    elif ranks.count() > 1:
        raise ConfigError(
            f"llmctl {name} is the work of one process, and {ranks.count()} were started (WORLD_SIZE)",
            hint="start it by itself; pretrain, finetune, eval and generate work in several",
        )


def started(config: Any, arguments: list[str], note: Callable[[str], None]) -> int | None:
    """Start the ranks that the command asks for and wait for them.

    Args:
        note: tells the person who watches what is waited for.

    Returns:
        Their exit code; ``None``: this process does the work itself.
    """
    if not isinstance(config, Launch):
        return None
    place = launch.place_of(config)
    if place is None:
        return None
    code = launch.start(place, config, arguments, note)
    if code and place.machine_rank:
        note(f"ended with code {code}: machine 0 tells why")
    return code


def meet(config: Any, tell: Callable[[str, str | None], None]) -> None:
    """As one of several ranks, meet the others and watch them from now on."""
    global _watchdog
    if ranks.count() > 1 and _watchdog is None:
        from llmctl import watchdog

        if config.num_processes not in (None, ranks.count()):
            raise ConfigError(
                f"num_processes {config.num_processes}, but {ranks.count()} were started (WORLD_SIZE)",
                hint="leave it out: who starts the processes says how many",
            )
        if ranks.is_first():
            handover.forget()
        with _ended_by_signals_at_once():
            _watchdog = watchdog.start(config.ddp_timeout, tell)
            ranks.join()


@contextmanager
def _ended_by_signals_at_once() -> Iterator[None]:
    """While the ranks meet: Python's handlers would wait until they have, though one of them may never come."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def again(config: ConfigT, warn: Callable[[str], None]) -> ConfigT:
    """As a rank of a further attempt of the launcher, what is to be done now: a training goes on with its run."""
    if attempt := int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)):
        most = os.environ.get("TORCHELASTIC_MAX_RESTARTS", attempt)
        warn(f"a process had ended: all were started again (restart {attempt} of {most})")
    if (begun := handover.run_begun()) is None or config.resume:
        return config
    return replace(config, resume="auto", run_name=begun.name)


def check_alike(config: Any) -> None:
    """Hold the options of each rank to those of rank 0: on several machines each was typed by itself.

    Raises:
        ConfigError: naming one that differs, on all ranks.
    """
    mine = {item.name: getattr(config, item.name) for item in options(type(config)) if item.name not in _OWN}
    first, *others = ranks.gather(mine)
    for rank, other in enumerate(others, start=1):
        if differing := [name for name in first if first[name] != other[name]]:
            name = differing[0]
            raise ConfigError(
                f"--{name.replace('_', '-')} is {first[name]} for rank 0, {other[name]} for rank {rank}",
                hint="type the same on each machine, but for --machine-rank",
            )


def console(quiet: bool, as_json: bool) -> "Console":
    """The terminal for rank 0, none for the others."""
    from llmctl.cli.console import Console, Mute

    return Console(quiet=quiet, as_json=as_json) if ranks.is_first() else Mute()


def may_tell(error: BaseException) -> bool:
    """Whether this process is to show the error: of what all ranks meet one does, of a lost rank the launcher."""
    global _untold, _met
    _met = error
    if isinstance(error, (KeyboardInterrupt, Terminated)) and handover.is_launched():
        _untold = True  # the launcher had the signal as well, or sent it for want of another rank: it tells
        return False
    if ranks.count() == 1 or ranks.index() >= ranks.count():
        return True
    if _watchdog is None:  # they have not met: what is each one's own is told by each
        return ranks.is_first() or not isinstance(error, LlmctlError)
    signal.signal(signal.SIGTERM, lambda *given: os._exit(1))  # from now on another may tell it, and end us
    if any(part in str(error).lower() for part in _OF_PEERS):
        # Mostly another rank's error, or its death, is behind this: that rank, or what looks after it, has time.
        time.sleep(_SECONDS_FOR_OTHERS)
        handover.leave_word(first_line(error))
        if handover.is_launched():
            _untold = True
            return False
    if not ranks.is_first():
        time.sleep(_SECONDS_FOR_RANK_0)
    return _watchdog.speaks_first()


def part(code: int) -> int:
    """As a rank that has done its work or failed, have the others know; returns the exit code of this process."""
    # Where no run has begun that a further attempt could go on with, it would meet the same.
    of_input = isinstance(_met, LlmctlError) and not isinstance(_met, ranks.RanksFailedError)
    final = code == ConfigError.exit_code or (of_input and handover.run_begun() is None)
    left = handover.leave_code(code, final=final) if code and not _untold else code
    if _watchdog:
        if code not in _ALL_END_SO:
            _watchdog.end_others(code, f"rank {ranks.index()} has failed", final=final)
        _watchdog.finish()
    return left
