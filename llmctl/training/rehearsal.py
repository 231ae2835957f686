"""One step of a training on tensors without data: what it would keep in memory and compute, counted and not guessed.

Published formulas hold for one layer written in one way: Korthikanti et al., 2022 (arXiv:2205.05198, eq. 1) count
``s b h (34 + 5 a s / h)`` bytes for a layer of GPT in 16 bits with dropout. What a family of ``transformers`` keeps
depends on how its norms, gates and positions are spelled: up to twice as much. So torch itself runs the model's forward
and backward pass with tensors that have shapes but no values, which takes neither memory nor arithmetic, and every
allocation is counted. Tests hold the counts against that formula, and against the allocator in real steps.

Kernels are those of a processor: attention that keeps no scores, as FlashAttention (arXiv:2205.14135), but where it has
dropout. Not seen: what kernels take inside, the allocator's fragmentation, and ``torch.compile``, which keeps less.
"""

import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from llmctl.costs import Weights
from llmctl.errors import ModelError
from llmctl.training import muon
from llmctl.training.blank import Blank
from llmctl.training.speed import with_native_kernels
from llmctl.training.strategies import layer_classes

_TRIAL_TOKENS = 8
_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

Make = Callable[[torch.dtype], Any]
"""Gives a model with weights of a type."""
Numbers = Literal["float32", "autocast", "bfloat16"]
"""What is computed in: float32; bfloat16 by weights in float32; all in bfloat16, as where weights are sharded."""


class NotRehearsedError(ModelError):
    """What a family does depends on values, or goes from token to token: on GPUs kernels do that, in their own way."""


@dataclass(frozen=True)
class Rehearsal:
    """What one forward and backward pass comes to.

    Attributes:
        activations: most bytes at once beside weights and gradients: what the backward pass needs, and passing results.
        peak: most bytes at once beside the weights: gradients come while activations go.
        flops: operations of matrix products and attention, forward and backward, without any that are done again
            (model FLOPs: Chowdhery et al., 2022, arXiv:2204.02311, appendix B). Attention counts as if every token saw
            all others, as there.
    """

    activations: int
    peak: int
    flops: int


def weights_of(make: Make) -> Weights:
    """The weights of a model, which is made without memory for them."""
    model = _outline(make, torch.float32)
    matrices, others, _ = (group["params"] for group in muon.parameter_groups(model, set(), 0.0))
    assert not others  # none decays
    tables = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    matrices = set(matrices)
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    layers = [_size(module) for module in _layers(model, set(layer_classes(model)))]
    return Weights(
        number=_size(model),
        matrices=tuple(tuple(weight.shape) for weight in learning if weight in matrices),
        tables=tuple(tuple(weight.shape) for weight in learning if weight in tables),
        others=tuple(tuple(weight.shape) for weight in learning if weight not in matrices | tables),
        in_layers=sum(layers),
        largest_layer=max(layers, default=0),
    )


def _layers(module: nn.Module, names: set[str]) -> Iterator[nn.Module]:
    """The outermost modules of some classes."""
    for child in module.children():
        if type(child).__name__ in names:
            yield child
        else:
            yield from _layers(child, names)


def _size(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def rehearse(
    make: Make, batch: Blank, *, numbers: Numbers = "float32", checkpointing: bool = False
) -> Rehearsal:
    """Run one step without data.

    Args:
        batch: what one device reads at once.
        checkpointing: whether each layer's activations are computed again in the backward pass.

    Raises:
        NotRehearsedError: the family cannot run so.
    """
    told = logging.getLogger("torch._subclasses.fake_tensor")
    before = told.level
    told.setLevel(logging.CRITICAL)  # it logs what it raises
    try:
        model = _outline(make, torch.bfloat16 if numbers == "bfloat16" else torch.float32)
        with FakeTensorMode():
            _put_on_processor(model)
            with_native_kernels(model)
            model.train()
            short = [_operations(model, batch, length) for length in (_TRIAL_TOKENS, 2 * _TRIAL_TOKENS)]
            if short[0] != short[1]:
                raise NotRehearsedError("it reads one token after the other")
            return _rehearse(model, batch.loss_of(model), numbers, checkpointing)
    except RuntimeError as error:  # torch's, where it needs values
        raise NotRehearsedError(
            f"it cannot run without data: {str(error).strip().splitlines()[0]}"
        ) from error
    finally:
        told.setLevel(before)


def _outline(make: Make, dtype: torch.dtype) -> Any:
    with torch.device("meta"):
        return make(dtype)


def _put_on_processor(model: nn.Module) -> None:
    """Make tensors of a model without any be tensors without values, whose operations are those of a processor."""
    known: dict[torch.Tensor, torch.Tensor] = {}  # tied ones stay tied
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = known.setdefault(tensor, _blank(tensor))  # type: ignore[assignment]


def _blank(tensor: torch.Tensor) -> torch.Tensor:
    made = torch.empty(tensor.shape, dtype=tensor.dtype)
    return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made


def _operations(model: Any, batch: Blank, length: int) -> int:
    """How many operations the forward pass over texts of a length has."""
    loss = replace(batch, rows=1, length=length, written=length, hidden=0.0).loss_of(model)
    with _Counted() as counted, torch.no_grad():
        loss()
    return counted.operations


def _rehearse(
    model: Any, loss: Callable[[], torch.Tensor], numbers: Numbers, checkpointing: bool
) -> Rehearsal:
    with _Live(model) as live:
        flops = _flops(loss, numbers)
    if checkpointing:
        model.zero_grad()
        try:
            model.activation_checkpointing_enable({"use_reentrant": False})
        except ValueError as error:
            raise NotRehearsedError("it has no activation checkpointing") from error
        with _Live(model) as live:
            _forward(loss, numbers).backward()
    return Rehearsal(live.most_beside_gradients, live.most, flops)


def _flops(loss: Callable[[], torch.Tensor], numbers: Numbers) -> int:
    with FlopCounterMode(display=False, custom_mapping=_FLOPS) as counter:
        _forward(loss, numbers).backward()
    return int(counter.get_total_flops())


def _forward(loss: Callable[[], torch.Tensor], numbers: Numbers) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16) if numbers != "float32" else nullcontext():
        return loss()


def _attention_forward(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward(_: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    """Twice the forward pass: scores that are computed again are not the model's own."""
    return 2 * int(sdpa_flop_count(query, key, value))


def _experts(tokens: Any, matrices: Any, *args: Any, **kwargs: Any) -> int:
    """Of tokens (T, K) that go through one of the experts' matrices (E, K, N) each, or of the gradients of these."""
    return int(2 * tokens[-2] * tokens[-1] * matrices[-1])


_FLOPS = {
    torch.ops.aten._grouped_mm: _experts,
    _ATTENTION: _attention_forward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


class _Counted(TorchDispatchMode):
    """Counts operations."""

    operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return func(*args, **(kwargs or {}))


class _Live(TorchDispatchMode):
    """Counts the bytes of tensors that are made and not yet gone, but for a model's own."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.most = self.most_beside_gradients = 0
        self._model = model
        self._now = self._gradients = 0
        self._sizes = {_key(tensor): 0 for tensor in (*model.parameters(), *model.buffers())}
        self._hooks: list[Any] = []

    def __enter__(self) -> "_Live":
        learning = [weight for weight in self._model.parameters() if weight.requires_grad]
        self._hooks = [weight.register_post_accumulate_grad_hook(self._complete) for weight in learning]
        super().__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        for hook in self._hooks:
            hook.remove()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and (key := _key(tensor)) not in self._sizes:
                storage = tensor.untyped_storage()
                self._sizes[key] = storage.nbytes()
                self._now += storage.nbytes()
                weakref.finalize(storage, self._forget, key)
        self.most = max(self.most, self._now)
        self.most_beside_gradients = max(self.most_beside_gradients, self._now - self._gradients)
        return made

    def _forget(self, key: int) -> None:
        self._now -= self._sizes.pop(key, 0)

    def _complete(self, weight: torch.Tensor) -> None:
        """A weight's gradient is all there: from now on it is no passing result."""
        assert weight.grad is not None
        self._gradients += weight.grad.untyped_storage().nbytes()


def _key(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
