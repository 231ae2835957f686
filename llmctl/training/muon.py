"""Muon: momentum whose update of each matrix is made orthogonal; AdamW for all that is no matrix of a layer.

K. Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/; the rate is matched to AdamW's as in
arXiv:2502.16982, so that one learning rate serves both. ``torch.optim.Muon`` has the same arithmetic, in bfloat16
on every device, which processors without it compute many times slower, and one matrix at a time.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

MOMENTUM = 0.95
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5
# AdamW's updates have about this root mean square, in units of the learning rate.
_UPDATE_RMS = 0.2


def orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    """Replace the singular values of each of N matrices (N, A, B), A <= B, by numbers near 1 (0.7 to 1.2).

    Five Newton-Schulz steps; in bfloat16 on GPUs, in float32 elsewhere.
    """
    a, b, c = _NEWTON_SCHULZ
    found = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = found @ found.mT
        gram = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        found = torch.baddbmm(found, gram, found, beta=a)
    return found.to(matrices.dtype)


class Muon(torch.optim.AdamW):
    """Muon for the groups that say ``"orthogonal": True``, AdamW for the others.

    Args:
        params: parameter groups; those of Muon hold matrices only.
        settings: as ``torch.optim.AdamW`` takes them.
    """

    def __init__(self, params: Any, **settings: Any) -> None:
        super().__init__(params, **settings)
        for group in self.param_groups:
            group.setdefault("orthogonal", False)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both; the rule of AdamW sees its own groups only."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["orthogonal"]]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group["orthogonal"]:
                self._update(group)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        rate, decay = float(group["lr"]), group["weight_decay"]
        alike: dict[tuple[int, ...], list[tuple[torch.Tensor, torch.Tensor]]] = defaultdict(list)
        for matrix in group["params"]:
            if matrix.grad is None:
                continue
            state = self.state[matrix]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(matrix)
                state["step"] = torch.tensor(0.0)  # AdamW looks for it when a state is loaded
            state["step"] += 1
            momentum = state["momentum_buffer"].lerp_(matrix.grad, 1 - MOMENTUM)
            alike[tuple(sorted(matrix.shape))].append((matrix, matrix.grad.lerp(momentum, MOMENTUM)))
        for shape, pairs in alike.items():  # matrices of one shape in one product
            updates = orthogonalised(torch.stack([_flat(update) for _, update in pairs]))
            scale = _UPDATE_RMS * math.sqrt(shape[-1])
            for (matrix, _), update in zip(pairs, updates, strict=True):
                matrix.mul_(1 - rate * decay)
                matrix.add_(update if _is_flat(matrix) else update.T, alpha=-rate * scale)


def parameter_groups(model: nn.Module, decayed: set[str], weight_decay: float) -> list[dict[str, Any]]:
    """The groups of :class:`Muon`: matrices of layers; other weights that decay; what does not decay.

    Embeddings and the output layer are no matrices of layers, tied or not: their rows are tokens.

    Args:
        decayed: names of the parameters that decay.
    """
    output = model.get_output_embeddings()  # type: ignore[operator]
    layers = {
        module.weight
        for module in model.modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not output
    }
    tables = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter in layers and parameter not in tables:
            matrices.append(parameter)
        else:
            (others if name in decayed else rest).append(parameter)
    return [
        {"params": matrices, "weight_decay": weight_decay, "orthogonal": True},
        {"params": others, "weight_decay": weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]


def _is_flat(matrix: torch.Tensor) -> bool:
    return matrix.shape[0] <= matrix.shape[1]


def _flat(matrix: torch.Tensor) -> torch.Tensor:
    return matrix if _is_flat(matrix) else matrix.T
