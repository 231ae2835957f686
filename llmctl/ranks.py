"""The processes that work on one command together, as ``torchrun`` and ``accelerate launch`` start them: its ranks.

Rank 0 is the one that prepares, writes and speaks. Where there is one process, nothing here costs or changes anything.
What ranks tell each other goes over the processors (gloo), whatever the training uses, and waits as long as it takes: a
rank that died or was stopped is the watchdog's affair (``llmctl.watchdog``).
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import islice
from typing import Any, TypeVar, cast

from llmctl.errors import ConfigError, LlmctlError
from llmctl.hub import first_line

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_MAIN, _BESIDE = "main", "beside"  # groups: each thread has its own, else one would get what another is sent
_AS_LONG_AS_IT_TAKES = timedelta(days=30)
# Rank 0 may write for long while others wait for it in a save; but one that hangs should not be waited for for ever.
_IN_A_STEP = timedelta(hours=2)
SECONDS_TO_COME = 600.0
"""How long the first ranks wait for the last: machines do not begin at the same time."""


class _Thread(threading.local):
    alone = False  # whether this rank does something by itself, while the others wait for it or it for them
    group = _MAIN


_thread = _Thread()


class RanksFailedError(LlmctlError):
    """The processes did not meet, or one ended without a word."""


def index() -> int:
    """The number of this process, from 0."""
    return number("RANK")


def count() -> int:
    """How many processes work together."""
    return number("WORLD_SIZE", 1)


def number(variable: str, otherwise: int = 0) -> int:
    """What a variable of the environment says, where it is a whole number."""
    given = os.environ.get(variable, "")
    return int(given) if given.isdecimal() else otherwise


def check() -> None:
    """Refuse an environment that says by halves which of several processes this one is.

    Raises:
        ConfigError: naming the variables.
    """
    hint = "start the processes by --num-processes, torchrun or accelerate launch, or unset these variables"
    given = {name: os.environ[name] for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK") if name in os.environ}
    told = ", ".join(f"{name} is {value!r:.60}" for name, value in given.items())
    if not all(value.isdecimal() for value in given.values()) or given.get("WORLD_SIZE") == "0":
        raise ConfigError(f"{told}: whole numbers are needed to know the ranks", hint=hint)
    if given and "WORLD_SIZE" not in given:
        raise ConfigError(f"{told}, but WORLD_SIZE does not say of how many processes", hint=hint)
    if index() >= count():
        raise ConfigError(f"{told}: ranks are numbered from 0 to {count() - 1}", hint=hint)


def is_first() -> bool:
    """Whether this is the process that prepares, writes and speaks."""
    return index() == 0


@cache
def _group(name: str) -> Any:
    from torch import distributed

    return distributed.new_group(backend="gloo", timeout=_AS_LONG_AS_IT_TAKES)


def store(seconds: float) -> Any:
    """Where the ranks leave each other word before and after they have met; its calls end within ``seconds``.

    The launcher keeps it, else rank 0. What an earlier attempt of the launcher left there is out of sight: torch keeps
    one store for all attempts, and would meet at the addresses of processes that are gone.

    Raises:
        ConfigError: the environment does not say where it is.
        RanksFailedError: it is not there.
    """
    from torch.distributed import DistError, PrefixStore, TCPStore

    try:
        place, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"WORLD_SIZE is {count()}, but MASTER_ADDR and MASTER_PORT do not say where the processes meet",
            hint="unset WORLD_SIZE, or start the processes by --num-processes, torchrun or accelerate launch",
        ) from error
    keeps = is_first() and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    end = time.monotonic() + SECONDS_TO_COME
    while True:
        try:
            wait = timedelta(seconds=seconds)
            found = TCPStore(place, port, is_master=keeps, timeout=wait, multi_tenant=True)
            return PrefixStore(f"llmctl/{attempt}", found)
        except DistError as error:  # tried for so long that Ctrl-C would not be heard meanwhile
            if keeps or time.monotonic() > end:
                raise unmet(f"{place}:{port}", error) from error


def unmet(where: str, error: Exception) -> RanksFailedError:
    """The error of processes that do not meet, ``where`` they should have."""
    return RanksFailedError(
        f"the processes do not meet at {where}: {first_line(error)}",
        hint="is rank 0 there, on machine 0, and may the others reach it? another port: --main-process-port",
    )


def join() -> None:
    """Meet the other ranks; imports the heavy libraries.

    Raises:
        ConfigError: Accelerate would have each rank work for itself, on the same.
    """
    if count() == 1:
        return
    import torch
    from accelerate import PartialState

    on_cpu = not torch.accelerator.is_available()
    if on_cpu:
        # else Accelerate, and Trainer that asks it anew, take each rank for the only one, and say nothing
        os.environ["ACCELERATE_USE_CPU"] = "true"
    where: dict[str, Any] = {}
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") != "true":  # DeepSpeed takes no store
        where = {"store": store(SECONDS_TO_COME), "rank": index(), "world_size": count()}
    state = PartialState(cpu=on_cpu, timeout=_IN_A_STEP, **where)
    if state.num_processes != count():
        raise ConfigError(
            f"{count()} processes were started, but Accelerate makes {state.num_processes} of them "
            f"({state.distributed_type.value} on {state.device.type})",
            hint="start one process; several work together on GPUs or, where there are none, on the CPU",
        )
    _group(_MAIN)


def _act_together() -> bool:
    return count() > 1 and not _thread.alone


@contextmanager
def _by_itself() -> Iterator[None]:
    _thread.alone = True
    try:
        yield
    finally:
        _thread.alone = False


def beside() -> ThreadPoolExecutor:
    """A thread in which the ranks work together on something else than in the main one; made by all at one time."""

    def begin() -> None:
        _thread.group = _BESIDE

    if _act_together():
        _group(_BESIDE)
    return ThreadPoolExecutor(1, initializer=begin)


def share(make: Callable[[], ResultT]) -> ResultT:
    """What ``make`` gives on rank 0, on every rank; the others wait. Within it rank 0 acts as if it were alone.

    Raises:
        LlmctlError: what ``make`` raised on rank 0, on every rank.
    """
    if not _act_together():
        return make()
    from torch import distributed

    told: list[Any] = [None, None]
    if is_first():
        try:
            with _by_itself():
                told[0] = make()
        except LlmctlError as found:
            told[1] = found
    distributed.broadcast_object_list(told, src=0, group=_group(_thread.group))
    result, error = told
    if error is not None:
        raise error
    return cast(ResultT, result)


def first_then_others(make: Callable[[], ResultT]) -> ResultT:
    """``make()`` on rank 0, then on the others, who find prepared what it left on disk.

    Raises:
        LlmctlError: what ``make`` raised on rank 0, on every rank.
    """
    made: list[ResultT] = []
    share(lambda: made.append(make()))
    if made:
        return made[0]
    with _by_itself():
        return make()


def gather(value: ResultT) -> list[ResultT]:
    """Every rank's ``value``, in the order of the ranks."""
    if not _act_together():
        return [value]
    from torch import distributed

    found: list[Any] = [None] * count()
    distributed.all_gather_object(found, value, group=_group(_thread.group))
    return found


def largest(value: int) -> int:
    """The largest of the ranks' values: a tenth of a millisecond on one machine, so it can be asked at each step."""
    if not _act_together():
        return value
    import torch
    from torch import distributed

    found = torch.tensor(value)
    distributed.all_reduce(found, distributed.ReduceOp.MAX, group=_group(_thread.group))
    return int(found)


def in_turns(items: Iterable[ItemT], work: Callable[[ItemT], ResultT]) -> Iterator[tuple[ItemT, ResultT]]:
    """Each item with what ``work`` makes of it, in order, on every rank; of N ranks each works on every N-th.

    What comes of it is what one process would give, to the last bit, where ``work`` looks at its item alone.

    Args:
        items: the same on all ranks.
        work: gives what can be pickled.
    """
    if not _act_together():
        for item in items:
            yield item, work(item)
        return
    rest = iter(items)
    while group := list(islice(rest, count())):
        # Where items are left for some only, the others work on the last, too: a model whose weights the ranks share
        # answers when all of them ask.
        mine = work(group[min(index(), len(group) - 1)])
        yield from zip(group, gather(mine), strict=False)


def pooled(items: Iterable[ItemT], work: Callable[[Iterator[ItemT]], Iterator[ResultT]]) -> Iterator[ResultT]:
    """What ``work`` yields for each item, in order, on every rank; as :func:`in_turns`, for work that reads ahead.

    Args:
        items: the same on all ranks.
        work: yields for each item what can be pickled, and is not ``None``.

    Raises:
        LlmctlError: what ``items`` or ``work`` raised on a rank, on all of them; else
        RanksFailedError: on the others, where a rank raised another error.
    """
    if not _act_together():
        yield from work(iter(items))
        return
    mine = work(islice(items, index(), None, count()))
    while True:
        error: BaseException | None = None
        result: ResultT | None = None
        try:
            result = next(mine, None)
        except BaseException as raised:  # told before it is raised, else the others would wait for this rank
            error = raised
        for other, told in gather((result, _as_told(error))):
            if told is not None:
                raise error or told
            if other is None:
                return
            yield other


def _as_told(error: BaseException | None) -> LlmctlError | None:
    """An error as other ranks are told of it: as it is where it can be pickled for sure."""
    if error is None or isinstance(error, LlmctlError):
        return error
    return RanksFailedError(f"rank {index()}: {type(error).__name__}: {first_line(error)}")
