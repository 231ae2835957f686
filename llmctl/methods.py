"""Which weights learn: all of them, those of an adapter (peft's LoRA, prefix, prompt), or a part of the model."""

import re
from importlib.util import find_spec
from typing import Any

from llmctl import adapting
from llmctl.config import Method
from llmctl.errors import ConfigError, ModelError
from llmctl.progress import Progress
from llmctl.tasks import KINDS

ADAPTERS = ("lora", "prefix", "prompt")

# How much larger than for all weights the peak learning rate is, and what it is at most. LoRA: ten times, see
# Schulman et al., "LoRA Without Regret" (2025). The others: what learnt well and surely with MiniLM on 960 examples
# of SST-2 in two epochs (400 judged: two points of noise): prefix 0.76, prompt 0.75, ffn 0.80 at 3e-4, head 0.72.
_LEARNING_RATES = {
    "full": (1.0, 1.0),
    "lora": (10.0, 1e-3),
    "prefix": (200.0, 1e-2),
    "prompt": (200.0, 1e-2),
    "ffn": (4.0, 1e-3),
    "head": (40.0, 1e-2),
}
# A body with random weights wants more than a trained one, whose weights shall not go far.
_SCRATCH_LEARNING_RATE = 1e-3


def default_learning_rate(method: str, full: float, *, scratch: bool) -> float:
    """The peak learning rate of a method.

    Args:
        full: that of training all weights of a trained body.
        scratch: whether the body's weights are random.

    Raises:
        ConfigError: random weights would be kept as they are.
    """
    if scratch:
        if method != "full":
            raise ConfigError(
                f"--method {method} keeps the weights of a new model as they are: random",
                hint="--method full, or name a --model",
            )
        return max(full, _SCRATCH_LEARNING_RATE)
    factor, most = _LEARNING_RATES[method]
    return float(f"{min(full * factor, most):.3g}")


def check(config: Method, kind: str) -> None:
    """Find what cannot be, without importing the heavy libraries.

    Raises:
        ConfigError: naming the options.
    """
    if config.method == "head" and not _has_head(kind):
        raise ConfigError(
            f"--method head: models for {kind} have no head beside their vocabulary",
            hint="--method lora trains few weights",
        )
    if config.target_modules and config.method != "lora":
        raise ConfigError(
            f"target_modules are LoRA's, the method is {config.method}",
            hint="--method lora, or leave them out",
        )
    if config.method in ADAPTERS and find_spec("peft") is None:
        raise ConfigError(f"--method {config.method} needs a package", hint="pip install peft")
    bits = "load_in_8bit" if config.load_in_8bit else "load_in_4bit" if config.load_in_4bit else None
    if bits is None:
        return
    if config.load_in_8bit and config.load_in_4bit:
        raise ConfigError("both load_in_8bit and load_in_4bit", hint="give one of them")
    if config.method not in ADAPTERS:
        raise ConfigError(
            f"{bits}: weights of so few bits cannot learn, the method is {config.method}",
            hint="--method lora",
        )
    if find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"{bits} needs a GPU and a package", hint="pip install bitsandbytes, or leave the option out"
        )


def loading(config: Method) -> dict[str, Any]:
    """What the loader of the weights must be told: how many bits each is held in.

    Raises:
        ConfigError: there is no GPU.
    """
    if not (config.load_in_8bit or config.load_in_4bit):
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    if not torch.cuda.is_available():
        raise ConfigError(
            "load_in_8bit and load_in_4bit need a GPU; there is none", hint="leave the option out"
        )
    bits = BitsAndBytesConfig(
        load_in_8bit=config.load_in_8bit,
        load_in_4bit=config.load_in_4bit,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": bits, "device_map": {"": torch.cuda.current_device()}}


def virtual_tokens(config: Method) -> int:
    """Positions of the model that the method takes away from the text."""
    return config.num_virtual_tokens if config.method in ("prefix", "prompt") else 0


def check_layers(model: Any, config: Method, *, kind: str) -> None:
    """Refuse a model without the layers that the method wants to train; its weights are not looked at.

    Raises:
        ConfigError: no layer has the name that was asked for.
        ModelError: the family has no such layers.
    """
    if config.method == "lora":
        adapting.targets_of(model, config.target_modules, _heads(model) if _has_head(kind) else [])
    elif config.method == "ffn":
        _feed_forward(model)


def apply(model: Any, config: Method, *, kind: str, progress: Progress) -> Any:
    """Let only the weights learn that the method says; a new head learns always.

    Args:
        model: with its head, all weights of which may learn.
        kind: of problem, a key of ``llmctl.tasks.KINDS``.

    Returns:
        The model; for an adapter the ``PeftModel`` around it.

    Raises:
        ConfigError: as :func:`check`; or a module of that name is not in the model.
        ModelError: the family cannot learn so.
    """
    check(config, kind)
    heads = _heads(model) if _has_head(kind) else []
    told = ""
    if config.method in ADAPTERS:
        model, told = adapting.adapt(model, config, kind, heads)
    elif config.method in ("ffn", "head"):
        names = heads + (_feed_forward(model) if config.method == "ffn" else [])
        for name, parameter in model.named_parameters():
            chosen = any(name.startswith(f"{module}.") for module in names)
            parameter.requires_grad_(chosen and parameter.requires_grad)
        told = ": " + adapting.ends(names)
    learns, total = count_parameters(model)
    progress.note(
        f"method {config.method}: trains {learns:,} of {total:,} parameters ({learns / total:.1%}){told}"
    )
    return model


def count_parameters(model: Any) -> tuple[int, int]:
    """How many parameters learn, and how many there are.

    Beside a head that learns, peft keeps the one it was copied from, which takes no part: it is not counted.
    """
    used = [weight for name, weight in model.named_parameters() if ".original_module." not in name]
    learns = sum(weight.numel() for weight in used if weight.requires_grad)
    return learns, sum(weight.numel() for weight in used)


def _has_head(kind: str) -> bool:
    """Whether models for a kind of problem have a head of their own; a vocabulary's weights are the body's."""
    return KINDS[kind].objective not in ("seq2seq", "chat")


def _heads(model: Any) -> list[str]:
    """Names of the modules above the body, in which a task is learnt anew; the body's pooler is one of them."""
    names = [
        name
        for name, child in model.named_children()
        if name != model.base_model_prefix and any(True for _ in child.parameters())
    ]
    pooler = f"{model.base_model_prefix}.pooler"
    return names + [pooler] * any(name.startswith(f"{pooler}.") for name, _ in model.named_parameters())


def _feed_forward(model: Any) -> list[str]:
    """Names of the modules with weights in the numbered blocks that belong neither to attention nor to a norm.

    Raises:
        ModelError: the blocks have no attention, so that what is beside it cannot be told.
    """
    found, attention = [], False
    for name, module in model.named_modules():
        in_block = re.search(r"\.\d+\.", f".{name}")
        if not in_block or not any(True for _ in module.parameters(recurse=False)):
            continue
        if "att" in name[in_block.start() :].lower():
            attention = True
        elif "norm" not in type(module).__name__.lower():
            found.append(name)
    if not attention or not found:
        raise ModelError(
            f"no feed-forward layers beside attention were found in a {model.config.model_type} model",
            hint="--method lora, or full",
        )
    return found
