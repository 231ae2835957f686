"""Whatever a recipe or the flags hold: a config, or a message that names the line or flag; never a traceback.

``pytest -m soak tests/test_any_recipe.py`` generates ten thousand of each.
"""

import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmctl.cli import COMMANDS
from llmctl.cli.console import sanitise
from llmctl.cli.options import flag_of, load_verb
from llmctl.config import PretrainConfig, RunPlace, options
from llmctl.errors import LlmctlError
from llmctl.recipe import kind_of, resolve, to_yaml
from llmctl.recipe_file import Given, Scalar
from tests.data.test_any_lines import NASTY

QUICK, SOAK = 300, 10_000
ALWAYS: Any = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
VERBS = {name: load_verb(name) for name in COMMANDS}
WORDS = sorted(
    {word for verb in VERBS.values() for item in verb.fields for word in kind_of(item.type).choices}
)
NUMBERS = [
    "0",
    "-1",
    "1e-4",
    "1e999",
    ".nan",
    "-.inf",
    "9" * 5000,
    "1_000",
    "2.5",
    "1h30m",
    "300M",
    "0x1f",
    "7" * 40,
]

anything = st.one_of(st.text(max_size=12), st.sampled_from(NASTY))
word = st.one_of(
    st.sampled_from([*WORDS, *NUMBERS, "", "true", "no", "~", "builtin:stories", "a.txt", "x/y"]), anything
)
scalar = st.one_of(word, word.map(lambda text: f"'{text}'"), word.map(lambda text: f'"{text}"'))
value = st.one_of(
    scalar,
    st.lists(scalar, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    st.sampled_from(
        ["&a 1", "*a", "{a: 1}", "[[1]]", "|\n  text", "!!python/object:os.system x", "[" * 3000, "- 1"]
    ),
)


def key_of(names: list[str]) -> Any:
    """A key as it should be, or nearly so, or anything."""
    known = st.sampled_from(names)
    return st.one_of(known, known, known.map(lambda name: name[:-1]), anything)


def line_of(names: list[str]) -> Any:
    usual = st.builds(lambda key, found: f"{key}: {found}", key_of(names), value)
    return st.one_of(usual, usual, usual, anything)


@st.composite
def asked(draw: Any) -> tuple[str, str, dict[str, Given]]:
    """A command, a recipe and flags for it."""
    name = draw(st.sampled_from(list(VERBS)))
    items = {item.name: item for item in VERBS[name].fields}
    recipe = "\n".join(draw(st.lists(line_of(list(items)), max_size=5)))
    flags = {}
    for chosen in draw(st.lists(st.sampled_from(list(items)), max_size=4, unique=True)):
        several = kind_of(items[chosen].type).repeated
        words = draw(st.lists(word.map(Scalar), min_size=1, max_size=3)) if several else [Scalar(draw(word))]
        flags[chosen] = Given(tuple(words) if several else words[0], flag_of(chosen))
    return name, recipe, flags


def check(found: tuple[str, str, dict[str, Given]]) -> None:
    name, text, flags = found
    verb = VERBS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            config = resolve(verb.config, path, flags)
            again = Path(folder) / "again.yaml"
            again.write_text(to_yaml(config), encoding="utf-8")
            place = {
                item.name: getattr(config, item.name)
                for item in fields(RunPlace)
                if hasattr(config, item.name)
            }
            assert replace(resolve(verb.config, again, {}), **place) == config
            verb.check(config)
        except LlmctlError as error:
            shown, code = sanitise(f"{error.message} {error.hint}"), error.exit_code
        else:
            return
    assert not any(mark in shown for mark in "\x1b\x9b\x07\x85\u202e\u2066\u2028\0")
    assert shown.encode()
    assert code in (1, 2)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMCTL_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("LLMCTL_CACHE_DIR", str(tmp_path / "cache"))


def test_any_recipe_is_read_or_refused(nowhere: None) -> None:
    settings(max_examples=QUICK, **ALWAYS)(given(asked())(check))()


@pytest.mark.soak
def test_ten_thousand_recipes_are_read_or_refused(nowhere: None) -> None:
    settings(max_examples=SOAK, **ALWAYS)(given(asked())(check))()


@settings(max_examples=50, **ALWAYS)
@given(
    place=st.integers(0, 20), bad=st.sampled_from(["seed: x", "lerning_rate: 1", "bf16: 3", "data: {a: 1}"])
)
def test_a_bad_line_is_named(place: int, bad: str) -> None:
    names = [item.name for item in options(PretrainConfig) if item.name not in ("seed", "bf16", "data")][:21]
    lines = [f"{name}: null" for name in names]
    lines.insert(place, bad)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.yaml"
        path.write_text("\n".join(lines))
        with pytest.raises(LlmctlError) as caught:
            resolve(PretrainConfig, path, {})
    assert f"r.yaml:{place + 1}: " in caught.value.message
