"""The Trainer we use.

Trainer's loop is used as it is. What it does not do is added in one named place each: the objective's loss and
evaluation, batches of like length, a stop before the weights turn bad, and below (``resumable``) checkpoints.
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import islice
from typing import Any, cast

import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, ProgressCallback
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from llmctl import ranks
from llmctl.data.blocks import IGNORED
from llmctl.objectives import Objective
from llmctl.progress import Progress
from llmctl.sharding import whole
from llmctl.training import muon
from llmctl.training.arguments import LION, MUON
from llmctl.training.dealing import STAND_IN, Dealt, dealt_loader, hear_no_signal
from llmctl.training.evaluating import UntilStopped, undrawn
from llmctl.training.finite import Finite
from llmctl.training.lion import Lion
from llmctl.training.resumable import ResumableTrainer
from llmctl.training.sampling import Shuffled, WithEpoch, order_of
from llmctl.training.strategies import shared_weights_together
from llmctl.training.streaming import Stream
from llmctl.training.unused import leaves_weights_out


class ObjectiveTrainer(ResumableTrainer):
    """Trainer whose loss and evaluation are the objective's, and whose checkpoints can be trusted.

    Further arguments are those of :class:`ResumableTrainer`.

    Args:
        finite: what looks after losses and gradients; ``None``: nothing does.
        stopped: whether a signal asks to end; an evaluation is cut short then.
    """

    def __init__(
        self,
        *,
        objective: Objective,
        validation: Any,
        optim: str,
        finite: Finite | None = None,
        stopped: Callable[[], bool] = lambda: False,
        **kwargs: Any,
    ) -> None:
        # Trainer counts the targets of all accumulated batches only for a loss function of the caller's.
        super().__init__(
            data_collator=objective.collate,
            eval_dataset=validation,
            compute_loss_func=objective.loss,
            **kwargs,
        )
        self.objective = objective
        self.optim = optim
        self.finite = finite
        self._evaluating: Progress = UntilStopped(stopped)
        self._loss_before = torch.zeros(())
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        stands_in = inputs.pop(STAND_IN, False)
        loss = self.objective.loss(model, inputs, num_items_in_batch)
        if stands_in:
            loss = loss * 0
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # gradients are averaged over processes
        return (loss, None) if return_outputs else loss

    def get_batch_samples(self, *args: Any) -> Any:
        """As Trainer's, once a step: before its loss is added to those since the last log."""
        self._loss_before = self._tr_loss.clone()
        return super().get_batch_samples(*args)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        if self.finite:
            self.finite.saw_loss(loss)
        return loss

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
        """As Trainer's; of batches without a single target 1, so that their loss is zero and not undefined."""
        counted = [
            {**batch, "labels": torch.full_like(batch["labels"], IGNORED)} if STAND_IN in batch else batch
            for batch in batch_samples
        ]
        count = super()._get_num_items_in_batch(counted, device)
        if self.finite:
            self.finite.saw_targets(count)
        return count.clamp(min=1) if isinstance(count, torch.Tensor) else count and max(count, 1)

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = whole(super()._clip_grad_norm(model))
        if norm is not None:  # DeepSpeed clips by itself, and knows no norm before its first step
            # a tensor: the device is not waited for
            self.clipped.append(torch.as_tensor(norm > self.args.max_grad_norm))
        return norm

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = whole(super()._get_grad_norm(model, grad_norm=grad_norm))
        if self.finite and norm is not None:
            self.finite.saw_norm(torch.as_tensor(norm))
        return norm

    def leave_out(self) -> None:
        """Have the step at hand change neither weights nor optimiser, nor the loss that is logged."""
        # accelerate passes over an optimiser's step while gradients are still being summed
        self.accelerator.gradient_state._set_sync_gradients(False)
        self._tr_loss.copy_(self._loss_before)
        self._globalstep_last_logged += 1
        self.left_out += 1
        if self.clipped:
            self.clipped.pop()

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Muon and Lion, which the library does not know, where they are asked for."""
        if self.optim == LION:
            self.optimizer_cls_and_kwargs = (Lion, {"lr": self.args.learning_rate})
        if self.optim == MUON and self.optimizer is None:
            chosen = self.model if model is None else model
            decayed = set(self.get_decay_parameter_names(chosen))
            _, settings = self.get_optimizer_cls_and_kwargs(self.args, chosen)
            groups = muon.parameter_groups(chosen, decayed, self.args.weight_decay)
            self.optimizer = muon.Muon(groups, **settings)
        found: torch.optim.Optimizer = super().create_optimizer(model)
        return found

    def _get_train_sampler(self, train_dataset: Any = None) -> Shuffled:
        """Batches of like length where the examples' lengths differ; the epoch too for examples that change with it."""
        examples: Any = self.train_dataset
        order = order_of(examples, self.args.train_batch_size, self.args.seed)
        return WithEpoch(order) if getattr(examples, "changes_by_epoch", False) else order

    def _dealt(self, order: Shuffled) -> Dealt:
        return Dealt(order, self.args.train_batch_size, rank=ranks.index(), num_ranks=ranks.count())

    def _prepare_for_training(self, *args: Any) -> Any:
        """As Trainer's; weights that several modules share stay together where they are sharded.

        DDP is told whether to look for weights without a gradient.
        """
        if ranks.count() > 1 and not (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            self.accelerator.ddp_handler.find_unused_parameters = leaves_weights_out(self)
        with shared_weights_together(self.model) if self.is_fsdp_enabled else nullcontext():
            return super()._prepare_for_training(*args)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """As Trainer's; of a stream, which makes its batches itself, a plain one; of several ranks each its own."""
        if not isinstance(self.train_dataset, Stream):
            if ranks.count() > 1:
                how: dict[str, Any] = {
                    "num_workers": self.args.dataloader_num_workers,
                    "pin_memory": self.args.dataloader_pin_memory,
                    "generator": torch.Generator(),  # as below
                }
                return dealt_loader(
                    self.train_dataset, self.data_collator, self._dealt(self._get_train_sampler()), **how
                )
            loader: Any = super().get_train_dataloader()
            plain = loader.base_dataloader
            plain.worker_init_fn = partial(hear_no_signal, begin=plain.worker_init_fn)
            return cast(DataLoader[Any], loader)
        return DataLoader(
            self.train_dataset,
            batch_size=None,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
            # Its start draws a number, which must not come of the numbers that dropout draws from: after a resume
            # these would be others.
            generator=torch.Generator(),
        )

    def examples_of(self, batch: int, steps_an_epoch: int) -> list[int]:
        """The places, in the training data, of the examples of this step's batch number ``batch``, from 0.

        They follow from the order, so nothing has to be kept for them while all goes well. Empty for a stream.
        """
        if isinstance(self.train_dataset, Stream):
            return []
        epoch, step = divmod(self.state.global_step, steps_an_epoch)
        order = order_of(self.train_dataset, self.args.train_batch_size, self.args.seed)
        order.set_epoch(epoch)
        number = step * self.args.gradient_accumulation_steps + batch
        batch_of_rank = next(islice(self._dealt(order), number, None), [])
        return [place for place in batch_of_rank if isinstance(place, int)]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As Trainer's, with the share of the steps since the last time whose gradients were clipped.

        The loss of the whole training is over all sessions of a resumed run.
        """
        if "grad_norm" in logs and self.clipped:
            logs["clipped"] = round(float(torch.stack(self.clipped).float().mean()), 3)
            self.clipped = []
        if not math.isfinite(logs.get("grad_norm", 0.0)):  # of a step that was left out
            del logs["grad_norm"]
        if "train_loss" in logs:
            logs["train_loss"] = self._total_loss_scalar / max(self.state.global_step - self.left_out, 1)
        super().log(logs, start_time)

    @undrawn()
    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        started = time.perf_counter()
        self._show_kept_weights()
        with self.accelerator.autocast():
            scores = self.objective.evaluate(self.model, self.eval_dataset, progress=self._evaluating)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        metrics[f"{metric_key_prefix}_runtime"] = round(time.perf_counter() - started, 3)
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.control.should_save |= self.control.should_training_stop  # patience is over
        return metrics

    def put_down(self) -> None:
        """Give back what only a further step needs; the model can still be asked."""
        unset_hf_deepspeed_config()  # else models that are loaded would be shared out as well
        if self.is_deepspeed_enabled:
            return  # its engine, which answers for the model, holds the rest
        for holder in (self, self.callback_handler):
            holder.optimizer = holder.lr_scheduler = None
        self.accelerator.free_memory()
