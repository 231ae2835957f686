"""A training in miniature: one weight, numbers for examples, and an objective that notes what it is asked."""

import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from llmctl.config import FinetuneConfig
from llmctl.progress import Silent
from llmctl.runs import RunDir
from llmctl.training import (
    ObjectiveTrainer,
    Plan,
    fit,
    newest_checkpoint,
    steps_an_epoch,
    total_steps,
)

IGNORED = -100


class Numbers(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows (x, y) with y = 2x; example ``i`` is ``lengths[i]`` long, which only the sampler sees."""

    def __init__(self, count: int) -> None:
        self.lengths = np.arange(count) % 5 + 1

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"index": index, "x": float(index), "labels": 2.0 * index}


class Line(torch.nn.Module):
    """y = w x."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w * x


@dataclass
class Fit:
    """An objective that notes which examples it saw and what ``w`` was at each evaluation.

    Args:
        scores: of each evaluation.
        factors: number of a batch, from 1 -> what its loss is multiplied by.
        ignored: examples without a target.
    """

    scores: list[float] = field(default_factory=list)
    seen: list[list[int]] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    factors: Mapping[int, float] = field(default_factory=dict)
    ignored: frozenset[int] = frozenset()

    def encode(self, split: Any, *, progress: Any) -> Any:
        return split

    def training_set(self, features: Any) -> Any:
        return features

    def collate(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = {name: torch.tensor([example[name] for example in examples]) for name in examples[0]}
        hidden = torch.tensor([example["index"] in self.ignored for example in examples])
        return batch | {"labels": batch["labels"].masked_fill(hidden, IGNORED)}

    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> torch.Tensor:
        self.seen.append(batch["index"].tolist())
        targets = batch["labels"] != IGNORED
        losses = (model(batch["x"]) - batch["labels"])[targets].square().sum()
        losses = losses * self.factors.get(len(self.seen), 1.0)
        count = num_items if num_items is not None else targets.sum()
        found: torch.Tensor = losses / count
        return found

    def evaluate(self, model: Any, features: Any, *, progress: Any) -> dict[str, float]:
        self.weights.append(model.w.item())
        return {"loss": 1.0, "skill": self.scores[len(self.weights) - 1]}


def settings(**changes: Any) -> Any:
    plain: dict[str, Any] = {
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "warmup_steps": 0.0,
        "max_grad_norm": 0.0,
        "weight_decay": 0.0,
        "num_train_epochs": 1.0,
        "optim": "sgd",
    }
    return FinetuneConfig(**{**plain, **changes})


def plan_of(config: Any, count: int, **changes: Any) -> Plan:
    steps = total_steps(config, count)
    defaults = {"eval_steps": 1, "best": "skill", "greater_is_better": True, "rate": "samples", "amount": 4}
    return Plan(steps=steps, epoch_steps=steps_an_epoch(config, count), **{**defaults, **changes})


class Shown(Silent):
    """A Progress that keeps warnings; ``heard`` is called with each event of a training."""

    def __init__(self, heard: Callable[[Mapping[str, Any]], None] = lambda event: None) -> None:
        self.heard = heard
        self.warned: list[str] = []

    def warn(self, message: str) -> None:
        self.warned.append(message)

    def training(
        self, total_steps: int, done: int, run: RunDir
    ) -> AbstractContextManager[Callable[[Mapping[str, Any]], None]]:
        return nullcontext(self.heard)


def stopped_after(step: int) -> Shown:
    """One that sends SIGTERM when the loss of a step is told: the training stops a step later."""

    def heard(event: Mapping[str, Any]) -> None:
        if event["step"] == step and "loss" in event:
            signal.raise_signal(signal.SIGTERM)

    return Shown(heard)


def train(
    run: RunDir,
    objective: Fit,
    *,
    count: int = 8,
    shown: Shown | None = None,
    plan: Any = None,
    ends: float | None = None,
    **changes: Any,
) -> tuple[Line, ObjectiveTrainer]:
    config, data, shown = settings(**changes), Numbers(count), shown or Shown()
    model = Line()
    trainer = fit(
        config,
        run,
        plan_of(config, count, **(plan or {})),
        model=model,
        objective=objective,
        training=data,
        validation=data if objective.scores else None,
        command="finetune",
        began=time.monotonic(),
        ends=ends,
        checkpoint=newest_checkpoint(run),
        progress=shown,
    )
    return model, trainer
