"""Answers of extractive question answering: every notation to spans that stand in their context."""

import ast
import json
from typing import Any, NamedTuple

from llmctl.errors import DataError

MOVED = "answer not at its answer_start, found elsewhere in the context"
SEARCHED = "answer without a start, found in the context"
DROPPED = "an answer of several is not in the context"


class Found(NamedTuple):
    """The answers of a question.

    Attributes:
        answers: each ``{"text", "start"}``, in characters of the context; empty where it holds none.
        mended: what was done to them.
        lost: answers that are not in the context.
    """

    answers: list[dict[str, Any]]
    mended: list[str]
    lost: int


def answers_of(value: Any, start: Any, context: str, where: str) -> Found | None:
    """The answers in a cell; ``None`` where the question is not labelled at all.

    Args:
        value: ``{"text": [...], "answer_start": [...]}``, a list of ``{"text", "answer_start"}`` or of texts, a
            text, or one of these written as text; empty where the context holds no answer.
        start: of the answer that is a text, from a column of its own.
        context: what the answers stand in.
        where: the row, for messages.

    Raises:
        DataError: something else.
    """
    if value is None:
        return None
    answers: list[dict[str, Any]] = []
    mended: list[str] = []
    lost = 0
    for text, begin in _pairs(value, start, where):
        if not text:
            continue
        if begin is not None and context.startswith(text, begin) and begin >= 0:
            answers.append({"text": text, "start": begin})
            continue
        at = _nearest(context, text, begin or 0)
        if at is None:
            lost += 1
        else:
            answers.append({"text": text, "start": at})
            mended.append(SEARCHED if begin is None else MOVED)
    if lost and answers:
        mended.append(DROPPED)
    return Found(answers, mended, lost)


def _pairs(value: Any, start: Any, where: str) -> list[tuple[str, int | None]]:
    """Each answer's text and start."""
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, str):
        value = [{"text": value, "start": start}]
    elif isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start", value.get("start"))
        if isinstance(texts, str):
            texts, starts = [texts], [starts]
        if not isinstance(texts, list) or (starts is not None and len(starts) != len(texts)):
            raise _unknown(value, where)
        starts = starts or [None] * len(texts)
        value = [{"text": text, "start": begin} for text, begin in zip(texts, starts, strict=True)]
    if not isinstance(value, list):
        raise _unknown(value, where)
    return [_pair(item, where) for item in value]


def _pair(item: Any, where: str) -> tuple[str, int | None]:
    if isinstance(item, str):
        return item, None
    if not isinstance(item, dict) or not isinstance(item.get("text"), str):
        raise _unknown(item, where)
    begin = item.get("answer_start", item.get("start"))
    if isinstance(begin, str) and begin.strip().isdigit():
        begin = int(begin)
    if begin in (None, ""):
        return item["text"], None
    if not isinstance(begin, int):
        raise _unknown(item, where)
    return item["text"], begin


def _parsed(value: str) -> Any:
    """A list or object written into a cell, as JSON or Python write it; else the text itself."""
    if value[:1] in ("{", "["):
        for read in (json.loads, ast.literal_eval):
            try:
                return read(value)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    return value


def _nearest(context: str, text: str, begin: int) -> int | None:
    """Where ``text`` stands in ``context`` nearest to ``begin``."""
    before = context.rfind(text, 0, max(begin, 0) + len(text))
    after = context.find(text, max(begin, 0))
    found = [at for at in (before, after) if at >= 0]
    return min(found, key=lambda at: abs(at - begin)) if found else None


def _unknown(value: Any, where: str) -> DataError:
    return DataError(
        f"{where}: answers {value!r:.60}, expected texts with their starts",
        hint='e.g. {"text": ["Rome"], "answer_start": [17]}, with empty lists where there is no answer',
    )
