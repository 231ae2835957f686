"""Conversations of every usual notation as messages of system, user, assistant and tool."""

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from llmctl.errors import DataError

Message = dict[str, str]

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
"""What the roles of messages are called, and what we call them."""

IGNORED = "messages hold more than role and content, which is not read"


def messages_of(
    row: Mapping[str, Any], roles: Mapping[str, str], where: Callable[[], str]
) -> tuple[list[Message], list[str]]:
    """The messages of a row, and what was ignored of them.

    Args:
        row: cells by column.
        roles: "messages", or "prompt" and "completion" with perhaps "input" or "context" that goes behind the
            prompt; perhaps "system". Each to its column.
        where: gives the row's place for messages.

    Raises:
        DataError: an unknown role, or something that is no conversation.
    """
    ignored: list[str] = []
    if "messages" in roles:
        messages = _conversation(row.get(roles["messages"]), where, ignored)
    else:
        prompt = _part(row.get(roles.get("prompt", "")), "user", where, ignored)
        for role in ("input", "context"):
            more = row.get(roles.get(role, ""))
            if isinstance(more, str) and more.strip() and prompt:
                prompt[-1]["content"] += f"\n\n{more}"
        messages = prompt + _part(row.get(roles.get("completion", "")), "assistant", where, ignored)
    system = row.get(roles.get("system", ""))
    if isinstance(system, str) and system.strip() and not any(m["role"] == "system" for m in messages):
        messages = [{"role": "system", "content": system}, *messages]
    return messages, ignored


def _part(value: Any, role: str, where: Callable[[], str], ignored: list[str]) -> list[Message]:
    """A prompt or completion: a text of ``role``, or messages already."""
    if isinstance(value, list):
        return _conversation(value, where, ignored)
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    return [{"role": role, "content": _content(value, where)}]


def _conversation(value: Any, where: Callable[[], str], ignored: list[str]) -> list[Message]:
    if isinstance(value, str):
        with contextlib.suppress(ValueError, RecursionError):  # complained of below: it is no list
            value = json.loads(value)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _no_conversation(value, where)
    return [_message(item, where, ignored) for item in value]


def _message(item: Any, where: Callable[[], str], ignored: list[str]) -> Message:
    if not isinstance(item, dict):
        raise _no_conversation(item, where)
    said_by = item.get("role") or item.get("from")
    if not isinstance(said_by, str) or said_by.lower() not in ROLES:
        raise DataError(
            f"{where()}: unknown role {said_by!r:.40}",
            hint="roles are system, user, assistant and tool (human and gpt are understood)",
        )
    content = item.get("content") if "content" in item else item.get("value")
    read = {"role", "from", "content", "value"}
    if not ignored and any(other not in (None, "", []) for key, other in item.items() if key not in read):
        ignored.append(IGNORED)
    return {"role": ROLES[said_by.lower()], "content": _content(content, where)}


def _content(value: Any, where: Callable[[], str]) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, dict) and "text" in part for part in value):
        return "".join(str(part["text"] or "") for part in value)
    raise DataError(f"{where()}: content {value!r:.40}, expected text", hint="only text can be learnt")


def _no_conversation(value: Any, where: Callable[[], str]) -> DataError:
    return DataError(
        f"{where()}: {value!r:.40}, expected a list of messages",
        hint='e.g. [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]',
    )
