"""Whether DDP has to look for weights without a gradient."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from llmctl.training.streaming import Stream
from llmctl.training.unused import leaves_weights_out
from tests.line import Fit, Line, Numbers


class WithPooler(Line):
    """What SqueezeBERT has beside what a masked model asks."""

    def __init__(self) -> None:
        super().__init__()
        self.pooler = nn.Linear(1, 1)


class WithExperts(Line):
    """Experts may all have a gradient in one batch, and some have none in the next."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList()


def trainer_of(model: Any, examples: Any, validation: Any = None) -> Any:
    return SimpleNamespace(
        model=model,
        objective=Fit(),
        train_dataset=examples,
        eval_dataset=validation,
        compute_loss_context_manager=nullcontext,
        _prepare_inputs=lambda batch: batch,
    )


def test_weights_without_a_gradient_are_found_and_nothing_is_changed() -> None:
    for kind, expected in ((Line, False), (WithPooler, True), (WithExperts, True)):
        model = kind()
        drawn = torch.random.get_rng_state()
        assert leaves_weights_out(trainer_of(model, Numbers(8))) is expected
        assert torch.equal(torch.random.get_rng_state(), drawn)
        assert all(weight.grad is None for weight in model.parameters())
    frozen = WithPooler()
    frozen.pooler.requires_grad_(False)
    assert not leaves_weights_out(trainer_of(frozen, Numbers(1)))


def test_a_stream_is_not_read_for_it() -> None:
    stream: Any = Stream.__new__(Stream)
    assert leaves_weights_out(trainer_of(Line(), stream)), "nothing to try it with"
    assert not leaves_weights_out(trainer_of(Line(), stream, Numbers(8)))
    assert leaves_weights_out(trainer_of(WithPooler(), stream, Numbers(8)))
