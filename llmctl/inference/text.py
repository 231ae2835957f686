"""Tokens as they come -> text that may be shown as it comes."""

from collections.abc import Sequence
from typing import Any

_REPLACEMENT = "\ufffd"  # what a decoder puts for bytes that are not, or not yet, a character
_CONTEXT = 8  # prompt tokens that decide how the first new token is joined on


def decoded(tokenizer: Any, ids: list[int]) -> str:
    """The text of tokens as it was, without special tokens."""
    text: str = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


class Detokenizer:
    """Decodes one token at a time: the pieces joined are the text that all tokens decode to.

    A token is decoded after tokens that came before it, because its text depends on them: a leading space
    belongs to it or not, and a character may be spread over several tokens. Such a character is held back
    until it is whole.
    """

    def __init__(self, tokenizer: Any, prompt_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = list(prompt_ids[-_CONTEXT:])
        self._begin = 0  # where decoding starts
        self._shown = len(self._ids)  # the text of the tokens before this is out

    def push(self, token: int) -> str:
        """Return the text that ``token`` completes; often, but not always, its own."""
        self._ids.append(token)
        new = self._new_text()
        if not new or new.endswith(_REPLACEMENT):
            return ""
        self._begin, self._shown = self._shown, len(self._ids)
        return new

    def flush(self) -> str:
        """Return the text still held back, without a character that stayed incomplete."""
        return self._new_text().rstrip(_REPLACEMENT)

    def _new_text(self) -> str:
        shown = self._decode(self._ids[self._begin : self._shown])
        return self._decode(self._ids[self._begin :])[len(shown) :]

    def _decode(self, ids: list[int]) -> str:
        return decoded(self._tokenizer, ids)


class StopCutter:
    """Ends a text before the first of some strings, wherever the pieces of the text are cut."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._held = ""
        self.stopped = False

    def push(self, piece: str) -> str:
        """Return the text that is surely before any stop string; what may begin one is held back."""
        text = self._held + piece
        found = [place for place in map(text.find, self._stop) if place >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return text[: min(found)]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Return what was held back: the text ended and no stop string came of it."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of ``text`` that is a beginning of ``stop``, but not all of it."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
