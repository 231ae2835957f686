"""A JSON file's values one at a time, in bounded memory, with the lines where they stand."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmctl.data.files import MAX_VALUE, too_long
from llmctl.errors import DataError

# An error this near to the end of what is at hand may only mean that the value goes on behind it.
_TAIL = 32
HUGE_NUMBER = "a number of thousands of digits"


def broken_json(path: Path, line: int, column: int, reason: str) -> DataError:
    """The complaint about JSON that cannot be read; line and column count from 1."""
    return DataError(f"{path}:{line}: invalid JSON, column {column}: {reason}", hint="mend or remove it")


def json_values(path: Path, chunks: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """The elements of an array, or values one after the other, each with the line where it starts.

    Args:
        path: the file, for messages.
        chunks: its text.

    Raises:
        DataError: invalid JSON, with line and column.
    """
    text = _Text(path, chunks)
    if text.take("["):
        more = not text.take("]")
        while more:
            yield text.line_here(), text.value()
            more = text.take(",")
            if not more and not text.take("]"):
                raise text.error("expected ',' or ']'")
        if not text.ended():
            raise text.error("expected the end of the file")
    while not text.ended():
        yield text.line_here(), text.value()


class _Text:
    """The part of the file that is at hand: ``buffer`` from ``at`` on is still to be read."""

    def __init__(self, path: Path, chunks: Iterator[str]) -> None:
        self.path, self.chunks = path, chunks
        self.buffer, self.at = "", 0
        self.lines, self.counted, self.column_base = 1, 0, 0
        self.decode = json.JSONDecoder().raw_decode

    def ended(self) -> bool:
        """Skip white space; whether nothing else is left."""
        while True:
            while self.at < len(self.buffer) and self.buffer[self.at] in " \t\n\r":
                self.at += 1
            if self.at < len(self.buffer):
                return False
            if not self._read_on():
                return True

    def take(self, mark: str) -> bool:
        """Skip white space and ``mark``; False where something else stands."""
        if self.ended() or self.buffer[self.at] != mark:
            return False
        self.at += 1
        return True

    def value(self) -> Any:
        """The next value; reads on until all of it is at hand."""
        if self.ended():
            raise self.error("the file ends where a value is expected: truncated?")
        while True:
            try:
                value, end = self.decode(self.buffer, self.at)
            except json.JSONDecodeError as exc:
                cut_off = exc.msg.startswith("Unterminated string") or exc.pos > len(self.buffer) - _TAIL
                if cut_off and self._read_on():
                    continue
                self.at = exc.pos
                raise self.error(exc.msg) from exc
            except RecursionError as exc:
                raise self.error("nested too deeply") from exc
            except ValueError as exc:
                raise self.error(HUGE_NUMBER) from exc
            # A number may go on in the next chunk; nothing else that is complete can.
            if end < len(self.buffer) or not isinstance(value, (int, float)) or not self._read_on():
                self.at = end
                return value

    def line_here(self) -> int:
        """The line of what comes next, behind white space."""
        self.ended()
        self._count_lines()
        return self.lines

    def _count_lines(self) -> None:
        newlines = self.buffer.count("\n", self.counted, self.at)
        if newlines:
            self.lines += newlines
            self.column_base = -self.buffer.rfind("\n", self.counted, self.at) - 1
        self.counted = self.at

    def error(self, reason: str) -> DataError:
        """The complaint about what comes next."""
        self._count_lines()
        return broken_json(self.path, self.lines, self.column_base + self.at + 1, reason)

    def _read_on(self) -> bool:
        """Forget what is read and take a further chunk; at least doubles a long value's part at hand."""
        if not (chunk := next(self.chunks, "")):
            return False
        self._count_lines()
        if len(self.buffer) - self.at > MAX_VALUE:
            raise too_long(f"{self.path}:{self.lines}", "JSON value")
        parts = [self.buffer[self.at :]]
        wanted = len(parts[0])
        while chunk:
            parts.append(chunk)
            wanted -= len(chunk)
            chunk = next(self.chunks, "") if wanted > 0 else ""
        self.column_base += self.at
        self.buffer, self.at, self.counted = "".join(parts), 0, 0
        return True
