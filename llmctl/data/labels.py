"""Cells of labels to classes, numbers and sets of classes, with every complaint's place."""

import ast
import json
import math
from collections.abc import Callable
from typing import Any

from llmctl.data.columns import Columns
from llmctl.data.findings import Findings
from llmctl.data.tables import Row, Table
from llmctl.errors import DataError

_TYPES: dict[type, str] = {str: "text", int: "an integer", bool: "true or false"}
_UNLABELLED_NUMBER = "-1"  # what data sets of the Hub write in place of a hidden label


def class_label(table: Table, columns: Columns, findings: Findings) -> Callable[[int, Row], str | None]:
    column = columns.roles.get("label", "")
    declared = table.declared.get(column, ())

    def label(number: int, row: Row) -> str | None:
        name = class_name(row.get(column), declared, findings, lambda: table.place(number))
        if name == _UNLABELLED_NUMBER:
            findings.placeholders += 1
        return name

    return label


def class_name(
    value: Any, declared: tuple[str, ...], findings: Findings, where: Callable[[], str]
) -> str | None:
    """The class that a cell names, as text; None where it names none.

    Raises:
        DataError: NaN, a number without a class, a label of another type than those before, or no label at all.
    """
    if value is None or value == "":
        return None
    kind = type(value)
    if kind is str:
        value = value.strip()
        if value.lower() == "nan":
            raise _nan(where())
    elif kind is float:
        if math.isnan(value):
            raise _nan(where())
        if not value.is_integer():
            raise DataError(
                f"{where()}: label {value!r}, expected a class", hint="numbers: --task regression"
            )
        kind, value = int, int(value)
    if kind not in _TYPES:
        raise DataError(
            f"{where()}: label {value!r:.40}, expected a class", hint="several labels: --task multilabel"
        )
    if declared and kind is int:
        return _declared(value, declared, where)
    if findings.label_type is None:
        findings.label_type = kind
    elif findings.label_type is not kind:
        raise DataError(
            f"{where()}: label {json.dumps(value)}, expected {_TYPES[findings.label_type]}",
            hint="write all labels alike, as numbers or in quotes",
        )
    return str(value).lower() if kind is bool else str(value) or None


def _declared(value: int, names: tuple[str, ...], where: Callable[[], str]) -> str | None:
    if value == -1:
        return None
    if not 0 <= value < len(names):
        raise DataError(
            f"{where()}: label {value}, but there are {len(names)} classes, 0 to {len(names) - 1}",
            hint="the data set's own description of its classes does not fit its rows",
        )
    return names[value]


def _nan(where: str) -> DataError:
    return DataError(f"{where}: label is NaN", hint="label the row or remove it")


def number_label(table: Table, columns: Columns, findings: Findings) -> Callable[[int, Row], float | None]:
    column = columns.roles.get("label", "")

    def label(number: int, row: Row) -> float | None:
        value = row.get(column)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        try:
            found = float(value) if not isinstance(value, bool) else None
        except (TypeError, ValueError):
            found = None
        if found is None:
            raise DataError(
                f"{table.place(number)}: label {json.dumps(value, default=str):.40}, expected a number",
                hint="classes: --task classification",
            )
        if not math.isfinite(found):
            raise (
                _nan(table.place(number))
                if math.isnan(found)
                else DataError(f"{table.place(number)}: label is infinite", hint="label the row or remove it")
            )
        if found == -1:
            findings.placeholders += 1
        return found

    return label


# Several labels


def label_set(table: Table, columns: Columns, findings: Findings) -> Callable[[int, Row], list[str] | None]:
    if columns.indicators:
        return lambda number, row: _of_indicators(table, columns.indicators, number, row)
    column = columns.roles.get("label", "")
    declared = table.declared.get(column, ())
    separator = _separator([row.get(column) for row in table.sample])
    one_hot = _is_one_hot([row.get(column) for row in table.sample])

    def label(number: int, row: Row) -> list[str] | None:
        value = row.get(column)
        if value is None:
            return None
        if isinstance(value, str):
            value = _parsed(value) or [part for part in value.split(separator) if part.strip()]
        if not isinstance(value, list):
            value = [value]
        if one_hot:
            names = declared or tuple(str(index) for index in range(len(value)))
            value = [name for name, on in zip(names, value, strict=False) if on]
        names_found = (class_name(item, declared, findings, lambda: table.place(number)) for item in value)
        return list(dict.fromkeys(name for name in names_found if name is not None))

    return label


def _of_indicators(table: Table, columns: tuple[str, ...], number: int, row: Row) -> list[str] | None:
    on: list[str] = []
    for column in columns:
        value = str(row.get(column)).lower()
        if value in ("1", "1.0", "true"):
            on.append(column)
        elif value not in ("0", "0.0", "false"):
            raise DataError(
                f"{table.place(number)}: column {column!r} holds {row.get(column)!r:.40}, expected 0 or 1",
                hint="or name a column that lists the labels: --label-column",
            )
    return on


def _separator(values: list[Any]) -> str:
    """What parts labels within a cell: the first of ``| ; ,`` that occurs."""
    return next((mark for mark in "|;" if any(isinstance(v, str) and mark in v for v in values)), ",")


def _parsed(value: str) -> list[Any] | None:
    """A list written into a cell, as Python or JSON writes it."""
    if not value.lstrip().startswith("["):
        return None
    try:
        parsed = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return None
    return parsed if isinstance(parsed, list) else None


def _is_one_hot(values: list[Any]) -> bool:
    """Whether each list has a 0 or 1 for every label: all equally long, with repetitions that ids have not."""
    lists = [value for value in values if isinstance(value, list)]
    if not lists or len({len(value) for value in lists}) > 1 or len(lists[0]) < 2:
        return False
    return all(item in (0, 1) and not isinstance(item, str) for value in lists for item in value) and any(
        len(set(value)) < len(value) for value in lists
    )
