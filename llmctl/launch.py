"""Starts the ranks of a command, on this machine, by torch's elastic launcher: what ``torchrun`` does by hand.

Each rank is the same command line again, told by the environment which rank it is.
"""

import contextlib
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmctl.config import Launch
from llmctl.errors import ConfigError, LlmctlError

CODE_FILE = "LLMCTL_CODE_FILE"
"""Names the file in which a rank leaves the exit code of all, when it has told why or ended as it was asked to."""
ORDERLY = (2, 75, 130, 143)
"""Exit codes that no further attempt would better; the launcher, which starts again what fails, is told 0."""
_PORT = 29500  # torch's own
_SHUTDOWN_SECONDS = 3600  # a last checkpoint may take long; a second signal does not wait
_GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


class RanksFailedError(LlmctlError):
    """A rank ended without a word."""


@dataclass(frozen=True)
class Place:
    """Which processes are started here.

    Attributes:
        num_processes: on this machine.
        address: of machine 0; ``None``: this is the only one.
    """

    num_processes: int
    num_machines: int = 1
    machine_rank: int = 0
    address: str | None = None
    port: int | None = None


def is_rank() -> bool:
    """Whether this process was started as one of several: by us, torchrun, accelerate launch or a scheduler."""
    return "WORLD_SIZE" in os.environ


def take_rank_from_scheduler() -> None:
    """Where SLURM's ``srun`` has started a process for each rank, say so in the words that torch reads."""
    tasks, nodes = _number("SLURM_STEP_NUM_TASKS"), _number("SLURM_STEP_NUM_NODES")
    if is_rank() or tasks <= nodes:
        return
    os.environ |= {
        "RANK": os.environ["SLURM_PROCID"],
        "WORLD_SIZE": str(tasks),
        "LOCAL_RANK": os.environ["SLURM_LOCALID"],
        "LOCAL_WORLD_SIZE": str(tasks // nodes),
    }
    os.environ.setdefault("MASTER_ADDR", first_host(os.environ["SLURM_STEP_NODELIST"]))
    os.environ.setdefault("MASTER_PORT", str(_PORT))


def place_of(config: Launch) -> Place | None:
    """What is to be started here for a command; ``None``: this process does it alone, or is a rank already.

    Raises:
        ConfigError: the options contradict each other.
    """
    if is_rank():
        return None
    config = _with_scheduler(config)
    machines = config.num_machines
    if config.machine_rank >= machines:
        raise ConfigError(
            f"machine_rank {config.machine_rank}: {machines} machines are numbered from 0 to {machines - 1}",
            hint="give --num-machines, the same on each machine, and another --machine-rank on each",
        )
    if machines > 1 and not config.main_process_ip:
        raise ConfigError(
            f"num_machines {machines}: where is machine 0?", hint="--main-process-ip ADDRESS, on each of them"
        )
    processes = config.num_processes or machines * max(_num_gpus(), 1)
    if processes % machines:
        raise ConfigError(
            f"num_processes {processes} cannot be shared out evenly among {machines} machines",
            hint="give a multiple of --num-machines",
        )
    if processes == 1:
        return None
    here = processes // machines
    return Place(here, machines, config.machine_rank, config.main_process_ip, config.main_process_port)


def _with_scheduler(config: Launch) -> Launch:
    """The config with what SLURM says where ``srun`` has started one process on each of several machines."""
    nodes = _number("SLURM_STEP_NUM_NODES")
    if nodes < 2 or config.num_machines > 1:
        return config
    return replace(
        config,
        num_machines=nodes,
        machine_rank=_number("SLURM_NODEID"),
        main_process_ip=config.main_process_ip or first_host(os.environ["SLURM_STEP_NODELIST"]),
    )


def first_host(nodes: str) -> str:
    """``gpu[07-09,12],login1`` -> ``gpu07``: the first of SLURM's list of nodes."""
    found = re.match(r"([^,\[]+)(?:\[([^],-]+))?", nodes)
    if not found:
        raise ConfigError(f"SLURM_STEP_NODELIST {nodes!r} names no machine", hint="--main-process-ip ADDRESS")
    return found[1] + (found[2] or "")


def _number(variable: str) -> int:
    return int(os.environ.get(variable) or 0)


def _num_gpus() -> int:
    """GPUs that are seen; torch, which takes seconds to import, is asked only where there may be one."""
    if sys.platform == "linux" and not any(map(os.path.exists, _GPU_FILES)):
        return 0
    import torch

    return int(torch.cuda.device_count())


def start(place: Place, config: Launch, arguments: Sequence[str]) -> int:
    """Start the ranks of ``llmctl ARGUMENTS`` and wait for their end.

    Returns:
        The exit code of the whole: what the ranks say, 128 and the signal where one ended them.

    Raises:
        RanksFailedError: a rank ended without having told why.
    """
    with tempfile.TemporaryDirectory(prefix="llmctl-") as folder, _environment(place, folder) as code_file:
        from torch.distributed.elastic.multiprocessing import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.launcher.api import elastic_launch

        for name in list(logging.root.manager.loggerDict):
            if name.startswith("torch.distributed.elastic"):  # the ranks and we tell what there is to tell
                logging.getLogger(name).setLevel(logging.CRITICAL)
        command = ("-m", "llmctl", *arguments)
        try:
            elastic_launch(_settings(place, config), sys.executable)(*command)
        except SignalException as ended:
            _end_all_at_once()
            return _code(code_file) or 128 + int(ended.sigval)
        except KeyboardInterrupt:
            _end_all_at_once()
            return 128 + signal.SIGINT
        except ChildFailedError as failed:
            if not (code := _code(code_file)):
                raise _without_a_word(failed.failures) from None
            return code
        code = _code(code_file)
        return code if code in ORDERLY else 0  # another is that of an attempt before the last


def _settings(place: Place, config: Launch) -> Any:
    from torch.distributed.launcher.api import LaunchConfig

    alone = place.num_machines == 1
    backend = "c10d" if alone else config.rdzv_backend
    port = place.port or (0 if alone else _PORT)
    return LaunchConfig(
        min_nodes=place.num_machines,
        max_nodes=place.num_machines,
        nproc_per_node=place.num_processes,
        run_id=str(os.getpid()) if alone else "llmctl",
        rdzv_endpoint=f"{place.address or 'localhost'}:{port}",
        rdzv_backend=backend,
        rdzv_configs={"rank": place.machine_rank} if backend == "static" else {},
        local_addr="localhost" if alone else None,
        max_restarts=config.max_restarts,
        monitor_interval=0.1,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )


@contextmanager
def _environment(place: Place, folder: str) -> Iterator[Path]:
    """What the ranks find in their environment; yields the file where they leave the exit code."""
    code_file = Path(folder, "code")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = {
        "OMP_NUM_THREADS": str(
            max(1, cores // place.num_processes)
        ),  # else each rank would take all processors
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # below it: stack traces of lost connections
    }
    if place.address and (interface := _interface_to(place.address)):
        given["GLOO_SOCKET_IFNAME"] = interface
    given = {name: value for name, value in given.items() if name not in os.environ}
    given[CODE_FILE] = str(code_file)
    os.environ |= given
    try:
        yield code_file
    finally:
        for name in given:
            del os.environ[name]


def _interface_to(address: str) -> str | None:
    """The network interface through which ``address`` is reached.

    Left to itself gloo takes that of this machine's name, which many systems give an address that no other machine
    reaches (127.0.1.1).
    """
    import socket

    import psutil  # type: ignore[import-untyped]

    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))  # sends nothing
        own = probe.getsockname()[0]
        for name, addresses in psutil.net_if_addrs().items():
            if any(each.address == own for each in addresses):
                return str(name)
    return None


def leave_code(code: int) -> int:
    """As a rank, tell the launcher, if there is one, with what code all end; returns the code of this process."""
    if place := os.environ.get(CODE_FILE):
        Path(place).write_text(str(code))
        return 0 if code in ORDERLY else code
    return code


def forget_code() -> None:
    """As a rank, begin anew: what an earlier attempt has told is told."""
    if place := os.environ.get(CODE_FILE):
        Path(place).unlink(missing_ok=True)


def _code(file: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text())
    return 0


def _without_a_word(failures: Mapping[int, Any]) -> RanksFailedError:
    """Of several the one that was killed: the others may have ended for want of it."""
    rank, failure = min(failures.items(), key=lambda item: (item[1].exitcode, item[0]))
    if failure.exitcode >= 0:
        what = f"ended with code {failure.exitcode}"
    else:
        what = f"was killed ({signal.Signals(-failure.exitcode).name})"
    return RanksFailedError(
        f"rank {rank} (process {failure.pid}) {what}: all processes ended",
        hint="was there enough memory? a training goes on from its last checkpoint: --resume RUN",
    )


def _end_all_at_once() -> None:
    """What is still there after a second signal."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
