"""Tokenizers and weights from wherever they live."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl import adapters, hub
from llmctl.adapters import Adapter
from llmctl.errors import ModelError
from llmctl.limits import num_positions
from llmctl.models import guard
from llmctl.models.checks import check_causal, check_complete, check_vocabulary
from llmctl.models.sources import Source, base_of, explained, find_source, hide_bars
from llmctl.purposes import check_saved


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode on this process's device, with its tokenizer."""

    model: Any
    tokenizer: Any
    source: Source


def load_tokenizer(source: str, *, runs_dir: Path, slow: bool = False) -> Any:
    """Load a fast tokenizer.

    Args:
        slow: one in Python will do where there is no other, as for Marian's published models.

    Raises:
        ConfigError, RunError, ModelError: it cannot be found or read, or has no fast implementation.
    """
    from transformers import AutoTokenizer

    found = find_source(source, runs_dir)
    files = (*Path(found.location).glob("tokenizer*"), *Path(found.location).glob("vocab*"))
    if found.local and not found.gguf_file and not files:
        raise ModelError(f"no tokenizer in {found.location}: it holds no tokenizer.json")
    with explained(found, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(
            found.location, gguf_file=found.gguf_file, trust_remote_code=False
        )
        tokenizer("a")  # what is wrong with it shows here, and not in the middle of the work
    # some families are made even of no file at all
    if len(tokenizer) <= len(tokenizer.all_special_tokens) + 1:
        raise hub.no_tokenizer(found.name, local=found.local)
    guard.check_tokenizer(tokenizer, found.name)
    if not tokenizer.is_fast and not slow:
        raise ModelError(f"{source}: its tokenizer has no fast implementation (tokenizer.json)")
    return tokenizer


def load_causal_lm(source: str, *, runs_dir: Path, bf16: bool = False) -> LoadedModel:
    """Load a causal language model with its tokenizer, for evaluation or generation.

    Weights are converted to float32, or to bfloat16 if asked, whatever the checkpoint holds.

    Raises:
        ConfigError, RunError, ModelError: it cannot be found, read, or is not a causal language model.
    """
    from accelerate import PartialState

    found = find_source(source, runs_dir)
    tokenizer = load_tokenizer(source, runs_dir=runs_dir)
    model = _load_weights(found, bf16=bf16)
    check_vocabulary(tokenizer, model, found.name)
    return LoadedModel(model.to(PartialState().device).eval(), tokenizer, found)


def _load_weights(found: Source, *, bf16: bool = False) -> Any:
    check_saved(found.name, load_config(found).to_dict(), "AutoModelForCausalLM")
    model, info = load_weights(found, "AutoModelForCausalLM", bf16=bf16)
    if hasattr(model, "get_base_model"):
        raise ModelError(
            f"{found.name}: text cannot be written or scored with a learnt prefix or prompt here",
            hint=f"judge it by its task: llmctl eval {found.name}; or train with --method lora",
        )
    check_complete(info["missing_keys"], model, found.name)
    check_causal(model, found.name)
    return model


def load_config(found: Source) -> Any:
    """The model's ``PretrainedConfig``.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    from transformers import AutoConfig

    if adapter := adapters.read(found.location):
        if adapter.config_folder is None:
            return load_config(base_of(adapter))
        found = Source(found.name, str(adapter.config_folder))
    if found.local and not found.gguf_file and not (Path(found.location) / "config.json").is_file():
        raise ModelError(f"no model in {found.location}: it holds no config.json")
    if not found.local:
        _check_on_hub(found)
    with explained(found, "config.json"):
        config = AutoConfig.from_pretrained(
            found.location, gguf_file=found.gguf_file, trust_remote_code=False
        )
    guard.check_numbers(config.to_dict(), found.name)
    return config


def _check_on_hub(found: Source) -> None:
    """Look at a config of the Hub before the library makes what it says."""
    from transformers.utils import cached_file

    with explained(found, "config.json"):
        path = cached_file(found.location, "config.json")
    guard.check_config(Path(path))


def load_weights(
    found: Source, auto_class: str, *, bf16: bool = False, other_sizes: bool = False, **settings: Any
) -> tuple[Any, dict[str, Any]]:
    """Load weights in float32, or bfloat16, whatever the checkpoint holds; an adapter's into its model.

    Args:
        found: where they are.
        auto_class: name of the ``transformers`` class that has the head.
        other_sizes: weights of other sizes than the model's are left out, for the caller to look at.
        settings: what the model's config shall say, beside what it says.

    Returns:
        The model, and what ``from_pretrained`` says of missing and mismatched weights.

    Raises:
        ModelError: they cannot be read, or are of other sizes than the config says.
    """
    import torch
    import transformers

    hide_bars()
    if adapter := adapters.read(found.location):
        model = load_adapted(found, adapter, auto_class, bf16=bf16, **settings)
        return adapters.merged(model), {"missing_keys": set(), "mismatched_keys": set()}
    folder = Path(found.location) if found.local and not found.gguf_file else None
    if folder:
        guard.check_safe_format(folder)
    config = settings.get("config") or load_config(found)
    origin = Source(found.name, config.name_or_path, found.gguf_file)  # an adapter's comes with the adapter
    with explained(origin, "config.json"), torch.device("meta"):
        cls = getattr(transformers, auto_class)  # an Auto class, or a model's own
        outlined = cls.from_config(config) if hasattr(cls, "from_config") else cls(config)
    guard.check_weights(outlined, folder, found.name, bytes_each=2 if bf16 else 4)
    with explained(found, "model"):
        model, info = getattr(transformers, auto_class).from_pretrained(
            found.location,
            gguf_file=found.gguf_file,
            dtype=torch.bfloat16 if bf16 else torch.float32,
            use_safetensors=None if found.gguf_file else True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **settings,
        )
    if not other_sizes:
        guard.check_sizes(info["mismatched_keys"], found.name)
    guard.check_all_used(model, info.get("unexpected_keys", ()), found.name)
    if found.gguf_file:  # a model read from GGUF is dequantised; left as it is, it could not be saved
        model.config.__dict__.pop("quantization_config", None)
        model.hf_quantizer, model.is_quantized = None, False
    return model, info


def load_adapted(found: Source, adapter: Adapter, auto_class: str, **settings: Any) -> Any:
    """The ``PeftModel`` of an adapter: the model that it was trained on, with the adapter beside its weights.

    Args:
        settings: as for :func:`load_weights`.

    Raises:
        ModelError: the model is gone, or the adapter does not fit it.
    """
    model, info = load_weights(
        base_of(adapter), auto_class, config=load_config(found), other_sizes=True, **settings
    )
    unread = [*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])]
    with explained(found, "adapter"):
        return adapters.attach(model, adapter, unread)


def load_for_training(source: str, *, runs_dir: Path) -> Any:
    """Load a causal language model to train on: float32 master weights, in training mode."""
    return for_training(_load_weights(find_source(source, runs_dir)))


def for_training(model: Any) -> Any:
    """Put a loaded model into training mode; what its family never trains is frozen.

    That is said where a model is made (Marian's sinusoidal positions), but ``from_pretrained`` forgets it.
    """
    import torch

    with torch.device("meta"):
        made = type(model)(model.config)
    for name, parameter in made.named_parameters():
        if not parameter.requires_grad:
            model.get_parameter(name).requires_grad_(False)
    return model.train()


def outline(source: str, auto_class: str, *, runs_dir: Path) -> Any:
    """The model at ``source`` without its weights, which takes no memory: to look at its layers and count them.

    Raises:
        ConfigError, RunError, ModelError: it cannot be found or read, or its family has no such head.
    """
    import torch
    import transformers

    found = find_source(source, runs_dir)
    config = load_config(found)
    check_saved(found.name, config.to_dict(), auto_class)
    with explained(found, "config.json"), torch.device("meta"):
        return getattr(transformers, auto_class).from_config(config)


def positions_of(source: str, *, runs_dir: Path) -> int | None:
    """The longest text that the model at ``source`` can read, in tokens; ``None`` if its config knows no bound."""
    return num_positions(load_config(find_source(source, runs_dir)))
