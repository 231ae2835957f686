"""Starts the ranks of a command, on this machine, by torch's elastic launcher: what ``torchrun`` does by hand.

Each rank is the same command line again, told by the environment which rank it is.
"""

import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmctl import handover, machines, ranks
from llmctl.config import Launch
from llmctl.errors import ConfigError, Terminated
from llmctl.ranks import RanksFailedError
from llmctl.watchdog import Overseer

PORT = 29500
"""Torch's own."""
_SHUTDOWN_SECONDS = 3600  # a last checkpoint may take long; a second signal does not wait
_A_CORE = 4  # processes that take turns on a processor, to try things out
_GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


@dataclass(frozen=True)
class Place:
    """Which processes are started here.

    Attributes:
        num_processes: on this machine.
        address: of machine 0; ``None``: this is the only one.
        port: there; 0: a free one.
    """

    num_processes: int
    num_machines: int = 1
    machine_rank: int = 0
    address: str | None = None
    port: int = 0


def is_rank() -> bool:
    """Whether this process was started as one of several: by us, torchrun, accelerate launch or a scheduler."""
    return "WORLD_SIZE" in os.environ


def all_are_here() -> bool:
    """Whether none of the ranks that the launcher has started beside this one is gone; true of one that it did not."""
    if not handover.is_launched():
        return True
    import psutil  # type: ignore[import-untyped]

    gone = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    with contextlib.suppress(psutil.Error):
        beside = [child for child in psutil.Process(os.getppid()).children() if child.status() not in gone]
        return len(beside) >= ranks.number("LOCAL_WORLD_SIZE", 1)
    return False


def take_rank_from_scheduler() -> None:
    """Where SLURM's ``srun`` has started a process for each rank, say so in the words that torch reads."""
    tasks, nodes = ranks.number("SLURM_STEP_NUM_TASKS"), ranks.number("SLURM_STEP_NUM_NODES")
    if is_rank() or tasks <= nodes:
        return
    os.environ |= {
        "RANK": os.environ["SLURM_PROCID"],
        "WORLD_SIZE": str(tasks),
        "LOCAL_RANK": os.environ["SLURM_LOCALID"],
        "LOCAL_WORLD_SIZE": str(tasks // nodes),
    }
    os.environ.setdefault("MASTER_ADDR", machines.first_host(os.environ["SLURM_STEP_NODELIST"]))
    own_port = 20_000 + ranks.number("SLURM_JOB_ID") % 20_000  # jobs may share a machine
    os.environ.setdefault("MASTER_PORT", str(own_port))


def num_processes(config: Launch) -> int:
    """How many processes a command works in: as many as are asked for, else one for each GPU."""
    if is_rank():
        return ranks.count()
    config = _with_scheduler(config)
    if config.num_processes or not config.is_parallel:
        return config.num_processes or 1
    return config.num_machines * max(num_gpus(), 1)


def place_of(config: Launch) -> Place | None:
    """What is to be started here for a command; ``None``: this process does it alone, or is a rank already.

    Raises:
        ConfigError: the options contradict each other.
    """
    if is_rank():
        return None
    config = _with_scheduler(config)
    num_machines = config.num_machines
    if config.machine_rank >= num_machines:
        raise ConfigError(
            f"machine_rank {config.machine_rank}: {num_machines} machines are numbered from 0 to {num_machines - 1}",
            hint="give --num-machines, the same on each machine, and another --machine-rank on each",
        )
    if num_machines > 1 and not config.main_process_ip:
        raise ConfigError(
            f"num_machines {num_machines}: where is machine 0?",
            hint="--main-process-ip ADDRESS, on each of them",
        )
    processes = num_processes(config)
    if processes % num_machines:
        raise ConfigError(
            f"num_processes {processes} cannot be shared out evenly among {num_machines} machines",
            hint="give a multiple of --num-machines",
        )
    if processes == 1 and not config.max_restarts:
        return None
    here = processes // num_machines
    gpus, num_cores = num_gpus(), _num_cores()
    if here > (most := gpus or _A_CORE * num_cores):
        has = f"{gpus} GPUs" if gpus else f"{num_cores} processors"
        raise ConfigError(
            f"num_processes {processes}: {here} on this machine, which has {has}",
            hint=f"--num-processes {num_machines * most} at most",
        )
    port = config.main_process_port or (PORT if num_machines > 1 else 0)
    address = config.main_process_ip if num_machines > 1 else None
    return Place(here, num_machines, config.machine_rank, address, port)


def _with_scheduler(config: Launch) -> Launch:
    """The config with what SLURM says where ``srun`` has started one process on each of several machines."""
    nodes = ranks.number("SLURM_STEP_NUM_NODES")
    if nodes < 2 or config.num_machines > 1:
        return config
    return replace(
        config,
        num_machines=nodes,
        machine_rank=ranks.number("SLURM_NODEID"),
        main_process_ip=config.main_process_ip or machines.first_host(os.environ["SLURM_STEP_NODELIST"]),
    )


def num_gpus() -> int:
    """GPUs that are seen; torch, which takes seconds to import, is asked only where there may be one."""
    if sys.platform == "linux" and not any(map(os.path.exists, _GPU_FILES)):
        return 0
    import torch

    return int(torch.cuda.device_count())


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(place: Place, config: Launch, arguments: Sequence[str], note: Callable[[str], None]) -> int:
    """Start the ranks of ``llmctl ARGUMENTS`` and wait for their end.

    Args:
        note: tells the person who watches what is waited for.

    Returns:
        The exit code of the whole: what the ranks say.

    Raises:
        KeyboardInterrupt, Terminated: a signal ended them, before they could say more.
        ConfigError: another program has the port where they are to meet.
        RanksFailedError: a rank ended without having told why, or the machines did not meet.
    """
    if place.port and place.machine_rank == 0:
        machines.check_port(place.port)
    with tempfile.TemporaryDirectory(prefix="llmctl-") as folder, _environment(place, folder):
        from torch.distributed import DistError
        from torch.distributed.elastic.multiprocessing import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.elastic.rendezvous import RendezvousError
        from torch.distributed.launcher.api import elastic_launch

        for name in list(logging.root.manager.loggerDict):
            if name.startswith("torch.distributed.elastic"):  # the ranks and we tell what there is to tell
                logging.getLogger(name).setLevel(logging.CRITICAL)
        overseer = Overseer(config.ddp_timeout, place.num_processes)
        try:
            _store = _meet(place, config, note)  # where this process keeps it, the launcher goes on with it
            # -P: a folder "llmctl" here, such as a clone of it, is not the package
            with overseer, _stopped_with_this():
                elastic_launch(_settings(place, config), sys.executable)("-P", "-m", "llmctl", *arguments)
        except SignalException as ended:
            _end_all_at_once()
            if code := handover.code():
                return code
            raise (KeyboardInterrupt if ended.sigval == signal.SIGINT else Terminated) from None
        except KeyboardInterrupt:
            _end_all_at_once()
            raise
        except ChildFailedError as failed:
            if not (code := handover.code()):
                raise _untold(failed.failures, overseer.ended) from None
            return code
        except (DistError, RendezvousError) as error:
            raise ranks.unmet(f"{place.address or 'localhost'}:{place.port}", error) from error
        return handover.code() if handover.is_final() else 0  # another is that of an attempt before the last


def _meet(place: Place, config: Launch, note: Callable[[str], None]) -> Any:
    """Wait for the other machines; with c10d any may come late or again, and the launcher sees to it."""
    if place.address is None or config.rdzv_backend != "static":
        return None
    return machines.meet(place.address, place.port, place.machine_rank, place.num_machines, note)


def _settings(place: Place, config: Launch) -> Any:
    from torch.distributed.launcher.api import LaunchConfig

    alone = place.num_machines == 1
    backend = "c10d" if alone else config.rdzv_backend
    return LaunchConfig(
        min_nodes=place.num_machines,
        max_nodes=place.num_machines,
        nproc_per_node=place.num_processes,
        run_id=str(os.getpid()) if alone else "llmctl",
        rdzv_endpoint=f"{place.address or 'localhost'}:{place.port}",
        rdzv_backend=backend,
        rdzv_configs={"rank": place.machine_rank} if backend == "static" else {},
        local_addr="localhost" if alone else None,
        max_restarts=config.max_restarts,
        monitor_interval=0.1,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )


@contextmanager
def _environment(place: Place, folder: str) -> Iterator[None]:
    """What the ranks find in their environment, among it the ``folder`` for what they hand over."""
    share = max(1, _num_cores() // place.num_processes)  # else each rank would take all processors
    given = {
        "OMP_NUM_THREADS": str(share),
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # below it: stack traces of lost connections
    }
    if place.address and (interface := machines.interface_to(place.address)):
        given["GLOO_SOCKET_IFNAME"] = interface
    given = {name: value for name, value in given.items() if name not in os.environ}
    given[handover.CODE_FILE] = str(Path(folder, "code"))
    os.environ |= given
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]


def _untold(failures: Mapping[int, Any], silent: Container[int]) -> RanksFailedError:
    """Of several the one that was killed: the others may have ended for want of it, by the launcher's SIGTERM.

    Where none was, the reason that one has left.

    Args:
        silent: processes that were killed as they did not answer.
    """

    def order(item: tuple[int, Any]) -> tuple[bool, int, int]:
        rank, failure = item
        return failure.exitcode == -signal.SIGTERM, failure.exitcode, rank

    rank, failure = min(failures.items(), key=order)
    what, hint = f"rank {rank} (process {failure.pid}) ", handover.how_to_go_on()
    if failure.pid in silent:
        what += "was stopped and did not go on"
        hint = handover.how_to_go_on("find out what stopped it;")
    elif failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM:
        what += f"was killed ({signal.Signals(-failure.exitcode).name})"
    else:
        told = f"ended with code {failure.exitcode}, without telling llmctl why: see above"
        what = handover.word() or what + told
    return RanksFailedError(f"{what}: all processes ended", hint=hint)


@contextmanager
def _stopped_with_this() -> Iterator[None]:
    """Have Ctrl-Z stop the ranks, too: torch starts them as sessions of their own, which a terminal does not reach."""

    def stop(number: int, frame: object) -> None:
        _signal_ranks(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        _signal_ranks(signal.SIGCONT)

    before = signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)


def _end_all_at_once() -> None:
    """What is still there after a second signal."""
    _signal_ranks(signal.SIGKILL)


def _signal_ranks(number: int) -> None:
    """Send a signal to the ranks and to the processes that they have started."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.send_signal(number)
