"""A recipe's file: a flat YAML mapping, read strictly, with the line of each value.

By the YAML 1.2 rules that people expect: ``1e-4`` is a number, ``no`` is a word.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl.errors import ConfigError

MAX_RECIPE_BYTES = 100_000
_MAX_DEPTH = 8  # PyYAML takes minutes for some thousands, though only lists of values are read

_INT = re.compile(r"[-+]?[0-9][0-9_]{0,99}\Z")  # of a thousand digits Python makes no number
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
    ".inf": float("inf"),
    ".nan": float("nan"),
}


@dataclass(frozen=True)
class Scalar:
    """One value as a person wrote it. ``plain``: without quotes, so it may be a number, boolean or null."""

    text: str
    plain: bool = True

    @property
    def value(self) -> str | int | float | bool | None:
        if not self.plain:
            return self.text
        word = self.text.lower()
        if word in _WORDS:
            return _WORDS[word]
        if _INT.match(word):
            return int(word.replace("_", ""))
        if _FLOAT.match(word):
            return float(word.replace("_", ""))
        return self.text


@dataclass(frozen=True)
class Given:
    """A value of one field and the place it stands at: ``recipe.yaml:12``, ``--learning-rate`` or ``MODEL``."""

    value: Scalar | tuple[Scalar, ...]
    where: str

    def called(self, name: str) -> str:
        """What a message begins with: the flag or argument alone, or the line and the key ``name`` there."""
        return f"{self.where}: {name}" if ":" in self.where else self.where


def read(path: Path, problems: list[str]) -> dict[str, Given]:
    """Read a recipe into ``{key: Given}``; problems with single keys are appended to ``problems``.

    Raises:
        ConfigError: the file is missing, too large, or no YAML mapping at all.
    """
    import yaml

    text = _read_text(path)
    try:
        _check_events(path, yaml.parse(text, Loader=yaml.SafeLoader))
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{path}:{line}: not valid YAML: {chr(error.character)!r} may not stand in it",
            hint='remove it, or write it as an escape in double quotes, such as "\\x1b"',
        ) from error
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(path, error) from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        line = root.start_mark.line + 1
        raise ConfigError(f"{path}:{line}: a recipe is 'key: value' lines", hint="see recipes/ for examples")
    given: dict[str, Given] = {}
    for key, node in root.value:
        where = f"{path}:{key.start_mark.line + 1}"
        value = _from_node(node)
        if not isinstance(key, yaml.ScalarNode):
            problems.append(f"{where}: a key is one word")
        elif key.value in given:
            first = given[key.value].where.rpartition(":")[2]
            problems.append(f"{where}: {key.value!r} is given twice (first on line {first}): leave one out")
        elif value is None:
            problems.append(f"{where}: {key.value!r} takes a value or a list of values")
        else:
            given[key.value] = Given(value, where)
    return given


def _check_events(path: Path, events: Iterable[Any]) -> None:
    """Refuse what a recipe has no use for, before it takes time or memory.

    Raises:
        ConfigError: naming the line.
    """
    import yaml

    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        place = f"{path}:{event.start_mark.line + 1}"
        if depth > _MAX_DEPTH:
            raise ConfigError(
                f"{place}: nested too deeply: a value, or a list of values", hint="key: VALUE, or key: [A, B]"
            )
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ConfigError(
                f"{place}: YAML anchors and aliases are not used in recipes",
                hint="write the value out; one that begins with & or * stands in quotes",
            )
        if tag := getattr(event, "tag", None):
            raise ConfigError(
                f"{place}: YAML tags are not used in recipes: {tag}",
                hint="leave it out; a value that begins with ! stands in quotes",
            )


def _not_yaml(path: Path, error: Any) -> ConfigError:
    mark, begin = error.problem_mark or error.context_mark, error.context_mark
    place = f"{path}:{mark.line + 1}" if mark else str(path)
    where = f", {error.context} from line {begin.line + 1} on" if begin and begin.line < mark.line else ""
    return ConfigError(
        f"{place}: not valid YAML: {error.problem}{where}",
        hint="each line is 'key: value', not indented; text with ': ', '#' or quotes in it stands in quotes",
    )


def _read_text(path: Path) -> str:
    if not path.is_file():
        if path.exists():
            raise ConfigError(f"{path} is not a regular file", hint="save the recipe to a file first")
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.y*ml")], n=1)
        raise ConfigError(
            f"no such recipe: {path}", hint=f"did you mean {path.parent / near[0]}?" if near else None
        )
    try:
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise ConfigError(
                f"{path}: {path.stat().st_size:,} bytes; a recipe has at most {MAX_RECIPE_BYTES:,}"
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: byte {error.object[error.start]:#04x} is not UTF-8",
            hint="save the file as UTF-8",
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _from_node(node: Any) -> Scalar | tuple[Scalar, ...] | None:
    """A scalar or a list of scalars; ``None`` for anything else."""
    if node.id == "scalar":
        return Scalar(node.value, plain=node.style is None)
    if node.id == "sequence" and all(item.id == "scalar" for item in node.value):
        return tuple(Scalar(item.value, plain=item.style is None) for item in node.value)
    return None
