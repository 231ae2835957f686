"""Chat templates: how a model writes a conversation down, and which part of that text the assistant said."""

import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

from llmctl.data.chat import Message
from llmctl.errors import ModelError
from llmctl.hub import first_line

# Templates are programs of strangers. The longest in use have some 20,000 characters.
MAX_TEMPLATE = 200_000
MAX_SECONDS = 5.0  # for one conversation
MAX_BYTES = 512 << 20  # that it may take while it writes one
MAX_ADDED = 100_000  # characters that a conversation may gain, beside every content four times

_GENERATION = re.compile(r"{%-?\s*generation\s*-?%}")
_CHATML_MARKS = ("<|im_start|>", "<|im_end|>")
_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# As Zephyr's: the marks are plain text, so that nothing but the token that ends a text must be known.
_PLAIN = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


class RefusedError(Exception):
    """The template does not take a conversation, e.g. as roles do not alternate; says why."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as the model reads it.

    Attributes:
        text: all of it.
        turns: begin and end, in characters, of what the assistant says, with the mark that ends its turn.
        unplaced: turns of the assistant whose place in the text could not be told.
    """

    text: str
    turns: Sequence[tuple[int, int]]
    unplaced: int


def give_template(tokenizer: Any) -> str | None:
    """Give a tokenizer without a chat template one that needs no new token; it is saved with the tokenizer.

    Returns:
        What was done, for a message; ``None``: it has a template.

    Raises:
        ModelError: it has no token that could end a turn.
    """
    if tokenizer.chat_template is not None:
        return None
    begin = "{{ bos_token }}" if _begins_with_bos(tokenizer) else ""
    if all(mark in tokenizer.get_vocab() for mark in _CHATML_MARKS):
        tokenizer.chat_template = begin + _CHATML
        return "the model has no chat template: it gets ChatML, <|im_start|>ROLE ... <|im_end|>"
    if tokenizer.eos_token is None:
        raise ModelError(
            "the model has neither a chat template nor a token that ends a text",
            hint="choose an instruction-tuned model, or another --tokenizer",
        )
    tokenizer.chat_template = begin + _PLAIN
    return f"the model has no chat template: it gets one like Zephyr's, <|ROLE|> ... {tokenizer.eos_token}"


def _begins_with_bos(tokenizer: Any) -> bool:
    ids = tokenizer("a")["input_ids"]
    return tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id and len(ids) > 1


class ChatTemplate:
    """A tokenizer's chat template.

    Where the template itself marks what the assistant says, by ``{% generation %}``, that is it. Else a turn is what
    the text has beyond the conversation before it, written with the prompt for an answer: both must be its beginning.

    Raises:
        ModelError: the tokenizer has several templates and none is the default, or it is too long.
    """

    def __init__(self, tokenizer: Any) -> None:
        try:
            self.source: str = tokenizer.get_chat_template()
        except ValueError as error:
            raise ModelError(f"the model's chat template: {first_line(error)}") from error
        if len(self.source) > MAX_TEMPLATE:
            raise ModelError(
                f"the model's chat template has {len(self.source):,} characters, more than any needs"
            )
        self.variables: dict[str, Any] = tokenizer.special_tokens_map
        self.marked = _GENERATION.search(self.source) is not None
        added = {str(token): token.special for token in tokenizer.added_tokens_decoder.values()}
        known = {*added, *tokenizer.all_special_tokens} - {""}
        self.marks = tuple(sorted(known, key=len, reverse=True))
        self._special = tuple(mark for mark in self.marks if added.get(mark, True))

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Write a conversation down.

        Raises:
            RefusedError: the template does not take it.
            ModelError: the template takes too long, or writes far too much.
        """
        said = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        with _limited():
            text, turns = self._written(messages)
            if not self.marked:
                turns = [turn for place in said if (turn := self._turn_or_none(text, messages, place))]
        return Rendered(text, turns, max(0, len(said) - len(turns)))

    def special_in(self, messages: Sequence[Message]) -> str | None:
        """A special token that is written out in what is said: the model takes it for the token itself."""
        said = "\n".join(message["content"] for message in messages)
        return next((mark for mark in self._special if mark in said), None)

    def prompt(self, messages: Sequence[Message]) -> str:
        """Write a conversation down up to where the assistant's answer begins.

        Raises:
            RefusedError, ModelError: as :meth:`render`.
        """
        with _limited():
            return self._written(messages, prompt=True)[0]

    def _turn_or_none(self, text: str, messages: Sequence[Message], place: int) -> tuple[int, int] | None:
        try:
            return self._turn(text, messages, place)
        except RefusedError:  # of a part of the conversation, which need not be one
            return None

    def _turn(self, text: str, messages: Sequence[Message], place: int) -> tuple[int, int] | None:
        """Where the message at ``place``, of the assistant, stands in ``text``."""
        if not place:
            return None  # no template says what comes before it
        before, _ = self._written(messages[:place], prompt=True)
        if not text.startswith(before):
            return None
        begin = len(before)
        through = text if place == len(messages) - 1 else self._written(messages[: place + 1])[0]
        if text.startswith(through):
            return begin, self._end(text, begin, len(through))
        # Some templates write a turn otherwise once others follow: then it is known by its words.
        content = messages[place]["content"].strip()
        if not content or not text.startswith(content, begin):
            return None
        end = begin + len(content)
        return begin, end + len(next((mark for mark in self.marks if text.startswith(mark, end)), ""))

    def _end(self, text: str, begin: int, end: int) -> int:
        """Leave out the white space behind the mark that ends a turn: no model is to say it."""
        bare = begin + len(text[begin:end].rstrip())
        return bare if text.endswith(self.marks, begin, bare) else end

    def _written(
        self, messages: Sequence[Message], *, prompt: bool = False
    ) -> tuple[str, list[tuple[int, int]]]:
        try:
            (text,), turns = render_jinja_template(
                conversations=[list(messages)],
                chat_template=self.source,
                return_assistant_tokens_mask=self.marked,
                add_generation_prompt=prompt,
                **self.variables,
            )
        except TimeoutError as error:
            raise ModelError(
                f"the model's chat template takes longer than {MAX_SECONDS:g} s for one conversation"
            ) from error
        except MemoryError as error:
            raise ModelError(
                f"the model's chat template takes more than {MAX_BYTES >> 20} MiB for one conversation"
            ) from error
        except Exception as error:  # a stranger's program may raise anything
            raise RefusedError(first_line(error)) from error
        if len(text) > MAX_ADDED + 4 * sum(len(message["content"]) for message in messages):
            raise ModelError(f"the model's chat template makes {len(text):,} characters of one conversation")
        return text, list(turns[0]) if turns else []


def stop_at_turns(model: Any, tokenizer: Any) -> None:
    """Have the model's ``generate`` stop where the assistant's turn ends, if there is a token that ends it.

    Raises:
        ModelError: the chat template cannot be used.
    """
    template = ChatTemplate(tokenizer)
    try:
        found = template.render([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    except RefusedError:
        return
    said = "".join(found.text[begin:end] for begin, end in found.turns)
    mark = next((mark for mark in template.marks if said.endswith(mark)), None)
    if mark is None:
        return
    known = model.generation_config.eos_token_id
    ends = [known] if isinstance(known, int) else list(known or [])
    end = int(tokenizer.convert_tokens_to_ids(mark))
    if end not in ends:
        model.generation_config.eos_token_id = [*ends, end] if ends else end


@contextmanager
def _limited() -> Iterator[None]:
    """Bound what a template takes, where the system can."""
    with _memory_limit(), _time_limit():
        yield


@contextmanager
def _memory_limit() -> Iterator[None]:
    """Raise MemoryError where the process would take ``MAX_BYTES`` more than it has; on Linux alone."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + MAX_BYTES
    if soft == resource.RLIM_INFINITY or most < soft:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _time_limit() -> Iterator[None]:
    """Raise TimeoutError after ``MAX_SECONDS``, where the system can: in the main thread of a Unix process."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(number: int, frame: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
