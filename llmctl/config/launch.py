"""Options that say how many processes work together, and where."""

from dataclasses import dataclass
from typing import Annotated, Literal

from llmctl.config.fields import Count, CountOrZero, Gt, Le, Name, launch_option


@dataclass(frozen=True, kw_only=True)
class Launch:
    """The processes of one command; their names are those of ``accelerate launch``."""

    accelerate_config: Name | None = launch_option(
        None, "a file of accelerate config that says what the options below and --strategy do", path=True
    )
    num_processes: Count | None = launch_option(
        None,
        "processes that work together on all machines",
        unit="processes",
        default_text="one for each GPU that is seen, else 1",
    )
    num_machines: Count = launch_option(
        1, "machines that work together; the command is typed on each", unit="machines"
    )
    machine_rank: CountOrZero = launch_option(0, "number of this machine, from 0")
    main_process_ip: Name | None = launch_option(
        None, "address of machine 0", default_text="this machine, where there is but one"
    )
    main_process_port: Annotated[int, Gt(0), Le(65_535)] | None = launch_option(
        None, "port of machine 0 where the processes meet", default_text="29500, or a free one on one machine"
    )
    rdzv_backend: Literal["static", "c10d"] = launch_option(
        "static", "how machines find each other; c10d: any of them may come late or again"
    )
    max_restarts: CountOrZero = launch_option(
        0, "start all processes again so many times when one has failed; a training goes on", unit="times"
    )
    ddp_timeout: Annotated[float, Gt(0)] = launch_option(
        20.0, "a process that does not answer for so long ends all", unit="seconds"
    )

    @property
    def is_parallel(self) -> bool:
        """Whether there is work for several processes where nobody said how many."""
        return True
