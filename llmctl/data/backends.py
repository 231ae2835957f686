"""The Rust tokenizer in one of transformers."""

from typing import TYPE_CHECKING, Any

from llmctl.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def backend_of(tokenizer: Any) -> Any:
    """The Rust tokenizer in one of transformers; ModelError where there is none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"{getattr(tokenizer, 'name_or_path', '') or type(tokenizer).__name__}: not a fast tokenizer",
            hint="use a tokenizer with a tokenizer.json, or convert it with transformers",
        )
    return backend


def unbounded(backend: "Tokenizer") -> "Tokenizer":
    """A copy that neither truncates nor pads: some models' tokenizers do both, by their saved settings."""
    copy = type(backend).from_str(backend.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy
