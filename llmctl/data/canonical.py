"""Rows of any table to the canonical columns of their kind of problem, with every complaint's place."""

from collections.abc import Callable
from typing import Any

from llmctl.data.answers import answers_of
from llmctl.data.chat import messages_of
from llmctl.data.columns import Columns
from llmctl.data.findings import Findings
from llmctl.data.labels import class_label, class_name, label_set, number_label
from llmctl.data.tables import Row, Table
from llmctl.errors import DataError

Convert = Callable[[int, Row], list[Any] | None]
"""A row and its number to the canonical values, in the order of :func:`roles_of`; None where it is left out."""


def roles_of(kind: str, columns: Columns, *, labelled: bool) -> list[str]:
    """The canonical columns that a table with these columns gives."""
    found = set(columns.roles)
    if columns.languages and labelled:
        found.add("target")
    if columns.indicators:
        found.add("label")
    wanted = {
        "ner": ["tokens", "label"],
        "qa": ["id", "question", "context", "answers"],
        "summarization": ["text", "target"],
        "translation": ["text", "target"],
        "chat": ["messages"],
    }.get(kind, ["text", "text_pair", "label"])
    always = {"id", "messages"}
    return [role for role in wanted if role in found or role in always]


def converter(kind: str, table: Table, columns: Columns, findings: Findings, *, labelled: bool) -> Convert:
    """What turns the rows of ``table`` into canonical values, telling ``findings`` what it meets."""
    makers: dict[str, Callable[[], Convert]] = {
        "ner": lambda: _tagged(table, columns, findings),
        "qa": lambda: _questions(table, columns, findings),
        "summarization": lambda: _written(table, columns, findings, labelled),
        "translation": lambda: _written(table, columns, findings, labelled),
        "chat": lambda: _conversations(table, columns, findings, labelled),
        "classification": lambda: _texts(table, columns, findings, class_label(table, columns, findings)),
        "regression": lambda: _texts(table, columns, findings, number_label(table, columns, findings)),
        "multilabel": lambda: _texts(table, columns, findings, label_set(table, columns, findings)),
    }
    return makers[kind]()


def _texts(table: Table, columns: Columns, findings: Findings, label: Callable[[int, Row], Any]) -> Convert:
    text_columns = [columns.roles[role] for role in ("text", "text_pair") if role in columns.roles]
    has_label = "label" in columns.roles or bool(columns.indicators)

    def convert(number: int, row: Row) -> list[Any] | None:
        values: list[Any] = []
        for column in text_columns:
            text = table.text(number, row, column)
            if not text or text.isspace():
                findings.left_out.add("empty text", table.place(number))
                return None
            values.append(text)
        if has_label:
            value = label(number, row)
            if value is None:
                findings.unlabelled.add("", table.place(number))
            values.append(value)
        return values

    return convert


def _tagged(table: Table, columns: Columns, findings: Findings) -> Convert:
    word_column, tag_column = columns.roles["tokens"], columns.roles.get("label")
    declared = table.declared.get(tag_column or "", ())

    def convert(number: int, row: Row) -> list[Any] | None:
        words = _word_list(table, number, row.get(word_column), word_column)
        if not words:
            findings.left_out.add("no words", table.place(number))
            return None
        table.as_text(number, " ".join(words), word_column)
        if tag_column is None:
            return [words]
        cell = row.get(tag_column)
        if cell is None:
            findings.unlabelled.add("", table.place(number))
            return [words, None]
        cells = cell.split() if isinstance(cell, str) else cell
        if not isinstance(cells, list) or len(cells) != len(words):
            found = f"{len(cells)} tags" if isinstance(cells, list) else f"tags {cells!r:.40}"
            raise DataError(
                f"{table.place(number)}: {len(words)} words, but {found}", hint="every word needs one tag"
            )
        # A sentence has few different tags, and a corpus many words.
        names = {
            item: class_name(item, declared, findings, lambda: table.place(number)) for item in set(cells)
        }
        tags = [names[item] for item in cells]
        if None in tags:
            findings.unlabelled.add("", table.place(number))
            return [words, None]
        return [words, tags]

    return convert


def _word_list(table: Table, number: int, value: Any, column: str) -> list[str]:
    words = value.split() if isinstance(value, str) else value
    if words is not None and not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise DataError(
            f"{table.place(number)}: column {column!r} holds {value!r:.40}, expected a list of words",
            hint="name another column: --text-column",
        )
    return words or []


def _questions(table: Table, columns: Columns, findings: Findings) -> Convert:
    roles = columns.roles

    def convert(number: int, row: Row) -> list[Any] | None:
        question = table.text(number, row, roles["question"])
        context = table.text(number, row, roles["context"])
        if not question.strip() or not context.strip():
            findings.left_out.add("empty question or context", table.place(number))
            return None
        given = row.get(roles["id"]) if "id" in roles else None
        values = [str(number if given is None else given), question, context]
        if "answers" not in roles:
            return values
        start = row.get(roles.get("answer_start", ""))
        found = answers_of(row.get(roles["answers"]), start, context, table.place(number))
        if found is None:
            findings.unlabelled.add("", table.place(number))
            return [*values, None]
        for what in found.mended:
            findings.mended.add(what, table.place(number))
        if found.lost and not found.answers:
            findings.left_out.add("answer not in its context", table.place(number))
            return None
        findings.placeholders += not found.answers
        return [*values, found.answers]

    return convert


def _written(table: Table, columns: Columns, findings: Findings, labelled: bool) -> Convert:
    source, target = columns.roles["text"], columns.roles.get("target")

    def both(number: int, row: Row) -> tuple[str, Any]:
        if columns.languages is None:
            return table.text(number, row, source), row.get(target) if target else ""
        pair = row.get(source) or {}
        if not isinstance(pair, dict):
            raise DataError(
                f"{table.place(number)}: column {source!r} holds {pair!r:.40}, expected texts by language",
                hint="name the columns: --text-column and --target-column",
            )
        return table.as_text(number, pair.get(columns.languages[0]), source), pair.get(columns.languages[1])

    def convert(number: int, row: Row) -> list[Any] | None:
        text, written = both(number, row)
        if not text or text.isspace():
            findings.left_out.add("empty text", table.place(number))
            return None
        if not labelled:
            return [text]
        if written is None:
            findings.unlabelled.add("", table.place(number))
            return [text, None]
        written = table.as_text(number, written, target or source)
        if not written or written.isspace():
            findings.left_out.add("empty target", table.place(number))
            return None
        return [text, written]

    return convert


def _conversations(table: Table, columns: Columns, findings: Findings, labelled: bool) -> Convert:
    def convert(number: int, row: Row) -> list[Any] | None:
        messages, mended = messages_of(row, columns.roles, lambda: table.place(number))
        table.as_text(number, "\n".join(message["content"] for message in messages), "messages")
        for what in mended:
            findings.mended.add(what, table.place(number))
        answered = any(m["role"] == "assistant" and m["content"].strip() for m in messages)
        if not messages or (labelled and not answered):
            findings.left_out.add("no assistant turn" if messages else "no messages", table.place(number))
            return None
        return [messages]

    return convert
