"""Which file of a model's directory a library failed over, and at which field: what it raises rarely tells."""

from pathlib import Path

from llmctl.errors import ModelError, is_panic
from llmctl.hub import first_line
from llmctl.models.fields import PUT_BACK, entries, read_object


def explained(folder: Path, what: str, error: BaseException) -> ModelError:
    """The error for a directory of which a library could not read a part.

    Args:
        what: ``config.json``, or ``tokenizer``, ``model`` (its weights) or ``adapter``.
        error: what the library raised.
    """
    config = folder / "config.json"
    if what == config.name or (what == "tokenizer" and _is_of_config(error, folder)):
        reason = _unknown_value(config, error) or first_line(error)
        return ModelError(
            f"{config}: no model can be made of it: {reason}", hint=PUT_BACK.format(config.name)
        )
    for path in sorted(folder.glob("tokenizer.json" if what == "tokenizer" else "*.safetensors")):
        if cause := _unreadable(path):
            return ModelError(f"{path} cannot be read: {first_line(cause)}", hint=PUT_BACK.format("file"))
    return ModelError(f"{folder}: cannot read its {what}: {first_line(error)}")


def _is_of_config(error: BaseException, folder: Path) -> bool:
    """Whether the tokenizer's loader, which reads the config too, failed over that."""
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as raised:
        return str(raised) == str(error)
    return False


def _unknown_value(config: Path, error: BaseException) -> str | None:
    """The field that says what a library looked up in vain, such as the name of an activation."""
    if not isinstance(error, KeyError):
        return None
    named = (
        key for key, value in entries(read_object(config)) if isinstance(value, str) and value in error.args
    )
    return next((f"{key} {error.args[0]!r:.60} is unknown" for key in named), None)


def _unreadable(path: Path) -> BaseException | None:
    """What is raised over a file that is read by itself."""
    from safetensors import safe_open
    from tokenizers import Tokenizer

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt"):
                return None
        Tokenizer.from_file(str(path))
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        return error
    return None
