"""Whatever lines a file holds: they are read, or refused with a message that names the line; never a traceback.

``pytest -m soak tests/data/test_any_lines.py`` generates ten thousand lines a format.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmctl.cli.console import sanitise
from llmctl.config import TextData
from llmctl.config.data import TaskData
from llmctl.data.examples import load_examples
from llmctl.data.files import SourceFile
from llmctl.data.readers import read_documents
from llmctl.errors import LlmctlError
from llmctl.tasks import find_task
from tests.data.conftest import Told

LINES = 6  # a file, about
QUICK, SOAK = 240 // LINES, 10_200 // LINES
# Escapes of the terminal, marks that turn a line around, rich's markup, and what ends lines elsewhere.
NASTY = [
    "\x1b]52;c;aGk=\x07",
    "\x9b31m",
    "\u202eabc\u2066",
    "[/foo]",
    "[link=x]y[/link]",
    "\x85",
    "\u2028",
    "\x0c",
]

anything = st.one_of(st.text(max_size=20), st.sampled_from(NASTY))
values: Any = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), anything),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(anything, inner, max_size=3)),
    max_leaves=6,
)


def as_line(value: Any) -> bytes:
    return json.dumps(value).encode()


def mixed(*, keys: tuple[str, ...], good: Any) -> Any:
    """Lines of JSON, more or less as they should be."""
    odd = st.dictionaries(st.sampled_from(keys), values, max_size=4)
    return st.one_of(good.map(as_line), odd.map(as_line), values.map(as_line), broken(good.map(as_line)))


def broken(lines: Any) -> Any:
    """Lines with bytes changed, cut or put in."""

    def spoil(line: bytes, at: int, piece: bytes) -> bytes:
        at %= len(line) + 1
        return line[:at] + piece + line[at + len(piece) :]

    pieces = st.one_of(
        st.binary(max_size=3),
        st.sampled_from(
            [b"\0", b"\xff", b'"', b"\t", b",", b"\r", b"9" * 5000, b"[" * 2000, b"\xef\xbb\xbf"]
        ),
    )
    return st.builds(spoil, lines, st.integers(0, 200), pieces)


def cells(separator: str) -> Any:
    row = st.lists(anything, min_size=1, max_size=3).map(separator.join)
    label = st.sampled_from(["pos", "neg", "", "1", "nan", "-1"])
    usual = st.builds(lambda text, name: f"{text}{separator}{name}", st.text("abc ", min_size=1), label)
    lines = st.one_of(usual, row).map(lambda line: line.encode("utf-8", "surrogatepass"))
    return st.one_of(lines, broken(lines))


CHAT = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": anything})
)
CONLL = st.one_of(
    st.sampled_from([b"", b"Ada\tB-PER", b"lived O", b"-DOCSTART- -X- O O", b"# text = a"]),
    st.lists(anything, min_size=1, max_size=3).map(
        lambda row: "\t".join(row).encode("utf-8", "surrogatepass")
    ),
)
SQUAD: Any = st.fixed_dictionaries(
    {
        "question": anything,
        "id": st.one_of(anything, st.none()),
        "answers": st.one_of(values, st.just([{"text": "a", "answer_start": 0}])),
    }
)


def squad_file(lines: list[bytes]) -> bytes:
    """An article of paragraphs, each a line."""
    return b'{"data": [{"paragraphs": [\n' + b",\n".join(lines) + b"\n]}]}"


def plain(lines: list[bytes]) -> bytes:
    return b"\n".join(lines) + b"\n"


texts = st.one_of(anything, st.just("a line")).map(lambda text: text.encode("utf-8", "surrogatepass"))
paragraphs = st.fixed_dictionaries(
    {"context": anything, "qas": st.one_of(values, st.lists(SQUAD, max_size=2))}
)
# format -> file name, task (none: plain text), lines, how they make a file
FORMATS: dict[str, tuple[str, str | None, Any, Callable[[list[bytes]], bytes]]] = {
    "txt": ("a.txt", None, st.one_of(texts, broken(texts)), plain),
    "jsonl": (
        "a.jsonl",
        "classification",
        mixed(
            keys=("text", "label"), good=st.fixed_dictionaries({"text": anything, "label": st.just("pos")})
        ),
        plain,
    ),
    "csv": ("a.csv", "classification", cells(","), plain),
    "tsv": ("a.tsv", "classification", cells("\t"), plain),
    "conll": ("a.conll", "ner", st.one_of(CONLL, broken(CONLL)), plain),
    "squad": (
        "a.json",
        "qa",
        mixed(keys=("context", "qas"), good=paragraphs),
        squad_file,
    ),
    "parallel": ("a.en", "translation", st.one_of(texts, broken(texts)), plain),
    "chat": (
        "a.jsonl",
        "chat",
        mixed(keys=("messages", "prompt", "completion"), good=st.fixed_dictionaries({"messages": CHAT})),
        plain,
    ),
}


def read_strictly(path: Path, task: str | None, told: Told) -> None:
    """Read a file as training would: as examples of a task, or as documents."""
    if task is None:
        list(read_documents(SourceFile.at(path), TextData(data=str(path)), told.note))
        return
    config = TaskData(data=str(path), task=task, validation_fraction=0.0)
    load_examples(config, find_task(task), progress=told, cache_dir=path.parent / "cache")


def read(path: Path, task: str | None) -> None:
    """Read a file in each way that it can be read, and look at all that is said."""
    told = Told()
    for way in {None, task} if task in (None, "classification") else {task}:
        try:
            read_strictly(path, way, told)
        except LlmctlError as error:
            told.notes += [error.message, str(error.hint)]
    for text in told.notes:
        shown = sanitise(text)
        assert not any(mark in shown for mark in "\x1b\x9b\x07\x85\u202e\u2066\u2028\0")
        assert shown.encode()


def check(format: str, lines: list[bytes]) -> None:
    name, task, _, as_file = FORMATS[format]
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / name).write_bytes(as_file(lines))
        if task == "translation":
            (Path(place) / "a.de").write_bytes(plain([b"eine Zeile"] * len(lines)))
        read(Path(place) / name, task)


def run(format: str, count: int) -> None:
    lines = st.lists(FORMATS[format][2], min_size=LINES - 2, max_size=LINES + 2)
    checked = given(lines)(lambda found: check(format, found))
    settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(checked)()


@pytest.mark.parametrize("format", FORMATS)
def test_any_lines_are_read_or_refused(format: str) -> None:
    run(format, QUICK)


@pytest.mark.soak
@pytest.mark.parametrize("format", FORMATS)
def test_ten_thousand_lines_are_read_or_refused(format: str) -> None:
    run(format, SOAK)


# One bad line among good ones

GOOD: dict[str, tuple[str, str | None, bytes]] = {
    "txt": ("a.txt", None, b"a line"),
    "jsonl": ("a.jsonl", "classification", b'{"text": "a line", "label": "pos"}'),
    "csv": ("a.csv", "classification", b"a line,pos"),
    "tsv": ("a.tsv", "classification", b"a line\tpos"),
    "conll": ("a.conll", "ner", b"Ada\tB-PER"),
    "squad": ("a.json", "qa", b'{"context": "Ada", "qas": [{"question": "Who?", "answers": []}]}'),
    "parallel": ("a.en", "translation", b"a line"),
    "chat": ("a.jsonl", "chat", b'{"prompt": "Hi", "completion": "Hello"}'),
}
BAD: dict[str, list[bytes]] = {
    "txt": [b"caf\xe9", b"nul \0"],
    "jsonl": [
        b"{",
        b"[]",
        b'{"text": 5, "label": "pos"}',
        b'{"label": "pos"}',
        b"9" * 5000,
        b"[" * 90_000,
        b"\xff",
    ],
    "csv": [b"one", b"a,b,c", b'"a"b,pos', b"\xff,pos", b"a\0,pos"],
    "tsv": [b"one", b"a\tb\tc", b"\xff\tpos", b"a\0\tpos"],
    "conll": [b"one", b"\xff\tO", b"a\0\tO"],
    "squad": [b"{", b"\xff", b"{]"],
    "parallel": [b"caf\xe9", b"nul \0"],
    "chat": [b"{", b"5", b'{"prompt": [{"role": "king", "content": ""}], "completion": ""}', b"\xff"],
}


@pytest.mark.parametrize(("format", "bad"), [(format, bad) for format, lines in BAD.items() for bad in lines])
@settings(
    max_examples=4, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
@given(place=st.integers(0, 300))
def test_a_bad_line_is_named(format: str, bad: bytes, place: int) -> None:
    name, task, good = GOOD[format]
    lines = [good] * 302
    lines[place + 1] = bad
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(squad_file(lines) if format == "squad" else plain(lines))
        if format == "parallel":
            (Path(folder) / "a.de").write_bytes(plain([b"eine Zeile"] * 302))
        with pytest.raises(LlmctlError) as caught:
            read_strictly(path, task, Told())
    number = place + 2 + (format == "squad")
    # where a quotation mark opens, or a value ends, what is wrong may show a line later
    assert any(
        f"{name}:{line}:" in caught.value.message for line in (number, number + (format == "squad"))
    ), caught.value.message
