"""Directories that hold an adapter, the few weights that were learnt beside a model that stayed as it was.

They are peft's: ``adapter_config.json``, ``adapter_model.safetensors`` and a tokenizer. One thing is added: the
config of the model as it was adapted, in the folder ``base_model``, because peft keeps neither the labels of its
head nor the name of a GGUF file. It does not stand beside the adapter: there, transformers would look for the
model's weights as well.
"""

import inspect
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl.errors import ModelError

ADAPTER = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_MODEL_CONFIG = "base_model"
# Where a weight stands in a PeftModel, and in its file.
_WRAPPERS = ("base_model.model.", "base_model.")
_PROBES = 8
METHODS = ("LORA", "PREFIX_TUNING", "PROMPT_TUNING")
"""peft's words for what can be read."""


@dataclass(frozen=True)
class Adapter:
    """What an adapter's directory says.

    Attributes:
        folder: the directory.
        method: peft's word for the kind: ``LORA``, ``PREFIX_TUNING``, ``PROMPT_TUNING``, ...
        base: the model it belongs to: a path, which may be of a ``.gguf`` file, or a Hub id.
        config_folder: where the config of the adapted model is, if it was kept.
    """

    folder: Path
    method: str
    base: str
    config_folder: Path | None

    @property
    def merges(self) -> bool:
        """Whether its weights can be put into the model: a prefix or prompt has no place there."""
        return self.method == "LORA"


def read(location: str | Path) -> Adapter | None:
    """The adapter in a directory; ``None``: there is none, or ``location`` is a Hub id.

    Raises:
        ModelError: it is damaged, or names no model.
    """
    folder = Path(location)
    path = folder / ADAPTER
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        base, method = found["base_model_name_or_path"], found["peft_type"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error
    if method not in METHODS:
        raise ModelError(
            f"{path}: {method!r:.60} is no method that is read here", hint=f"there are {', '.join(METHODS)}"
        )
    if not isinstance(base, str) or not base:
        raise ModelError(f"{path} does not say which model the adapter belongs to")
    if not (folder / _WEIGHTS).is_file():
        raise ModelError(f"no weights in {folder}: it holds no {_WEIGHTS}")
    kept = folder / _MODEL_CONFIG
    if not (kept / "config.json").is_file():
        return Adapter(folder, method, base, None)
    gguf_file = json.loads((kept / "config.json").read_text(encoding="utf-8")).get("gguf_file")
    if gguf_file is not None and Path(str(gguf_file)).name != gguf_file:
        raise ModelError(f"{kept / 'config.json'}: gguf_file {gguf_file!r:.60} is no file name")
    return Adapter(folder, method, str(Path(base) / gguf_file) if gguf_file else base, kept)


def complete(model: Any, folder: Path) -> None:
    """Add what peft does not save to the directory that ``model.save_pretrained`` wrote; not for plain models."""
    if not hasattr(model, "get_base_model"):
        return
    base = model.get_base_model()
    base.config.architectures = [type(base).__name__]
    base.config.save_pretrained(folder / _MODEL_CONFIG)
    (folder / "README.md").unlink(missing_ok=True)  # a form with nothing filled in


def attach(model: Any, adapter: Adapter, unread: Iterable[str]) -> Any:
    """Put an adapter on the model that it belongs to.

    Args:
        model: as it was before the training; changed in place.
        unread: names of the model's weights that no checkpoint gave; the adapter must have them.

    Returns:
        A ``PeftModel`` in evaluation mode.

    Raises:
        ModelError: the adapter lacks weights, or they are of another shape.
    """
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(adapter.folder / _WEIGHTS, framework="pt") as file:
        saved = set(file.keys())
    if lost := sorted(set(unread) - {_plain(name) for name in saved}):
        raise ModelError(
            f"{adapter.folder}: {lost[0]} is neither in the adapter nor in its model {adapter.base}",
            hint="the adapter was trained on another model",
        )
    config = PeftConfig.from_pretrained(str(adapter.folder))
    adapted = PeftModel.from_pretrained(model, str(adapter.folder), config=config)
    expected = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    if lost := sorted(expected - saved):
        raise ModelError(f"{adapter.folder / _WEIGHTS}: {len(lost)} weights are missing (first: {lost[0]})")
    return leave_out_prompt(adapted).eval()


def merged(model: Any) -> Any:
    """The plain model with the adapter's weights in it; a prefix or prompt, which cannot be, stays as it is."""
    if not hasattr(model, "merge_and_unload") or model.active_peft_config.is_prompt_learning:
        return model
    plain = model.merge_and_unload()
    plain.config.__dict__.pop("gguf_file", None)
    return plain


def leave_out_prompt(model: Any) -> Any:
    """Let a model with a learnt prompt answer for the tokens of the text alone, as it does without one.

    peft puts the prompt before the text, so that heads with an answer for each token answer for the prompt too.
    """
    if model.active_peft_config.peft_type == "PROMPT_TUNING" and model.active_peft_config.task_type in (
        "TOKEN_CLS",
        "QUESTION_ANS",
        "CAUSAL_LM",
    ):
        model.register_forward_hook(_of_the_text, with_kwargs=True)
    return model


def _of_the_text(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    length = (kwargs["input_ids"] if "input_ids" in kwargs else args[0]).shape[1]
    for name in ("logits", "start_logits", "end_logits"):
        if output.get(name) is not None:
            output[name] = output[name][:, -length:]
    return output


def probe(model: Any, *, padding: int = 0) -> Any:
    """What ``model`` answers to a few arbitrary tokens: to find out whether two models are the same.

    Args:
        padding: so many tokens of padding stand behind each row.
    """
    import torch
    from torch.nn import functional

    vocabulary = model.get_input_embeddings().num_embeddings
    ids = torch.arange(2 * _PROBES).reshape(2, _PROBES) * 7 % vocabulary
    if isinstance(eos_id := getattr(model.config, "eos_token_id", None), int) and eos_id < vocabulary:
        ids[:, -1] = eos_id  # where some encoder-decoders read the class of a text
    mask = functional.pad(torch.ones_like(ids), (0, padding)).to(model.device)
    ids = functional.pad(ids, (0, padding), value=getattr(model.config, "pad_token_id", None) or 0)
    given = {"input_ids": ids.to(model.device), "attention_mask": mask}
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    if "decoder_input_ids" in inspect.signature(plain.forward).parameters:
        given["decoder_input_ids"] = given["input_ids"]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        output = model(**given)
    model.train(was_training)
    found = next(
        output[name]
        for name in ("logits", "start_logits", "last_hidden_state")
        if output.get(name) is not None
    )
    return found[:, :_PROBES].float()


def _plain(name: str) -> str:
    for wrapper in _WRAPPERS:
        if name.startswith(wrapper):
            return name.removeprefix(wrapper)
    return name
