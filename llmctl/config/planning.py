"""Options of a dry run: the devices that a run is planned for. No part of a recipe."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Le

from llmctl.config.fields import Units, planning_option

PeakFlops = Annotated[
    float,
    Gt(0),
    Units("a number such as 989e12 or 989T", (("g", 10**9), ("t", 10**12), ("p", 10**15))),
]


@dataclass(frozen=True, kw_only=True)
class Device:
    """What each process computes on, as far as a plan's time depends on it."""

    peak_flops: PeakFlops | None = planning_option(
        None,
        "tell the time on devices of so many operations a second at best",
        default_text="time is not told",
    )
    mfu: Annotated[float, Gt(0), Le(1)] | None = planning_option(
        None, "share of peak_flops that goes into the model", default_text="0.4"
    )
