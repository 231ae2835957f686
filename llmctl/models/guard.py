"""What is looked at before the libraries read a model's directory: a stranger may have made it.

The libraries run no code of it, as they are told not to, and weights are read from safetensors or GGUF alone. But they
follow every path that an index names, make as many layers as a config says, and read files of any size.
"""

import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from llmctl.errors import ModelError
from llmctl.limits import num_ids
from llmctl.models.fields import PUT_BACK, check_fields, entries, read_object

# The largest in use: 35 MB with 262,000 tokens.
_MAX_TOKENIZER_BYTES = 128 << 20
_MAX_JSON_BYTES = 32 << 20
_TOKENIZER_FILES = ("tokenizer.json", "vocab", "merges", "sentencepiece", "spiece", "source", "target")
_READ = (".json", ".jinja", ".txt", ".model", ".spm", ".tiktoken", ".safetensors")
_OBJECTS = ("generation_config.json", "special_tokens_map.json", "added_tokens.json")
_SUBFOLDERS = (".", "additional_chat_templates", "base_model")
# Each layer, and each expert of each, is Python objects, which take time and memory even without weights.
_MAX_LAYERS, _MAX_MODULES, _MAX_LABELS = 1_000, 200_000, 1_000_000
_MAX_RANK = 8_192
_LAYERS = re.compile(r"(^|_)n?(layers?|blocks)$")
_EXPERTS = re.compile(r"(^|_)experts$")
_MANY = 100_000_000  # of fewer parameters the loader itself tells that they are missing
_PARAMETERS_A_BYTE = 8  # more than any quantisation has


def check_directory(folder: Path) -> None:
    """Refuse a directory whose files are links to elsewhere, far too large, or name others outside of it.

    Raises:
        ModelError: naming the file and what it says.
    """
    for path in _files(folder):
        _check_inside(path, folder)
        _check_size(path)
        if path.name.endswith(".index.json"):
            _check_index(path)
        elif path.name == "tokenizer_config.json":
            _check_tokenizer_config(path)
        elif path.name == "config.json":
            check_config(path)
        elif path.name == "adapter_config.json":
            _check_ranks(read_object(path), path)
        elif path.name in _OBJECTS:
            read_object(path)


def check_config(path: Path) -> None:
    """As :func:`check_numbers`, of a file."""
    check_numbers(read_object(path), str(path))


def check_numbers(config: Mapping[str, Any], where: str) -> None:
    """Refuse a config that asks for more layers, experts or labels than any model has, or for code of the Hub.

    Args:
        where: what messages call it.

    Raises:
        ModelError: naming the field and what it says; also where that is of the wrong kind.
    """
    check_fields(config, where)
    most = {"layers": 1, "experts": 1}
    for key, value in entries(config):
        if key.endswith(("attn_implementation", "experts_implementation")) and "/" in str(value):
            raise ModelError(
                f"{where}: {key} {value!r} would load code from the Hub, which llmctl never runs",
                hint=f"remove {key} from it",
            )
        if not isinstance(value, int):
            continue
        if key == "num_labels" and value > _MAX_LABELS:
            raise ModelError(f"{where}: num_labels {value:,}: more than {_MAX_LABELS:,} are not read")
        for kind, pattern in (("layers", _LAYERS), ("experts", _EXPERTS)):
            if pattern.search(key):
                most[kind] = max(most[kind], value)
                if value > _MAX_LAYERS:
                    raise ModelError(f"{where}: {key} {value:,}: more than {_MAX_LAYERS:,} are not read")
    if most["layers"] * most["experts"] > _MAX_MODULES:
        raise ModelError(
            f"{where}: {most['layers']:,} layers of {most['experts']:,} experts each are not read"
        )


def check_weights(outline: Any, folder: Path | None, where: str, *, bytes_each: int) -> None:
    """Refuse a model that does not fit into this machine's memory, or that its weight files cannot hold.

    Args:
        outline: the model on the meta device.
        folder: where its ``.safetensors`` are; ``None``: elsewhere.
        bytes_each: of a parameter, once loaded.

    Raises:
        ModelError: naming both numbers.
    """
    import psutil  # type: ignore[import-untyped]

    parameters = sum(weight.numel() for weight in outline.parameters())
    needed = bytes_each * (parameters + sum(buffer.numel() for buffer in outline.buffers()))
    total = psutil.virtual_memory().total
    if needed > total:
        raise ModelError(
            f"{where}: by its config it has {parameters:,} parameters, which take {needed / 2**30:,.1f} GiB; "
            f"this machine has {total / 2**30:,.1f} GiB",
        )
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors")) if folder else 0
    if size and parameters > max(_MANY, _PARAMETERS_A_BYTE * size):
        raise ModelError(
            f"{where}: by its config it has {parameters:,} parameters, but its weights are {size:,} bytes",
            hint=PUT_BACK.format("config.json"),
        )


def check_sizes(mismatched: Iterable[tuple[str, Iterable[int], Iterable[int]]], where: str) -> None:
    """Refuse weights of other sizes than the config says, which would be left out.

    Args:
        mismatched: name, size in the weight files and size by the config of each.

    Raises:
        ModelError: naming the first of them.
    """
    for name, found, wanted in sorted(mismatched):
        sizes = (" x ".join(map(str, size)) for size in (found, wanted))
        raise ModelError(
            f"{where}: its weights have {name} of {next(sizes)}, its config.json says {next(sizes)}",
            hint=PUT_BACK.format("config.json"),
        )


def check_all_used(model: Any, unexpected: Iterable[str], where: str) -> None:
    """Refuse a config that asks for fewer layers than the weights have: the model would be another, and worse.

    Args:
        unexpected: names in the weight files that the model has no use for.

    Raises:
        ModelError: naming the first weight of such a layer.
    """
    own = [name for name, _ in model.named_parameters()]
    for name in sorted(unexpected):
        if not (found := re.match(r"(.*?\.)\d+\.", name)):
            continue
        layer, layers = found[0], found[1]
        if any(other.startswith(layers) for other in own) and not any(
            other.startswith(layer) for other in own
        ):
            raise ModelError(
                f"{where}: its weights have {name}, and by its config.json there is no such layer",
                hint=PUT_BACK.format("config.json"),
            )


def check_safe_format(folder: Path) -> None:
    """Refuse a model's directory without safetensors.

    Raises:
        ModelError: naming the pickles that are there instead.
    """
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(
        path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern)
    )
    if pickles:
        raise ModelError(
            f"no weights as .safetensors in {folder}, only {pickles[0]}: a pickle can run code, so it is not read",
            hint="have it converted: https://huggingface.co/spaces/safetensors/convert",
        )
    raise ModelError(f"no weights in {folder}: it holds no .safetensors")


def check_tokenizer(tokenizer: Any, where: str) -> None:
    """Refuse a tokenizer whose ids are far beyond its number of tokens, or whose templates would be saved elsewhere.

    Raises:
        ModelError: naming the id or template.
    """
    needed = num_ids(tokenizer)
    if needed > 2 * len(tokenizer) + 1_000:
        raise ModelError(f"{where}: its tokenizer has {len(tokenizer):,} tokens, but the id {needed - 1:,}")
    if isinstance(tokenizer.chat_template, dict):
        _check_names(tokenizer.chat_template, where)


def _files(folder: Path) -> Iterator[Path]:
    """What the libraries may read of a model's directory."""
    for place in _SUBFOLDERS:
        if (folder / place).is_dir():
            yield from sorted(path for path in (folder / place).iterdir() if path.suffix in _READ)


def _check_inside(path: Path, folder: Path) -> None:
    real = folder.resolve()
    places = [real]
    if real.parent.name == "snapshots":  # of the Hub's cache, which keeps the files beside and links to them
        places.append(real.parents[1] / "blobs")
    target = path.resolve()
    if not any(target.is_relative_to(place) for place in places):
        raise ModelError(
            f"{path} is a link to {target}, outside of the model's directory",
            hint="copy the file into the directory, if it belongs to the model",
        )


def _check_size(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise ModelError(f"{path} is not a regular file")
    most = _MAX_TOKENIZER_BYTES if path.name.startswith(_TOKENIZER_FILES) else _MAX_JSON_BYTES
    if path.suffix != ".safetensors" and status.st_size > most:
        raise ModelError(f"{path} has {status.st_size:,} bytes: more than {most:,} are not read")


def _check_index(path: Path) -> None:
    named = read_object(path).get("weight_map")
    if not isinstance(named, dict):
        raise ModelError(f"{path} is damaged: it has no weight_map that can be read")
    for name in sorted({str(value) for value in named.values()}):
        pure = PurePosixPath(name.replace("\\", "/"))
        if pure.is_absolute() or ".." in pure.parts:
            raise ModelError(f"{path} names {name!r}, outside of the model's directory")
        _check_inside(path.parent / name, path.parent)


def _check_ranks(config: Mapping[str, Any], path: Path) -> None:
    """Refuse an adapter that would be far larger than any model is wide, or repeat the model's layers."""
    ranks = {key: config.get(key) for key in ("r", "num_virtual_tokens", "encoder_hidden_size")}
    patterns = config.get("rank_pattern")
    for key, value in (ranks | (patterns if isinstance(patterns, dict) else {})).items():
        if isinstance(value, int) and value > _MAX_RANK:
            raise ModelError(f"{path}: {key} {value:,}: more than {_MAX_RANK:,} are not read")
    if config.get("layer_replication"):
        raise ModelError(f"{path}: layer_replication is not read")


def _check_tokenizer_config(path: Path) -> None:
    config = read_object(path)
    check_fields(config, str(path))
    templates = config.get("chat_template")
    if isinstance(templates, list):
        _check_names((item.get("name", "") for item in templates if isinstance(item, dict)), str(path))


def _check_names(names: Iterable[str], where: str) -> None:
    """Refuse chat templates whose names are no file names, as which they would be saved."""
    for name in names:
        if not re.fullmatch(r"[\w.-]{1,100}", str(name)):
            raise ModelError(f"{where}: a chat template is called {name!r}, which is no file name")
