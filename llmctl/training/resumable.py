"""A Trainer whose checkpoints are complete or absent, and hold what a resumed run needs to be the same run."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import EarlyStoppingCallback, Trainer, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from llmctl.progress import SILENT, Progress
from llmctl.runs import RunDir
from llmctl.training import checkpoints
from llmctl.training.evaluating import CutShortError
from llmctl.training.finite import check_weights
from llmctl.training.streaming import STATE as STREAM_STATE
from llmctl.training.streaming import Stream

_STATE = "llmctl_state.json"
_ASKED = ("initial_lr", "weight_decay", "betas", "eps", "momentum")  # of an optimiser's groups


class ResumableTrainer(Trainer):
    """As Trainer, which leaves a part of a checkpoint where it is killed, and keeps nothing of what it has yet to log.

    Further arguments are Trainer's.

    Args:
        run: where checkpoints are kept.
        resume: what to type to go on after a save that failed.

    Attributes:
        clipped: of each step since the last log, whether its gradients were clipped.
        left_out: steps that changed nothing.
    """

    optimizer: Any

    def __init__(
        self, *, run: RunDir, resume: str | None = None, progress: Progress = SILENT, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.progress = progress
        # Trainer's own rotation would go by time, and remove the last checkpoint before the run is finished.
        self.saves = checkpoints.Saves(run, limit=self.args.save_total_limit, resume=resume)
        self.args.save_total_limit = None
        self.clipped: list[torch.Tensor] = []
        self.left_out = 0
        self._evaluated = True  # no evaluation is left undone
        self._staging: Path | None = None
        self._before: dict[str, Any] | None = None

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
            "left_out": self.left_out,
            "clipped": [bool(step) for step in self.clipped],
            "evaluated": self._evaluated,
        }
        (folder / _STATE).write_text(json.dumps(between_logs), encoding="utf-8")
        if isinstance(self.train_dataset, Stream):
            self.train_dataset.save(folder / STREAM_STATE)

    def _init_training_state(self, *args: Any) -> Any:
        logger = logging.getLogger("transformers.trainer_utils")
        logger.disabled = True  # it tells what is other than in the checkpoint; that is told before
        try:
            found = super()._init_training_state(*args)
        finally:
            logger.disabled = False
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
        self._globalstep_last_logged, self.left_out = before["logged_step"], before["left_out"]
        self.clipped = [torch.tensor(step, device=self.args.device) for step in before["clipped"]]
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
