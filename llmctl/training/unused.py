"""Weights that a step leaves out. DDP waits for the gradient of every weight, unless it is told to look for those."""

from typing import Any

from llmctl.training.evaluating import undrawn
from llmctl.training.streaming import Stream

_EXAMPLES = 2


def leaves_weights_out(trainer: Any) -> bool:
    """Whether some weight may get no gradient in a step: to look for such costs DDP a pass over the graph each time.

    Experts get none now and then. Others never do, such as a pooler that the objective does not ask: told by a backward
    pass over a few examples, the same on all ranks, after which all is as before.

    Args:
        trainer: an ``ObjectiveTrainer`` whose model is on its device, and not wrapped.
    """
    model, objective = trainer.model, trainer.objective
    if any("expert" in name for name, _ in model.named_modules()):
        return True
    examples = trainer.train_dataset
    if isinstance(examples, Stream):
        if trainer.eval_dataset is None:
            return True  # nothing to try it with that would not be missing from the training
        examples = objective.training_set(trainer.eval_dataset)
    by_epoch = getattr(examples, "changes_by_epoch", False)
    places = range(min(_EXAMPLES, len(examples)))
    model.train()
    with undrawn():
        batch = objective.collate([examples[(0, place) if by_epoch else place] for place in places])
        with trainer.compute_loss_context_manager():
            loss = objective.loss(model, trainer._prepare_inputs(batch), None)
        loss.backward()
    found = any(weight.requires_grad and weight.grad is None for weight in model.parameters())
    model.zero_grad(set_to_none=True)
    return found
