"""What a training takes on paper: bytes of its states on each rank, and its time; plain arithmetic, no library.

Weights, gradients and optimiser: Rajbhandari et al., 2020, "ZeRO" (arXiv:1910.02054, section 3): 16 bytes a parameter
with AdamW, divided by the processes where they are sharded. Activations and operations are counted
(``llmctl.training.rehearsal``).
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

FLOAT, HALF = 4, 2  # bytes of a number
DEFAULT_MFU = 0.4  # of a peak; PaLM's 540B reached 0.46, GPT-3 0.21 (arXiv:2204.02311, table 3)

# Bytes that an optimiser keeps of each number that learns. Not here: those whose state follows from a weight's shape.
_STATE_BYTES = {
    "adamw_torch_fused": 2 * FLOAT,
    "adamw_torch": 2 * FLOAT,
    "schedule_free_adamw": 2 * FLOAT,  # the second moment, and the point that moves
    "lion": FLOAT,
    "rmsprop": FLOAT,
    "adagrad": FLOAT,
    "sgd": 0,  # without momentum, as it is set up here
    "paged_adamw_32bit": 2 * FLOAT,
    "lion_32bit": FLOAT,
    "paged_lion_32bit": FLOAT,
}
# numbers of 8 bits a weight (Dettmers et al., 2022, arXiv:2110.02861), with a scale for each 256 of them
_EIGHT_BITS = {"adamw_8bit": 2, "paged_adamw_8bit": 2, "lion_8bit": 1, "paged_lion_8bit": 1}
_BLOCK = 256
_SMALL = 4096  # numbers; a weight of fewer has a state in 32 bits, and so has an embedding
# DeepSpeed gathers weights of so many numbers at most (stage3_max_live_parameters)
_MOST_GATHERED = 10**9

Strategy = Literal["ddp", "fsdp", "deepspeed"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Weights:
    """A model's weights, as far as memory depends on them.

    Attributes:
        number: all of them.
        matrices: shapes of those that learn and are matrices of layers, which are Muon's.
        tables: shapes of the embeddings that learn.
        others: shapes of what else learns.
        in_layers: weights of all layers that are sharded one by one.
        largest_layer: of the largest of them.
    """

    number: int
    matrices: tuple[Shape, ...]
    tables: tuple[Shape, ...]
    others: tuple[Shape, ...]
    in_layers: int = 0
    largest_layer: int = 0

    @property
    def learning(self) -> int:
        """How many learn."""
        return sum(map(math.prod, self.matrices + self.tables + self.others))


@dataclass(frozen=True)
class Memory:
    """Bytes on one rank.

    Attributes:
        activations: the most at once; see ``llmctl.training.rehearsal.Rehearsal``.
        working: what strategy or optimiser take beside: DDP's buckets, gathered weights, Muon's step.
        peak: the most at once. Not the sum: activations go while gradients come, and both are gone or waiting when the
            optimiser steps.
        read_back: at the end, with the whole model on each of several ranks that shared it out; part of ``peak``.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    working: int
    peak: int
    read_back: int = 0


def optimizer_bytes(weights: Weights, optim: str) -> int:
    """What an optimiser keeps from step to step, for all weights that learn."""
    shapes = weights.matrices + weights.tables + weights.others
    if (
        optim == "muon"
    ):  # one momentum of each matrix, AdamW's two moments of the rest (``llmctl.training.muon``)
        matrices = sum(map(math.prod, weights.matrices))
        return FLOAT * matrices + 2 * FLOAT * (weights.learning - matrices)
    if optim == "adafactor":  # a row and a column of each matrix (Shazeer and Stern, 2018, arXiv:1804.04235)
        return FLOAT * sum(map(_factored, shapes))
    if moments := _EIGHT_BITS.get(optim):
        layers = weights.matrices + weights.others
        large = sum(size for size in map(math.prod, layers) if size >= _SMALL)
        small = weights.learning - large
        return moments * (large + FLOAT * large // _BLOCK + FLOAT * small)
    return _STATE_BYTES[optim] * weights.learning


def _factored(shape: Shape) -> int:
    return math.prod(shape) if len(shape) < 2 else math.prod(shape[:-1]) + math.prod(shape[:-2] + shape[-1:])


def muon_step_bytes(weights: Weights, number: int) -> int:
    """What Muon's step takes in passing.

    The updates of all matrices; of those of one shape, which are made orthogonal together, a copy, what was and what
    becomes of it, and their products with themselves.

    Args:
        number: bytes of a number in the products.
    """
    alike = Counter(tuple(sorted(shape)) for shape in weights.matrices)
    most = max(
        (many * a * (FLOAT * b + number * (2 * b + a)) for (a, b), many in alike.items()),
        default=0,
    )
    return FLOAT * sum(map(math.prod, weights.matrices)) + most


def states(
    weights: Weights, *, optim: str, strategy: Strategy, processes: int, bf16: bool
) -> tuple[int, int, int]:
    """Bytes of weights, gradients and the optimiser on each rank.

    ``ddp`` keeps everything on each, in float32. ``fsdp`` divides it by the processes; ``deepspeed`` (stage 3 of ZeRO),
    too, but has weights and gradients in 16 bits and the master weights beside the optimiser's state.
    """
    state, held = optimizer_bytes(weights, optim), FLOAT
    if strategy == "deepspeed" and bf16:
        state, held = state + FLOAT * weights.learning, HALF
    parts = 1 if strategy == "ddp" else processes
    whole = held * weights.number, held * weights.learning, state
    found = tuple(math.ceil(part / parts) for part in whole)
    return found[0], found[1], found[2]


def rank_memory(
    weights: Weights,
    *,
    optim: str,
    strategy: Strategy,
    processes: int,
    bf16: bool,
    activations: int,
    backward: int,
    accumulates: bool,
) -> Memory:
    """Bytes on each of several ranks.

    With ``ddp`` gradients are there once more, in the buckets in which they are exchanged (PyTorch's
    ``gradient_as_bucket_view=False``). Where weights are sharded those of a layer are gathered before it is used, and
    those of the next one (``fsdp``), or up to ``stage3_max_live_parameters`` (``deepspeed``). At the end each rank
    reads back the whole model, beside what is left of the training: FSDP's weights, all that DeepSpeed holds.

    Args:
        activations: as :class:`Memory`.
        backward: most bytes at once beside the weights in a forward and backward pass.
        accumulates: whether gradients are there already when a pass begins.
    """
    kept = states(weights, optim=optim, strategy=strategy, processes=processes, bf16=bf16)
    if strategy != "ddp" and processes > 1:
        number = HALF if bf16 else FLOAT
        gathered = number * _gathered(weights, strategy)
        read_back = (kept[0] if strategy == "fsdp" else sum(kept)) + number * weights.number
        peak = max(sum(kept) + gathered + activations, read_back)
        return Memory(*kept, activations, gathered, peak, read_back)
    of_weights, of_gradients, state = kept
    buckets = of_gradients if processes > 1 else 0
    step = muon_step_bytes(weights, HALF if bf16 else FLOAT) if optim == "muon" else 0
    passing = of_gradients + activations if accumulates else backward
    peak = of_weights + state + buckets + max(passing, of_gradients + step)
    return Memory(*kept, activations, buckets + step, peak)


def _gathered(weights: Weights, strategy: Strategy) -> int:
    if strategy == "deepspeed":
        return min(weights.number, _MOST_GATHERED)
    return min(weights.number, weights.number - weights.in_layers + 2 * weights.largest_layer)


def seconds(flops: int, *, processes: int, peak_flops: float, mfu: float) -> float:
    """How long a run takes at a stated utilisation.

    Args:
        flops: operations of the model in the whole run; what is computed again does not count (arXiv:2204.02311, B).
        peak_flops: operations a second that a device is made for.
        mfu: share of them that go into the model.
    """
    return flops / (processes * peak_flops * mfu)
