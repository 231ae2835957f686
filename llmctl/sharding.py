"""Weights of which each process holds a part, as FSDP and DeepSpeed's ZeRO-3 keep them.

FSDP's are ``DTensor``; those of ZeRO-3 are empty and have their part in ``ds_tensor``.
"""

from typing import Any


def is_sharded(model: Any) -> bool:
    """Whether the processes hold parts of the model's weights: none of them can compute with a layer by itself."""
    from torch.distributed.fsdp import FSDPModule

    return isinstance(model, FSDPModule) or hasattr(next(model.parameters()), "ds_id")


def part_of(weight: Any) -> Any:
    """The part of a weight that this process holds, all of it where it is not sharded; it may be empty."""
    if hasattr(weight, "ds_tensor"):
        return weight.ds_tensor
    return weight.to_local() if hasattr(weight, "to_local") else weight


def whole(value: Any) -> Any:
    """A tensor put together from the parts of all processes, all of which must ask; a plain one as it is."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value
