"""Texts in the making: a prompt's tokens, what follows them, and when that is finished."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch

from llmctl.config import GenerateConfig
from llmctl.errors import ConfigError
from llmctl.inference.text import Detokenizer, StopCutter, decoded
from llmctl.limits import check_ids, num_positions
from llmctl.purposes import reads_backwards

FinishReason = Literal["eos", "stop", "length"]


class Prompt(NamedTuple):
    """A text to go on from, and where it stands: ``prompts.txt:3``."""

    text: str
    where: str = "the prompt"
    rendered: bool = False
    """By a chat template, which puts the special tokens into it."""


@dataclass(frozen=True)
class Continuation:
    """What the model wrote after a prompt."""

    prompt: str
    text: str
    """Without the prompt; what stands before it where the model reads backwards."""
    num_tokens: int
    """New tokens that the text was made of, without the end-of-text token."""
    finish_reason: FinishReason

    def to_json(self) -> dict[str, Any]:
        """The line of an output file."""
        return dict(vars(self))


class Row:
    """One text in the making: takes its tokens one by one and knows when it is finished."""

    def __init__(
        self, prompt: str, prompt_ids: list[int], tokenizer: Any, *, eos: frozenset[int], stop: Sequence[str],
        limit: int, seed: int,
    ) -> None:  # fmt: skip
        self.prompt_ids = prompt_ids
        self.limit = limit
        self.random = torch.Generator().manual_seed(seed)
        self.finish_reason: FinishReason | None = None
        self._prompt = prompt
        self.eos = eos
        self._decoder = Detokenizer(tokenizer, prompt_ids)
        self._cutter = StopCutter(stop)
        self._pieces: list[str] = []
        self._num_tokens = 0

    def push(self, token: int) -> str:
        """Take the next token and return the text that may be shown; nothing more once it is finished."""
        if self.finish_reason:
            return ""
        piece = ""
        if token in self.eos:
            self.finish_reason = "eos"
        else:
            self._num_tokens += 1
            piece = self._cutter.push(self._decoder.push(token))
            if self._num_tokens >= self.limit:
                self.finish_reason = "length"
        if self.finish_reason and not self._cutter.stopped:
            piece += self._cutter.push(self._decoder.flush())
            piece += self._cutter.flush()
        if self._cutter.stopped:
            self.finish_reason = "stop"
        self._pieces.append(piece)
        return piece

    def continuation(self) -> Continuation:
        assert self.finish_reason
        return Continuation(self._prompt, "".join(self._pieces), self._num_tokens, self.finish_reason)


class BackwardsRow(Row):
    """A text in the making whose last token comes first: it is shown when it is whole."""

    def __init__(self, prompt: str, prompt_ids: list[int], tokenizer: Any, **settings: Any) -> None:
        super().__init__(prompt, prompt_ids, tokenizer, **settings)
        self._tokenizer = tokenizer
        self._stop = settings["stop"]
        self._new_ids: list[int] = []

    def push(self, token: int) -> str:
        """Take the token before those so far; return the whole text once it is finished, and nothing before."""
        if self.finish_reason:
            return ""
        if token in self.eos:
            self.finish_reason = "eos"
        else:
            self._new_ids.append(token)
            self._num_tokens += 1
            if self._num_tokens >= self.limit:
                self.finish_reason = "length"
        text = self._text() if self.finish_reason or self._stop else ""
        found = max((text.rfind(stop) + len(stop) for stop in self._stop if stop in text), default=0)
        if found:
            self.finish_reason = "stop"
        if not self.finish_reason:
            return ""
        self._pieces.append(text[found:])
        return text[found:]

    def _text(self) -> str:
        """The new text alone; it is decoded before the prompt, which decides about the space between them."""
        prompt = decoded(self._tokenizer, self.prompt_ids[::-1])
        whole = decoded(self._tokenizer, self._new_ids[::-1] + self.prompt_ids[::-1])
        return whole.removesuffix(prompt)


def make_rows(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    settings: GenerateConfig,
    seed: int,
) -> list[Row]:
    """One row a text: ``num_return_sequences`` for each prompt, one after the other."""
    positions = num_positions(model)
    eos = _eos(model, tokenizer)
    backwards = reads_backwards(model)
    kind = BackwardsRow if backwards else Row
    seen: Counter[str] = Counter()
    rows = []
    for prompt in prompts:
        ids = _encode(tokenizer, prompt, backwards=backwards)
        check_ids(model, max(ids) + 1)
        limit = settings.max_new_tokens
        if positions is not None:
            if len(ids) > positions:
                raise ConfigError(
                    f"{prompt.where}: {len(ids):,} tokens, the model has {positions:,} positions",
                    hint="shorten the prompt",
                )
            limit = min(limit, positions - len(ids) + 1)  # the last token is written, but never read
        for _ in range(settings.num_return_sequences):
            own_seed = _seed(seed, prompt.text, seen[prompt.text])
            seen[prompt.text] += 1
            row = kind(prompt.text, ids, tokenizer, eos=eos, stop=settings.stop, limit=limit, seed=own_seed)
            rows.append(row)
    return rows


def _encode(tokenizer: Any, prompt: Prompt, *, backwards: bool) -> list[int]:
    """Tokenize as the tokenizer does by itself, but without what it would put behind the text.

    Args:
        backwards: give the text's own tokens in reverse.
    """
    if not prompt.text:
        raise ConfigError(_is_empty(prompt))
    text: list[int] = tokenizer(prompt.text, add_special_tokens=False)["input_ids"]
    if not text:
        raise ConfigError(_is_empty(prompt))
    if prompt.rendered:
        return text
    ids: list[int] = tokenizer(prompt.text)["input_ids"]
    begin = next((i for i in range(len(ids)) if ids[i : i + len(text)] == text), 0)
    return ids[:begin] + (text[::-1] if backwards else text)


def _is_empty(prompt: Prompt) -> str:
    return "the prompt is empty" if prompt.where == "the prompt" else f"{prompt.where}: the prompt is empty"


def _seed(seed: int, prompt: str, index: int) -> int:
    """A seed for the ``index``-th text of a prompt: unlike for other prompts, alike wherever it stands."""
    digest = hashlib.sha256(f"{seed} {index} {prompt}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _eos(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a text: the model's generation config names them, else the tokenizer does."""
    eos = model.generation_config.eos_token_id
    if eos is None:
        eos = tokenizer.eos_token_id
    if eos is None:
        return frozenset()
    return frozenset([eos] if isinstance(eos, int) else eos)
