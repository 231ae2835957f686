"""The Trainer we use.

Trainer's loop is used as it is. What it does not do is added in one named place each: the objective's loss and
evaluation, batches of like length, checkpoints that are complete or absent, what a resumed run needs to be the same
run, and a stop before the weights turn bad.
"""

import json
import math
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, Trainer, TrainerState
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.trainer import TRAINER_STATE_NAME

from llmctl import ranks
from llmctl.data.blocks import IGNORED
from llmctl.objectives import Objective
from llmctl.progress import SILENT, Progress
from llmctl.runs import RunDir
from llmctl.sharding import whole
from llmctl.training import checkpoints, muon
from llmctl.training.arguments import LION, MUON
from llmctl.training.dealing import STAND_IN, Dealt, dealt_loader, hear_no_signal
from llmctl.training.evaluating import CutShortError, UntilStopped, undrawn
from llmctl.training.finite import Finite, check_weights
from llmctl.training.lion import Lion
from llmctl.training.sampling import Shuffled, WithEpoch, order_of
from llmctl.training.strategies import shared_weights_together
from llmctl.training.streaming import STATE as STREAM_STATE
from llmctl.training.streaming import Stream
from llmctl.training.unused import leaves_weights_out

_STATE = "llmctl_state.json"
_ASKED = ("initial_lr", "weight_decay", "betas", "eps", "momentum")  # of an optimiser's groups


class ObjectiveTrainer(Trainer):
    """Trainer whose loss and evaluation are the objective's, and whose checkpoints can be trusted.

    Args:
        run: where checkpoints are kept.
        resume: what to type to go on after a save that failed.
        finite: what looks after losses and gradients; ``None``: nothing does.
        stopped: whether a signal asks to end; an evaluation is cut short then.
    """

    optimizer: Any

    def __init__(
        self,
        *,
        objective: Objective,
        validation: Any,
        optim: str,
        run: RunDir,
        resume: str | None = None,
        finite: Finite | None = None,
        stopped: Callable[[], bool] = lambda: False,
        progress: Progress = SILENT,
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
        self.run = run
        self.finite = finite
        self.progress = progress
        # Trainer's own rotation would go by time, and remove the last checkpoint before the run is finished.
        self.saves = checkpoints.Saves(run, limit=self.args.save_total_limit, resume=resume)
        self.args.save_total_limit = None
        self._evaluated = True  # no evaluation is left undone
        self._evaluating: Progress = UntilStopped(stopped)
        self._staging: Path | None = None
        self._clipped: list[torch.Tensor] = []
        self._left_out = 0
        self._loss_before = torch.zeros(())
        self._before: dict[str, Any] | None = None
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
            self._clipped.append(torch.as_tensor(norm > self.args.max_grad_norm))
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
        self._left_out += 1
        if self._clipped:
            self._clipped.pop()

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
        if "grad_norm" in logs and self._clipped:
            logs["clipped"] = round(float(torch.stack(self._clipped).float().mean()), 3)
            self._clipped = []
        if not math.isfinite(logs.get("grad_norm", 0.0)):  # of a step that was left out
            del logs["grad_norm"]
        if "train_loss" in logs:
            logs["train_loss"] = self._total_loss_scalar / max(self.state.global_step - self._left_out, 1)
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

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """As Trainer's; a better model is always saved, else it could not be kept."""
        better: bool = super()._determine_best_metric(metrics, trial)
        if better and self.args.load_best_model_at_end:
            self.control.should_save = True
        return better

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """As Trainer's; an evaluation that a signal cut short is made up for when the run goes on."""
        try:
            super()._maybe_log_save_evaluate(*args, **kwargs)
        except CutShortError:
            self._evaluated = False
            self._save_checkpoint(self.model_wrapped, None)
            self.control.should_training_stop = True
            self.control.should_evaluate = self.control.should_save = False

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or self.run.checkpoints)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Trainer's files, made beside and put in their place when all of them are on disk."""
        self._show_kept_weights()
        step = self.state.global_step
        check_weights(self.model, step)
        self.saves.settle()
        self._staging = checkpoints.staging_of(self.run, step)
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                self._complete(self.saves.made_in(step))
                best = self.state.best_global_step if self.args.load_best_model_at_end else None
                self.saves.put_in_place(step, world_size=self.args.world_size, best=best)
        except (torch.OutOfMemoryError, torch.distributed.DistError):
            raise
        except checkpoints.WRITE_ERRORS as error:
            raise self.saves.failed(step, error) from error
        finally:
            if self.args.should_save:
                shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None
        self.accelerator.wait_for_everyone()

    def _complete(self, folder: Path) -> None:
        """Write what Trainer does not keep, and where the best model will stand."""
        if self.state.best_global_step:
            self.state.best_model_checkpoint = str(checkpoints.path_of(self.run, self.state.best_global_step))
            self.state.save_to_json(str(folder / TRAINER_STATE_NAME))
        between_logs = {
            "loss": self._tr_loss.item(),
            "total_loss": self._total_loss_scalar,
            "logged_step": self._globalstep_last_logged,
            "left_out": self._left_out,
            "clipped": [bool(step) for step in self._clipped],
            "evaluated": self._evaluated,
        }
        (folder / _STATE).write_text(json.dumps(between_logs), encoding="utf-8")
        if isinstance(self.train_dataset, Stream):
            self.train_dataset.save(folder / STREAM_STATE)

    def _init_training_state(self, *args: Any) -> Any:
        found = super()._init_training_state(*args)
        if len(args) > 3 and args[3] is not None:
            self.state.compute_steps(self.args, args[0])  # when to save may be other than before
            self._read_state(Path(args[3]))
        return found

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """As Trainer's, but what is asked for now holds: ``--allow-changes`` may name what the checkpoint has else."""
        asked = [{key: group[key] for key in _ASKED if key in group} for group in self.optimizer.param_groups]
        rates = list(getattr(self.lr_scheduler, "base_lrs", ()))
        super()._load_optimizer_and_scheduler(checkpoint)
        for group, settings in zip(self.optimizer.param_groups, asked, strict=True):
            group.update(settings)
        if isinstance(self.lr_scheduler, LambdaLR) and self.lr_scheduler.base_lrs != rates:
            self.lr_scheduler.base_lrs = rates
            shares = [share(self.lr_scheduler.last_epoch) for share in self.lr_scheduler.lr_lambdas]
            for group, rate, share in zip(self.optimizer.param_groups, rates, shares, strict=True):
                group["lr"] = rate * share
            self.lr_scheduler._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _read_state(self, checkpoint: Path) -> None:
        """What Trainer does not restore; it zeroes some of it until the first step, so :meth:`_run_epoch` sets that."""
        checkpoints.settle_best(self.run, self.state, self.progress)
        self._before = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
        kept: Any = self.state.stateful_callbacks.get(EarlyStoppingCallback.__name__)
        for patience in self._patience():
            patience.early_stopping_patience_counter = kept["attributes"]["early_stopping_patience_counter"]

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        self._go_on()
        if not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)

    def _go_on(self) -> None:
        """Put back what was between two logs when the checkpoint was saved, and make up for a lost evaluation."""
        before, self._before = self._before, None
        if before is None:
            return
        self._tr_loss = torch.tensor(before["loss"], device=self.args.device)
        self._total_loss_scalar = before["total_loss"]
        self._globalstep_last_logged, self._left_out = before["logged_step"], before["left_out"]
        self._clipped = [torch.tensor(step, device=self.args.device) for step in before["clipped"]]
        self._evaluated = before["evaluated"]
        if not self._evaluated:
            self._make_up_evaluation()
        for patience in self._patience():
            if patience.early_stopping_patience_counter >= patience.early_stopping_patience:
                self.control.should_training_stop = True

    def _make_up_evaluation(self) -> None:
        """The weights to be judged are those of the checkpoint that is there."""
        try:
            better = self._determine_best_metric(self._evaluate(None, None), None)
        except CutShortError:
            self.control.should_training_stop = True
            return
        if better:
            self.state.best_model_checkpoint = str(checkpoints.path_of(self.run, self.state.global_step))
        self._evaluated, self.control.should_save = True, False

    def _patience(self) -> list[Any]:
        """The callback that ends the training early, if there is one."""
        return [each for each in self.callback_handler.callbacks if isinstance(each, EarlyStoppingCallback)]

    def restore(self, checkpoint: Path) -> None:
        """Leave the trainer as the last step left it: Trainer itself would train one step more.

        DeepSpeed's engine is made for that step. Its checkpoints hold the whole weights as well, for a plain model.
        """
        self.is_deepspeed_enabled = False
        self.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        self._read_state(checkpoint)
        self._load_from_checkpoint(str(checkpoint))
        self._go_on()
        self._total_loss_scalar += self._tr_loss.item()
        self.log({"total_flos": self.state.total_flos, "train_loss": 0.0})
        if self.args.load_best_model_at_end and self.state.best_model_checkpoint:
            self._load_best_model()

    def put_down(self) -> None:
        """Give back what only a further step needs; the model can still be asked."""
        unset_hf_deepspeed_config()  # else models that are loaded would be shared out as well
        if self.is_deepspeed_enabled:
            return  # its engine, which answers for the model, holds the rest
        for holder in (self, self.callback_handler):
            holder.optimizer = holder.lr_scheduler = None
        self.accelerator.free_memory()

    def _load_best_model(self) -> None:
        """As Trainer's, unless its files have been damaged since: the last weights stay then, and that is told."""
        checkpoints.settle_best(self.run, self.state, self.progress)
        if self.state.best_model_checkpoint:
            super()._load_best_model()

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Nothing: a checkpoint's files are whole, and what they lack is tied to what they have."""

    def _finalize_training(self, *args: Any) -> Any:
        self._show_kept_weights()
        return super()._finalize_training(*args)

    def _show_kept_weights(self) -> None:
        """Schedule-Free trains other weights than those to be judged and kept; each step of training switches back."""
        if hasattr(self.optimizer, "eval"):
            self.optimizer.eval()
