"""Questions of the SQuAD files: articles of paragraphs of questions, flattened to a row a question."""

from collections.abc import Iterator
from typing import Any

from llmctl.errors import DataError


def is_article(value: Any) -> bool:
    """Whether a JSON value is an article: ``{"paragraphs": [{"context": ..., "qas": [...]}]}``."""
    return isinstance(value, dict) and isinstance(value.get("paragraphs"), list)


def questions(name: str, articles: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """The questions of SQuAD v1 and v2: "id", "question", "context" and, where there are such, "answers".

    An impossible question has the empty list of answers.

    Raises:
        DataError: an article, paragraph or question that is not as the format says.
    """
    for article_number, article in enumerate(articles, start=1):
        where = f"{name}: article {article_number:,}"
        for paragraph_number, paragraph in enumerate(_items(article, "paragraphs", where), start=1):
            place = f"{where}, paragraph {paragraph_number:,}"
            for question in _items(paragraph, "qas", place):
                if not isinstance(question, dict) or "question" not in question or "context" not in paragraph:
                    raise DataError(
                        f"{place}: lacks 'context' or 'question'", hint="SQuAD's format needs them"
                    )
                yield _row(question, paragraph["context"])


def _row(question: dict[str, Any], context: Any) -> dict[str, Any]:
    answers = [] if question.get("is_impossible") else question.get("answers")
    return {
        "id": question.get("id"),
        "question": question["question"],
        "context": context,
        "answers": answers,
    }


def _items(value: Any, key: str, place: str) -> list[Any]:
    items = value.get(key) if isinstance(value, dict) else None
    if not isinstance(items, list):
        raise DataError(f"{place}: no list {key!r}", hint="SQuAD's format has paragraphs, and qas in each")
    return items
