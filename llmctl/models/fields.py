"""What the JSON files of a model's directory must hold, so that a wrong field is told by its name.

The libraries complain of one late, and in words that name neither the file nor the field.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from llmctl.errors import ModelError

PUT_BACK = "put back the {} that came with the model"
# What stands in these is no setting of the model; labels may be called as a setting is.
_OTHERS = frozenset(["id2label", "label2id", "quantization_config", "task_specific_params"])
_DTYPE = re.compile(
    r"auto|(torch\.)?(half|double|float|b?float16|float(32|64|8_\w+)|complex\d+|u?int\d+|bool)"
)


class _Kind(NamedTuple):
    """Fields of like values; ``null`` stands for the family's own.

    Attributes:
        what: ends "... is 5, not ...".
        fits: whether a value that is no object is one.
        fields: their names in all families, with spaces between.
    """

    what: str
    fits: Callable[[Any], bool]
    fields: str


def _whole(value: Any, least: int) -> bool:
    """Whether it is a whole number, or a list, as some families have one for each layer: the library looks into it."""
    return isinstance(value, list) or (type(value) is int and value >= least)


_KINDS = (
    _Kind(
        "a whole number of at least 1",
        lambda value: _whole(value, 1),
        "hidden_size d_model n_embd num_attention_heads n_head n_heads num_heads encoder_attention_heads "
        "decoder_attention_heads num_key_value_heads vocab_size num_hidden_layers n_layer n_layers num_layers "
        "encoder_layers",
    ),
    _Kind(
        "a whole number of at least 0",
        lambda value: _whole(value, 0),
        "head_dim intermediate_size n_inner d_ff ffn_dim encoder_ffn_dim decoder_ffn_dim decoder_layers "
        "type_vocab_size num_labels",
    ),
    _Kind(
        "a number above 0",
        lambda value: type(value) in (int, float) and value > 0,
        "rope_theta factor model_max_length",
    ),
    _Kind(
        "text",
        lambda value: isinstance(value, str),
        "model_type rope_type tokenizer_class bos_token eos_token unk_token sep_token pad_token cls_token mask_token",
    ),
    _Kind("text or a list of templates", lambda value: isinstance(value, str | list), "chat_template"),
    _Kind("a list of names", lambda value: isinstance(value, list), "architectures"),
    _Kind(
        "an object in braces",
        lambda value: False,
        "rope_parameters rope_scaling text_config added_tokens_decoder " + " ".join(_OTHERS),
    ),
    _Kind(
        "a dtype, such as float32",
        lambda value: isinstance(value, str) and bool(_DTYPE.fullmatch(value)),
        "dtype torch_dtype",
    ),
)
_KIND_OF = {field: kind for kind in _KINDS for field in kind.fields.split()}


def check_fields(content: Mapping[str, Any], where: str) -> None:
    """Refuse a well-known field whose value is of another kind than what it holds in every family.

    Args:
        content: of a ``config.json`` or ``tokenizer_config.json``.
        where: what messages call it.

    Raises:
        ModelError: naming the field, its value and what it must be.
    """
    for key, value in entries(content):
        kind = _KIND_OF.get(key)
        if kind and value is not None and not kind.fits(value):
            raise ModelError(
                f"{where}: {key} is {json.dumps(value, default=str):.60}, not {kind.what}",
                hint=PUT_BACK.format("file"),
            )


def read_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        ModelError: it cannot be read, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}", hint=PUT_BACK.format("file")) from error
    if not isinstance(found, dict):
        raise ModelError(
            f"{path} holds {json.dumps(found):.60}, not an object in braces", hint=PUT_BACK.format("file")
        )
    return found


def entries(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings of a config and of the configs inside of it."""
    left: list[Mapping[str, Any]] = [config]
    while left:
        for key, value in left.pop().items():
            if not isinstance(value, dict):
                yield str(key), value
            elif key not in _OTHERS:
                left.append(value)
