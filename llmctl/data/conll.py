"""CoNLL files: a word a line with its tag, and an empty line behind each sentence."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from llmctl.data.files import Tell, decoded, lines_of
from llmctl.data.tables import Table, table_of_objects
from llmctl.errors import DataError
from llmctl.progress import many

_DOCUMENT = "-DOCSTART-"
_PREFIX_SAMPLE = 1000
_PREFIX_LENGTH = 3


class _Sentence(NamedTuple):
    line: int
    tokens: list[str]
    tags: list[str]


def conll_table(path: Path, encoding: str, tell: Tell) -> Table:
    """The sentences of a file as "tokens" and "label", each with the line where it starts.

    The first column is the word, the last its tag; a tab parts columns where there is one, else blanks do. A
    prefix that all words share, as ``en:``, is taken off.

    Raises:
        DataError: a line with fewer than two columns, or without the prefix of the others; as
            ``files.decoded``.
    """
    sentences = _sentences(path, lines_of(decoded(path, encoding, tell), path), tell)
    start = list(islice(sentences, _PREFIX_SAMPLE))
    prefix = _shared_prefix(start)
    if prefix:
        tell(f"{path}: removed the prefix {prefix!r} from all words")
    rows = (
        (line, {"tokens": _without(path, line, tokens, prefix), "label": tags})
        for line, tokens, tags in chain(start, sentences)
    )
    return table_of_objects(str(path), rows)


def _sentences(path: Path, lines: Iterator[str], tell: Tell) -> Iterator[_Sentence]:
    tokens: list[str] = []
    tags: list[str] = []
    start, width, documents = 1, 0, 0
    for number, line in enumerate(lines, start=1):
        # Joined files keep their byte-order marks inside: such a line is as good as empty.
        if not line.strip(" \t\ufeff"):
            if "\ufeff" in line:
                tell(f"{path}:{number}: ignored a byte-order mark inside of the file")
            if tokens:
                yield _Sentence(start, tokens, tags)
                tokens, tags = [], []
        elif line.startswith(_DOCUMENT):
            documents += 1
        elif tokens or not _is_comment(line, width):
            cells = line.rstrip("\t").split("\t") if "\t" in line else line.split()
            if len(cells) < 2:
                raise DataError(
                    f"{path}:{number}: {len(cells)} column instead of a word and its tag: {line!r:.60}",
                    hint="part them by a tab or a blank, and end each sentence with an empty line",
                )
            if not tokens:
                start = number
            width = len(cells)
            tokens.append(cells[0].strip())
            tags.append(cells[-1].strip())
    if tokens:
        yield _Sentence(start, tokens, tags)
    if documents:
        tell(f"{path}: skipped {many(documents, f'{_DOCUMENT} line')}")


def _is_comment(line: str, width: int) -> bool:
    """Whether a line before a sentence is a comment of CoNLL-U, and not a word that begins with a hash."""
    return line.startswith("# ") and "\t" not in line and len(line.split()) != (width or 2)


def _shared_prefix(sentences: list[_Sentence]) -> str:
    """The ``xx:`` that all words begin with."""
    tokens = [token for sentence in sentences for token in sentence.tokens]
    prefix, colon, _ = tokens[0].partition(":") if tokens else ("", "", "")
    prefix += colon
    fits = colon and prefix[:-1].isalpha() and prefix.islower() and len(prefix) <= _PREFIX_LENGTH + 1
    return prefix if fits and len(tokens) > 1 and all(token.startswith(prefix) for token in tokens) else ""


def _without(path: Path, line: int, tokens: list[str], prefix: str) -> list[str]:
    for token in tokens if prefix else ():
        if not token.startswith(prefix):
            raise DataError(
                f"{path}:{line}: a word without the prefix {prefix!r} of those before: {token!r:.60}",
                hint="take the prefix off all words, or off none",
            )
    return [token[len(prefix) :] for token in tokens] if prefix else tokens
