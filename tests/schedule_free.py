"""Schedule-Free AdamW as arXiv:2405.15682 has it, with the interface of the package ``schedulefree``, for where that is
not installed: a model holds y, where gradients are taken; ``eval()`` puts x, the average, in its place."""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch


class AdamWScheduleFree(torch.optim.Optimizer):
    """Without weight decay; ``warmup_steps`` is a whole number, as the package takes it."""

    def __init__(self, params: Any, lr: float, warmup_steps: int, **settings: Any) -> None:
        assert isinstance(warmup_steps, int)
        kept = {"lr": lr, "warmup_steps": warmup_steps, "betas": settings["betas"]}
        super().__init__(params, {**kept, "k": 0, "weight_sum": 0.0, "train_mode": True})

    def eval(self) -> None:
        self._switch(False)

    def train(self) -> None:
        self._switch(True)

    @torch.no_grad()
    def _switch(self, train_mode: bool) -> None:
        for group in self.param_groups:
            beta = group["betas"][0]
            if group["train_mode"] != train_mode:
                for weight in group["params"]:
                    if self.state[weight]:
                        weight.lerp_(self.state[weight]["z"], 1 - beta if train_mode else 1 - 1 / beta)
            group["train_mode"] = train_mode

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            assert group["train_mode"], "gradients of the averaged weights are no use"
            group["k"] += 1
            first, second = group["betas"]
            rate = group["lr"] * min(1.0, group["k"] / max(group["warmup_steps"], 1))
            rate *= (1 - second ** group["k"]) ** 0.5
            group["weight_sum"] += rate**2
            share = rate**2 / group["weight_sum"]
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state |= {"z": weight.clone(), "exp_avg_sq": torch.zeros_like(weight)}
                average = weight.lerp(state["z"], 1 - 1 / first)
                state["exp_avg_sq"].lerp_(weight.grad.square(), 1 - second)
                state["z"].sub_(rate * weight.grad / (state["exp_avg_sq"].sqrt() + 1e-8))
                average.lerp_(state["z"], share)
                weight.copy_(average.lerp(state["z"], 1 - first))


def at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library find the package: itself where it is installed, else this."""
    try:
        import schedulefree  # noqa: F401
    except ImportError:
        module: Any = ModuleType("schedulefree")
        module.AdamWScheduleFree = module.SGDScheduleFree = AdamWScheduleFree
        monkeypatch.setitem(sys.modules, "schedulefree", module)
        monkeypatch.setattr("transformers.trainer_optimizer.is_schedulefree_available", lambda *_: True)
