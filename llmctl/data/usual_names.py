"""The names that columns usually have, by kind of problem and what they hold; the likelier name first."""

from collections.abc import Mapping

_LABELLED = {
    "text": (
        "text sentence review content comment tweet document body message utterance query question description "
        "headline title input comment_text review_text review_body full_text"
    ),
    "label": (
        "label labels class category sentiment stars target score rating intent emotion emotions polarity topic "
        "tags genres similarity_score relatedness_score class_index class_name"
    ),
    "text_pair": "text_pair",
}
_WRITTEN = {
    "text": "text document article dialogue source content report body input src",
    "target": "target summary highlights abstract headline output translation tgt title",
}
_NAMES: dict[str, dict[str, str]] = {
    "classification": _LABELLED,
    "regression": _LABELLED,
    "multilabel": _LABELLED,
    "ner": {
        "tokens": "tokens words token word text sentence",
        "label": "ner_tags tags pos_tags labels label ner pos",
    },
    "qa": {
        "question": "question query",
        "context": "context passage paragraph document text",
        "answers": "answers answer",
        "answer_start": "answer_start",
        "id": "id qid question_id",
    },
    "summarization": _WRITTEN,
    "translation": _WRITTEN,
    "chat": {"system": "system system_prompt"},
}
COLUMNS: dict[str, dict[str, list[str]]] = {
    kind: {role: names.split() for role, names in roles.items()} for kind, roles in _NAMES.items()
}
"""Kind to role to the names of a column that holds it."""

# Columns that go together: they mean more than each of them alone.
_PAIRS = [
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("sentence_a", "sentence_b"),
    ("text", "text_pair"),
]
_SUMMARIES = [
    ("document", "summary"),
    ("article", "highlights"),
    ("dialogue", "summary"),
    ("article", "abstract"),
    ("source", "target"),
    ("src", "tgt"),
    ("input", "output"),
]
_CHATS: list[Mapping[str, str]] = [
    {"messages": "messages"},
    {"messages": "conversations"},
    {"messages": "conversation"},
    {"prompt": "prompt", "completion": "completion"},
    {"prompt": "prompt", "completion": "response"},
    {"prompt": "instruction", "input": "input", "completion": "output"},
    {"prompt": "instruction", "completion": "output"},
    {"prompt": "instruction", "context": "context", "completion": "response"},
    {"prompt": "instruction", "completion": "response"},
    {"prompt": "question", "completion": "answer"},
    {"prompt": "query", "completion": "response"},
    {"prompt": "input", "completion": "output"},
]


def plain(name: str) -> str:
    """A name as it is compared: ``Class Index`` is ``class_index``."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def shapes_of(kind: str) -> list[Mapping[str, str]]:
    """Sets of columns that go together, as role to name."""
    if kind in ("classification", "regression"):
        return [{"text": text, "text_pair": pair} for text, pair in _PAIRS]
    if kind in ("summarization", "translation"):
        return [{"text": text, "target": target} for text, target in _SUMMARIES]
    return _CHATS if kind == "chat" else []


def names_of(kind: str) -> set[str]:
    """Every name that a column of such data usually has."""
    alone = {name for names in COLUMNS[kind].values() for name in names}
    return alone | {name for shape in shapes_of(kind) for name in shape.values()}
