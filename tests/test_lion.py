"""Lion by the formulas of the paper."""

import copy
import math

import torch
from torch import nn

from llmctl.training.lion import Lion


def test_steps_are_those_of_the_paper() -> None:
    """Algorithm 2 of arXiv:2302.06675, for single weights."""
    rate, decay = 0.1, 0.5
    weights = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = Lion([weights], lr=rate, weight_decay=decay)
    expected, momenta = [1.0, -2.0], [0.0, 0.0]
    for gradients in ([1.0, -3.0], [-0.05, 0.0], [-4.0, 1.0]):
        weights.grad = torch.tensor(gradients)
        optimizer.step()
        for i, gradient in enumerate(gradients):
            update = math.copysign(1.0, 0.9 * momenta[i] + 0.1 * gradient)
            expected[i] -= rate * (update + decay * expected[i])
            momenta[i] = 0.99 * momenta[i] + 0.01 * gradient
    assert torch.allclose(weights, torch.tensor(expected))


def test_its_state_is_saved_and_loaded() -> None:
    def trained(steps: int, optimizer: Lion, weights: nn.Parameter) -> None:
        for step in range(steps):
            weights.grad = torch.tensor([1.0, -step])
            optimizer.step()

    whole = nn.Parameter(torch.ones(2))
    trained(2, first := Lion([whole], lr=0.1), whole)
    resumed = nn.Parameter(whole.detach().clone())
    second = Lion([resumed], lr=0.1)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for weights, optimizer in ((whole, first), (resumed, second)):
        trained(3, optimizer, weights)
    assert torch.equal(whole, resumed)


def test_what_has_no_gradient_stays() -> None:
    weights = nn.Parameter(torch.ones(2))
    Lion([weights], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(weights, torch.ones(2))
