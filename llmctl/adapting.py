"""Making an adapter: few new weights beside a model that stays as it is (peft's LoRA, prefix, prompt)."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from llmctl import adapters
from llmctl.config import Method
from llmctl.errors import ConfigError, ModelError
from llmctl.hub import first_line
from llmctl.tasks import KINDS

_TASK_TYPES = {
    "sequence_classification": "SEQ_CLS",
    "token_classification": "TOKEN_CLS",
    "question_answering": "QUESTION_ANS",
    "seq2seq": "SEQ_2_SEQ_LM",
    "chat": "CAUSAL_LM",
}
_SHOWN = 12


def adapt(model: Any, config: Method, kind: str, heads: list[str]) -> tuple[Any, str]:
    """Put a new adapter on a model; its weights and those of ``heads`` alone learn.

    Args:
        config: ``method`` is one of lora, prefix, prompt.
        kind: of problem, a key of ``llmctl.tasks.KINDS``.
        heads: names of the modules that learn whole.

    Returns:
        The ``PeftModel``, and what to tell of it.

    Raises:
        ConfigError: ``target_modules`` names a layer that is not there.
        ModelError: the family cannot learn so.
    """
    import peft

    task_type = _TASK_TYPES[KINDS[kind].objective]
    _name_base(model)
    if getattr(model, "is_quantized", False):
        model = peft.prepare_model_for_kbit_training(model)
    settings: Any
    if config.method == "lora":
        targets, transposed = targets_of(model, config.target_modules, heads)
        settings = peft.LoraConfig(
            task_type=task_type,
            r=config.lora_r,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            target_modules=targets,
            fan_in_fan_out=transposed,
            modules_to_save=heads or None,
        )
        told = f": rank {config.lora_r} on {ends(targets)}"
    else:
        settings = _prompt_settings(
            model,
            config.method,
            task_type=task_type,
            num_virtual_tokens=config.num_virtual_tokens,
            modules_to_save=heads or None,
        )
        told = f": {config.num_virtual_tokens} virtual tokens"
    if heads:
        told += f", and the head: {ends(heads)}"
    was_training = model.training
    try:
        model = peft.get_peft_model(model, settings)
    except (ValueError, AttributeError, KeyError) as error:
        raise _cannot(model, config.method, first_line(error)) from error
    if config.method != "lora":
        _check_prompt(adapters.leave_out_prompt(model), config.method)
    return model.train(was_training), told


def _prompt_settings(model: Any, method: str, **common: Any) -> Any:
    """peft's settings of a prefix or prompt; the shapes are said because peft does not find every family's."""
    import peft

    shape = model.config.get_text_config(decoder=False)
    common |= {"num_layers": shape.num_hidden_layers, "num_attention_heads": shape.num_attention_heads}
    if method == "prefix":
        return peft.PrefixTuningConfig(token_dim=shape.hidden_size, **common)
    # The prompt stands before the encoder's text alone, as Lester et al. (2021) have it for T5.
    return peft.PromptTuningConfig(
        token_dim=model.get_input_embeddings().embedding_dim,
        num_transformer_submodules=1,
        prompt_tuning_init="SAMPLE_VOCAB",
        **common,
    )


def _name_base(model: Any) -> None:
    """Have the adapter record where its model is, whatever directory it is later read from."""
    path = Path(model.name_or_path)
    if path.exists():
        path = path.resolve()
        if path.suffix == ".gguf":  # the adapter's own record names a directory, see llmctl.adapters
            model.config.gguf_file = path.name
            path = path.parent
        model.name_or_path = str(path)


def _check_prompt(model: Any, method: str) -> None:
    """Refuse a family that does not read what stands before the text, or then takes padding for text.

    Raises:
        ModelError: saying what was found.
    """
    import torch

    try:
        plain, padded = adapters.probe(model), adapters.probe(model, padding=3)
        weight = model.prompt_encoder["default"].embedding.weight
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.add_(torch.arange(weight.numel(), device=weight.device).reshape(weight.shape) % 3 - 1.0)
            other = adapters.probe(model)
            weight.copy_(kept)
    except (ValueError, TypeError, AttributeError, RuntimeError, IndexError, KeyError) as error:
        raise _cannot(model, method, first_line(error)) from error
    if torch.allclose(plain, other, atol=1e-6):
        raise _cannot(model, method, f"it does not read a {method}")
    if not torch.allclose(plain, padded, rtol=1e-3, atol=1e-4):
        raise _cannot(model, method, "it would take padding for text")


def _cannot(model: Any, method: str, why: str) -> ModelError:
    return ModelError(
        f"--method {method} does not go with {model.config.model_type} models here: {why}",
        hint="--method lora goes with every family",
    )


def targets_of(model: Any, asked: Sequence[str], heads: list[str]) -> tuple[list[str], bool]:
    """Names of the layers that LoRA adapts, and whether their weights are stored transposed (GPT-2).

    Raises:
        ConfigError: none has the name that was asked for.
    """
    linear = dict(_linear_layers(model, heads))
    for end in asked:
        if not any(name == end or name.endswith(f".{end}") for name in linear):
            raise ConfigError(
                f"target_modules: no linear layer of the model is called {end!r}",
                hint=f"there are {ends(linear)}",
            )
    chosen = [
        name for name in linear if not asked or any(name == end or name.endswith(f".{end}") for end in asked)
    ]
    if not chosen:
        raise ModelError(
            f"a {model.config.model_type} model has no linear layers for LoRA", hint="--method full"
        )
    return chosen, all(type(linear[name]).__name__ == "Conv1D" for name in chosen)


def _linear_layers(model: Any, heads: list[str]) -> Iterator[tuple[str, Any]]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    vocabulary = model.get_output_embeddings()
    for name, module in model.named_modules():
        inside = any(name == head or name.startswith(f"{head}.") for head in heads)
        if isinstance(module, nn.Linear | Conv1D) and module is not vocabulary and not inside:
            yield name, module


def ends(names: Iterable[str]) -> str:
    """The different last parts of modules' names, for a message."""
    ends = list(dict.fromkeys(name.rpartition(".")[2] for name in names))
    return ", ".join(ends[:_SHOWN]) + (f", and {len(ends) - _SHOWN} more" if len(ends) > _SHOWN else "")
