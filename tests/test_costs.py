"""Memory on paper: optimisers' states as they are, and what each strategy divides."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from transformers.optimization import Adafactor

from llmctl import costs
from llmctl.training.lion import Lion
from llmctl.training.muon import Muon
from tests.allocations import peak_bytes

MATRICES, TABLES, OTHERS = ((96, 64), (64, 96), (64, 64)), ((512, 64),), ((64,), (96,))
WEIGHTS = costs.Weights(
    number=sum(map(math.prod, MATRICES + TABLES + OTHERS)),
    matrices=MATRICES,
    tables=TABLES,
    others=OTHERS,
    in_layers=sum(map(math.prod, MATRICES)),
    largest_layer=96 * 64,
)


def parameters(shapes: tuple[costs.Shape, ...]) -> list[nn.Parameter]:
    made = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    for weight in made:
        weight.grad = torch.randn_like(weight)
    return made


OPTIMISERS: dict[str, Any] = {
    "adamw_torch_fused": lambda groups: torch.optim.AdamW(groups, fused=True),
    "adamw_torch": torch.optim.AdamW,
    "muon": Muon,
    "lion": lambda groups: Lion(groups, lr=1e-3),
    "adafactor": lambda groups: Adafactor(groups, lr=1e-3, scale_parameter=False, relative_step=False),
    "sgd": lambda groups: torch.optim.SGD(groups, lr=1e-3),
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}


def made(optim: str) -> torch.optim.Optimizer:
    muons = {"orthogonal": True} if optim == "muon" else {}
    groups = [{"params": parameters(MATRICES), **muons}, {"params": parameters(TABLES + OTHERS)}]
    found: torch.optim.Optimizer = OPTIMISERS[optim](groups)
    return found


@pytest.mark.parametrize("optim", OPTIMISERS)
def test_a_state_is_as_large_as_the_optimiser_makes_it(optim: str) -> None:
    optimiser = made(optim)
    optimiser.step()
    states = [value for state in optimiser.state.values() for value in state.values()]
    kept = sum(value.nbytes for value in states if isinstance(value, torch.Tensor) and value.dim())
    assert costs.optimizer_bytes(WEIGHTS, optim) == kept


def test_states_in_8_bits_keep_embeddings_and_small_weights_in_32() -> None:
    large = 3 * 4096 + 2 * (96 * 64 - 4096)
    small = WEIGHTS.learning - large
    assert costs.optimizer_bytes(WEIGHTS, "adamw_8bit") == 2 * large + 8 * large // 256 + 8 * small
    assert costs.optimizer_bytes(WEIGHTS, "lion_8bit") == large + 4 * large // 256 + 4 * small


def test_every_optimiser_is_known() -> None:
    from typing import get_args

    from llmctl.config.fields import Optimiser

    assert all(costs.optimizer_bytes(WEIGHTS, optim) >= 0 for optim in get_args(Optimiser))


def test_what_muons_step_takes_in_passing() -> None:
    optimiser = made("muon")
    optimiser.step()
    optimiser.param_groups = optimiser.param_groups[:1]
    assert peak_bytes(optimiser.step) == pytest.approx(costs.muon_step_bytes(WEIGHTS, costs.FLOAT), rel=0.1)


def memory(**asked: Any) -> costs.Memory:
    settings = {"optim": "adamw_torch_fused", "strategy": "ddp", "processes": 1, "bf16": False}
    rehearsed = {"activations": 1000, "backward": 1200, "accumulates": False}
    return costs.rank_memory(WEIGHTS, **settings | rehearsed | asked)  # type: ignore[arg-type]


def test_one_process_has_16_bytes_a_parameter_and_activations_that_go_as_gradients_come() -> None:
    number = WEIGHTS.number
    found = memory()
    assert (found.weights, found.gradients, found.optimizer) == (4 * number, 4 * number, 8 * number)
    assert (found.working, found.peak) == (
        0,
        16 * number,
    )  # few activations: the optimiser's step is the peak
    assert memory(backward=10**9).peak == 12 * number + 10**9
    assert memory(activations=10**9, accumulates=True).peak == 16 * number + 10**9


def test_ddp_keeps_gradients_in_buckets_too() -> None:
    found = memory(processes=2)
    assert found.working == 4 * WEIGHTS.number
    assert found.peak == memory().peak + found.working


def test_what_is_sharded_is_divided_and_gathered_by_layers() -> None:
    number = WEIGHTS.number
    found = memory(strategy="fsdp", processes=4, bf16=True)
    assert (found.weights, found.gradients, found.optimizer) == (number, number, 2 * number)
    assert found.working == 2 * (number - WEIGHTS.in_layers + 2 * WEIGHTS.largest_layer)
    assert found.peak == 4 * number + found.working + 1000
    zero = memory(strategy="deepspeed", processes=4, bf16=True)
    states = (zero.weights, zero.gradients, zero.optimizer)
    assert states == tuple(math.ceil(size * number / 4) for size in (2, 2, 12))
    assert zero.working == 2 * number


def test_the_whole_model_is_read_back_on_each_rank() -> None:
    number = WEIGHTS.number
    found = memory(strategy="fsdp", processes=1000, bf16=True)
    assert found.peak == found.weights + 2 * number > 4 * found.weights + found.working + 1000
    assert memory(strategy="fsdp", processes=1000).peak == found.weights + 4 * number
    zero = memory(strategy="deepspeed", processes=1000, bf16=True, activations=0)
    assert zero.peak == zero.weights + zero.gradients + zero.optimizer + 2 * number


def test_zero_of_the_papers_figure() -> None:
    """arXiv:1910.02054, figure 1: 7.5 B parameters on 64 GPUs with Adam in mixed precision, 120 GB or 1.9 GB."""
    large = costs.Weights(7_500_000_000, ((7_500_000_000, 1),), (), ())
    settings: dict[str, Any] = {"optim": "adamw_torch_fused", "bf16": True}
    assert sum(costs.states(large, strategy="ddp", processes=64, **settings)) == 120e9
    assert sum(costs.states(large, strategy="deepspeed", processes=64, **settings)) == pytest.approx(
        1.9e9, rel=0.02
    )


def test_time_at_a_stated_utilisation() -> None:
    assert costs.seconds(10**18, processes=4, peak_flops=1e15, mfu=0.5) == 500.0
