"""A tokenizer of bytes with a chat template of one's choice."""

from collections.abc import Sequence
from typing import Any

from tests.tiny import byte_tokenizer

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}{{ message['content'] }}{{ '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def chat_tokenizer(
    template: str | None,
    *,
    marks: Sequence[str] = ("<|im_start|>", "<|im_end|>"),
    eos: str | None = "</s>",
    adds_bos: bool = False,
) -> Any:
    """A token a byte, and one for each of ``marks``."""
    tokenizer: Any = byte_tokenizer(adds_bos=adds_bos)
    tokenizer.add_special_tokens({"additional_special_tokens": list(marks)})
    tokenizer.chat_template = template
    tokenizer.eos_token = eos
    return tokenizer
