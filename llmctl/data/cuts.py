"""Long documents in pieces, cut where no usual pre-tokenizer joins."""

import re
import unicodedata
from collections.abc import Iterator

from llmctl.data.readers import Piece


def whole(stream: Iterator[Piece]) -> Iterator[Piece]:
    """Each document in one piece."""
    parts: list[str] = []
    for text, ends in stream:
        parts.append(text)
        if ends:
            yield Piece("".join(parts), True)
            parts.clear()


def recut(stream: Iterator[Piece], max_chars: int, marks: str) -> Iterator[Piece]:
    """As ``Documents.pieces``."""
    held = ""
    for piece in stream:
        if not held and piece.ends_document and len(piece.text) <= max_chars:
            yield piece
            continue
        text, at = held + piece.text, 0
        while len(text) - at > max_chars:
            cut = _last_cut(text, at, at + max_chars, marks) or _next_cut(text, at + max_chars, marks)
            if not cut:
                break
            yield Piece(text[at:cut], False)
            at = cut
        held = text[at:]
        if piece.ends_document:
            yield Piece(held, True)
            held = ""


def _last_cut(text: str, start: int, stop: int, marks: str) -> int:
    """The last place in ``(start, stop]`` where ``text`` may be cut; 0 where there is none."""
    for mark in marks:
        at = text.rfind(mark, start + 1, stop)
        while at > start:
            if _stands_alone(text, at):
                return at if mark == " " else at + 1
            at = text.rfind(mark, start + 1, at)
    return 0


def _next_cut(text: str, start: int, marks: str) -> int:
    """The first place behind ``start`` where ``text`` may be cut; 0 where there is none."""
    for match in re.compile(f"[{marks}]").finditer(text, start):
        if _stands_alone(text, match.start()):
            return match.start() if match[0] == " " else match.end()
    return 0


def _stands_alone(text: str, at: int) -> bool:
    """Whether the character at ``at`` has a printable one that is no space on both sides.

    Combining marks and format characters do not count: a normalizer may take them away.
    """
    around = text[at - 1 : at] + text[at + 1 : at + 2]
    return len(around) == 2 and all(
        char.isprintable() and char != " " and not unicodedata.combining(char) for char in around
    )
