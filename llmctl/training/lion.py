"""Lion: momentum of which only the sign counts (Chen et al., 2023, arXiv:2302.06675), on any device.

bitsandbytes, whose Lion the library knows, needs a GPU.
"""

from collections.abc import Callable
from typing import Any

import torch

BETAS = (0.9, 0.99)


class Lion(torch.optim.Optimizer):
    """Each weight moves by the learning rate, in the direction of its momentum and gradient; decay is decoupled.

    Args:
        params: parameters or groups of them.
        lr: learning rate; a fifth of AdamW's is as far a step.
        weight_decay: of groups that do not say theirs.
    """

    def __init__(self, params: Any, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group["lr"], group["weight_decay"])
        return loss

    def _update(self, weight: torch.Tensor, gradient: torch.Tensor, rate: float, decay: float) -> None:
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        momentum = state["momentum_buffer"]
        weight.mul_(1 - rate * decay).add_(torch.lerp(gradient, momentum, BETAS[0]).sign_(), alpha=-rate)
        momentum.lerp_(gradient, 1 - BETAS[1])
