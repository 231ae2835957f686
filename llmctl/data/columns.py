"""Which column holds what: as asked for, as the task says, or by the names that data sets usually have."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llmctl.config import TaskData
from llmctl.data import usual_names as usual
from llmctl.data.languages import choose_languages, is_language
from llmctl.data.sources import CELLS, kind_of
from llmctl.data.tables import Table
from llmctl.errors import DataError
from llmctl.tasks import KINDS, Task

# Kind to role to the option that names its column; a chat's prompt and completion become messages.
FLAGS: dict[str, dict[str, str]] = {
    "classification": {"text": "text_column", "text_pair": "text_pair_column", "label": "label_column"},
    "ner": {"tokens": "text_column", "label": "label_column"},
    "qa": {"question": "question_column", "context": "context_column", "answers": "answers_column"},
    "summarization": {"text": "text_column", "target": "target_column"},
    "chat": {"messages": "messages_column", "prompt": "text_column", "completion": "target_column"},
}
FLAGS["regression"] = FLAGS["multilabel"] = FLAGS["classification"]
FLAGS["translation"] = FLAGS["summarization"]

LABELS = {"label", "answers", "answer_start", "target", "completion"}
"""The roles that an example to predict for does without."""

_LONG_LABEL = 64
_ROWS_A_CLASS = 4  # as many show that a column holds classes, and that the first row's cell is none


class NoLabelsError(DataError):
    """A table has no column of labels; a split for a last test may do without."""


@dataclass(frozen=True)
class Columns:
    """Where a table keeps what an example consists of.

    Attributes:
        roles: role to column.
        languages: the keys of a text and of its translation inside of the only column, ``roles["text"]``.
        indicators: columns of 0 and 1, one a label, instead of a column of labels.
        inferred: the roles that were found by name or content.
    """

    roles: dict[str, str]
    languages: tuple[str, str] | None = None
    indicators: tuple[str, ...] = ()
    inferred: dict[str, str] = field(default_factory=dict)

    def needed(self) -> list[str]:
        """Every column that is read."""
        return list(dict.fromkeys([*self.roles.values(), *self.indicators]))

    def without_labels(self) -> "Columns":
        """What is read of examples to predict for."""
        roles, inferred = (
            {role: column for role, column in found.items() if role not in LABELS}
            for found in (self.roles, self.inferred)
        )
        return replace(self, roles=roles, indicators=(), inferred=inferred)

    def told(self, table: Table) -> str | None:
        """What was inferred, in a line; ``None`` where it goes without saying."""
        start = f"{table.name}: " + ("" if table.has_header else "no header; ")
        if self.languages:
            return f"{start}translating from {self.languages[0]!r} to {self.languages[1]!r}"
        parts = [f"{role} from column {column!r}" for role, column in self.inferred.items() if column != role]
        if self.indicators:
            parts.append(f"labels from {len(self.indicators)} columns of 0 and 1")
        if not parts:
            return None if table.has_header else f"{table.name}: no header"
        return start + ", ".join(parts)


def asked_for(config: TaskData, kind: str) -> dict[str, str]:
    """The roles whose columns the config names."""
    named = {role: getattr(config, option) for role, option in FLAGS[kind].items()}
    return {role: column for role, column in named.items() if column is not None}


def has_header(rows: list[list[str]], config: TaskData, task: Task) -> bool:
    """Whether the first of a CSV's or TSV's rows names the columns.

    It does when it holds a name that was asked for or that such data usually has; or when, in a column of
    numbers or of few short values, its cell is none of them.
    """
    if config.header is not None:
        return config.header
    first, *others = rows
    asked = set(asked_for(config, task.kind).values())
    if (asked and asked <= set(first)) or not others:
        return True
    if any(len(cell) > _LONG_LABEL for cell in first) or (asked and all(name.isdigit() for name in asked)):
        return False
    known = usual.names_of(task.kind) | {usual.plain(column) for column in task.columns.values()}
    if any(usual.plain(cell) in known for cell in first):
        return True
    columns = [[row[index] for row in others] for index in range(len(first))]
    for cell, values in zip(first, columns, strict=True):
        if all(map(_is_number, values)):
            return not _is_number(cell)
    for cell, values in zip(first, columns, strict=True):
        if is_label_like(values) and len(values) >= _ROWS_A_CLASS * len(set(values)):
            return cell not in values
    return all(first) and len(set(first)) == len(first)


def is_label_like(values: list[Any]) -> bool:
    """Whether values look like classes: short, and each of them several times on average."""
    texts = [str(value) for value in values]
    return max(map(len, texts), default=0) <= _LONG_LABEL and len(set(texts)) <= max(2, len(texts) // 2)


def choose_columns(table: Table, config: TaskData, task: Task, *, labelled: bool) -> Columns:
    """The columns of a table that hold what the task's examples consist of.

    Args:
        labelled: whether labels are needed; if not, none are chosen.

    Raises:
        DataError: a column that was asked for is not there, or a needed one is not found.
    """
    asked = asked_for(config, task.kind)
    for role, column in asked.items():
        if column not in table.columns:
            hint = _to_name(table, FLAGS[task.kind][role])
            raise DataError(f"{table.head}: no column {column!r}; {table.found()}", hint=hint)
    roles = dict(asked)
    if set(task.columns.values()) <= set(table.columns):
        roles = dict(task.columns) | roles
    found = _find(table, config, task, roles, labelled)
    needs = {role for role, needed in KINDS[task.kind].roles.items() if needed}
    if task.kind == "chat" and {"prompt", "completion"} & set(found.roles):
        needs = {"prompt", "completion"}
    if found.languages:
        needs.discard("target")
    if found.indicators:
        needs.discard("label")
    for role in sorted(needs - set(found.roles) - (set() if labelled else LABELS)):
        _refuse(table, task, role)
    return found if labelled else found.without_labels()


def _refuse(table: Table, task: Task, role: str) -> None:
    what = {"tokens": "the words", "messages": "the conversations"}.get(role, f"the {role}")
    hint = _to_name(table, FLAGS[task.kind][role])
    if task.kind == "chat":
        hint += "; or --text-column and --target-column"
    kind = NoLabelsError if role in LABELS else DataError
    raise kind(f"{table.head}: no column for {what}; {table.found()}", hint=hint)


def _to_name(table: Table, option: str) -> str:
    """What to type so that a column is found."""
    flag = f"--{option.replace('_', '-')}"
    if not table.has_header:
        return f"name it by its number, e.g. {flag} {len(table.columns)}; or --header where line 1 names them"
    no_header = "; or --no-header where line 1 is an example" if kind_of(Path(table.name)) in CELLS else ""
    return f"name it: {flag} NAME{no_header}"


def _find(table: Table, config: TaskData, task: Task, roles: dict[str, str], labelled: bool) -> Columns:
    """The roles given, and those found."""
    if task.kind == "translation" and "target" not in roles:
        by_language = _languages(table, config, task)
        if by_language is not None:
            return by_language
    free = {usual.plain(column): column for column in table.columns if column not in roles.values()}
    inferred: dict[str, str] = {}
    if not table.has_header:
        inferred = _by_content(table, task.kind, roles)
    else:
        shapes = usual.shapes_of(task.kind)
        if "text" in roles:
            shapes = [shape for shape in shapes if "text_pair" not in shape]
        inferred = _by_shape(table, shapes, free, roles)
        for role, names in usual.COLUMNS[task.kind].items():
            if role not in roles and role not in inferred:
                taken = {*roles.values(), *inferred.values()}
                column = next((free[n] for n in names if n in free and free[n] not in taken), None)
                if column is not None:
                    inferred[role] = column
        if task.kind in ("classification", "regression", "multilabel"):
            inferred |= _what_is_left(table, task.kind, roles | inferred, labelled)
    indicators: tuple[str, ...] = ()
    if task.kind == "multilabel" and "label" not in roles | inferred:
        indicators = _indicators(table, {*roles.values(), *inferred.values()})
    return Columns(roles | inferred, indicators=indicators, inferred=inferred)


def _by_shape(
    table: Table, shapes: list[Mapping[str, str]], free: dict[str, str], roles: dict[str, str]
) -> dict[str, str]:
    """The first set of columns that usually go together and are all there."""
    for shape in shapes:
        missing = {role: name for role, name in shape.items() if role not in roles}
        if missing and all(name in free for name in missing.values()):
            chosen = {role: free[name] for role, name in missing.items()}
            if "messages" not in chosen or _holds_messages(table, chosen["messages"]):
                return chosen
    return {}


def _holds_messages(table: Table, column: str) -> bool:
    value = next((row[column] for row in table.sample if row.get(column)), None)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return False
    return isinstance(value, list)


def _what_is_left(table: Table, kind: str, roles: dict[str, str], labelled: bool) -> dict[str, str]:
    """Text and label where just one column can be meant."""
    inferred: dict[str, str] = {}
    others = [column for column in table.columns if column not in roles.values()]
    if "text" not in roles:
        texts = [column for column in others if table.columns[column]]
        if "label" not in roles and len(texts) > 1:
            texts = [column for column in texts if not is_label_like(_values(table, column))]
        if len(texts) == 1:
            inferred["text"] = texts[0]
            others.remove(texts[0])
    if labelled and "label" not in roles and kind == "classification":
        classes = [column for column in others if is_label_like(_values(table, column))]
        if len(classes) == 1:
            inferred["label"] = classes[0]
    return inferred


def _by_content(table: Table, kind: str, roles: dict[str, str]) -> dict[str, str]:
    """Text and label of a table without a header: the longest column, and the one of fewest short values."""
    if kind not in ("classification", "regression", "multilabel"):
        return {}
    left = [column for column in table.columns if column not in roles.values()]
    inferred: dict[str, str] = {}
    if "label" not in roles and len(left) + ("text" in roles) > 1:
        if kind == "regression":
            fitting = [column for column in left if not table.columns[column]]
        else:
            fitting = [column for column in left if is_label_like(_values(table, column))]
        if fitting:
            inferred["label"] = min(fitting, key=lambda column: len(set(_values(table, column))))
            left.remove(inferred["label"])
    if "text" not in roles and left:
        inferred["text"] = max(left, key=lambda column: sum(map(len, _values(table, column))))
    return {role: inferred[role] for role in ("text", "label") if role in inferred}


def _values(table: Table, column: str) -> list[str]:
    return [str(row[column]) for row in table.sample if row.get(column) is not None]


def _indicators(table: Table, taken: set[str]) -> tuple[str, ...]:
    """The columns that hold 0 and 1 alone, when there are at least two."""
    binary = {"0", "1", "False", "True", "0.0", "1.0"}
    found = [
        column
        for column in table.columns
        if column not in taken and (values := set(_values(table, column))) and values <= binary
    ]
    return tuple(found) if len(found) > 1 else ()


# Translations


def _languages(table: Table, config: TaskData, task: Task) -> Columns | None:
    """A column of texts by language, or two columns that are named by languages."""
    nested = next(
        (name for name in table.columns if any(isinstance(row.get(name), dict) for row in table.sample)), None
    )
    if nested is not None and "text" not in task.columns:
        keys = dict.fromkeys(key for row in table.sample for key in row.get(nested) or ())
        source, target = choose_languages(table.head, list(keys), config, task)
        return Columns({"text": nested}, languages=(source, target))
    asked = {config.source_lang, config.target_lang, task.source_lang, task.target_lang}
    names = [
        name
        for name, is_text in table.columns.items()
        if name in asked or (is_text and name != "id" and is_language(name))
    ]
    if len(names) < 2:
        return None
    source, target = choose_languages(table.head, names, config, task)
    inferred = {} if config.source_lang and config.target_lang else {"text": source, "target": target}
    return Columns({"text": source, "target": target}, inferred=inferred)


def _is_number(value: str) -> bool:
    return re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", value) is not None
