"""The machines that work on one command together: how they find each other."""

import contextlib
import re
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from llmctl.errors import ConfigError
from llmctl.hub import first_line
from llmctl.ranks import SECONDS_TO_COME, RanksFailedError

_SECONDS_IN_SILENCE = 3.0
_SECONDS_BETWEEN = 1.0
_SECONDS_OF_A_CALL = timedelta(seconds=10)
_ELSEWHERE = "192.0.2.1"  # of RFC 5737: nobody's, so it is reached as any address outside is


def first_host(nodes: str) -> str:
    """``gpu[07-09,12],login1`` -> ``gpu07``: the first of SLURM's list of nodes."""
    found = re.match(r"([^,\[]+)(?:\[([^],-]+))?", nodes)
    if not found:
        raise ConfigError(f"SLURM_STEP_NODELIST {nodes!r} names no machine", hint="--main-process-ip ADDRESS")
    return found[1] + (found[2] or "")


def interface_to(address: str) -> str | None:
    """The network interface through which ``address`` is reached.

    Left to itself gloo takes that of this machine's name, which many systems give an address that no other machine
    reaches (127.0.1.1). So it may be with ``address`` on machine 0 itself: then that of other machines is taken.
    """
    import psutil  # type: ignore[import-untyped]

    own = _own_address(address)
    if own and own.startswith("127.") and not address.startswith(("127.", "localhost")):
        own = _own_address(_ELSEWHERE)
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address == own for each in addresses):
            return str(name)
    return None


def _own_address(address: str) -> str | None:
    """The address of this machine that packets to another come from; ``None``: there is no way to it."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))  # sends nothing
        return str(probe.getsockname()[0])
    return None


def check_port(port: int) -> None:
    """Refuse a port of this machine that is taken: torch would wait for what has it, in silence and deaf to Ctrl-C.

    Raises:
        ConfigError: naming it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just left is free
        try:
            probe.bind(("", port))
        except OSError as error:
            raise ConfigError(
                f"main_process_port {port}: {str(error.strerror).lower()}",
                hint="another --main-process-port; on one machine leave it out, and a free one is taken",
            ) from error


def meet(address: str, port: int, machine_rank: int, num_machines: int, note: Callable[[str], None]) -> Any:
    """Wait for all machines, as torch's launcher would: but that waits in silence, and is deaf to Ctrl-C.

    Args:
        address: of machine 0.
        note: tells the person who waits, after some seconds, for what.

    Returns:
        The store in which they met: the launcher goes on with it where this process keeps it.

    Raises:
        RanksFailedError: one has not come in ``ranks.SECONDS_TO_COME``, or machine 0 cannot listen there.
    """
    from torch.distributed import DistError, TCPStore

    began, told, store = time.monotonic(), False, None
    missing = list(range(num_machines))
    while True:
        try:
            if store is None and (machine_rank == 0 or _answers(address, port)):
                store = TCPStore(
                    address, port, is_master=machine_rank == 0, timeout=_SECONDS_OF_A_CALL, multi_tenant=True
                )
                store.set(f"llmctl/machine/{machine_rank}", "here")
            if store is not None:
                missing = [number for number in missing if not store.check([f"llmctl/machine/{number}"])]
        except DistError as error:
            if machine_rank == 0:
                raise RanksFailedError(
                    f"this machine cannot listen at {address}:{port}: {first_line(error)}",
                    hint="is --main-process-ip its address, no other machine 0, and the port free? --main-process-port",
                ) from error
            store = None  # machine 0 has gone again
        if not missing:
            return store
        waited = time.monotonic() - began
        which = f"machine {missing[0]} (of 0 to {num_machines - 1}) at {address}:{port}"
        if waited > SECONDS_TO_COME:
            raise RanksFailedError(
                f"waited {SECONDS_TO_COME:g} seconds for {which}: it has not come",
                hint="type the command on each machine, each with its own --machine-rank",
            )
        if waited > _SECONDS_IN_SILENCE and not told:
            told = True
            note(f"waiting for {which}{_unknown(address)}; Ctrl-C ends it")
        time.sleep(_SECONDS_BETWEEN)


def _unknown(address: str) -> str:
    """Words for an address that is no machine's, as far as is known by now."""
    try:
        socket.getaddrinfo(address, None)
    except OSError as error:
        return f", of which this machine knows no address ({error.strerror})"
    return ""


def _answers(address: str, port: int) -> bool:
    """Whether somebody listens there: torch would tell of each try in twenty lines."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=_SECONDS_BETWEEN):
        return True
    return False
