"""Recipes and flags -> config, and config -> recipe.

A recipe is a flat YAML mapping whose keys are the fields of a command's config. It is read by the YAML 1.2 rules
that people expect (``1e-4`` is a number, ``no`` is a word), and strictly: every problem of a recipe and its
flags is found before anything is said, and each is named with its line or flag.
"""

import difflib
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from llmctl.config import RunPlace, options
from llmctl.config.fields import Asked, Units
from llmctl.errors import ConfigError
from llmctl.recipe_file import Given, Scalar, read

_SHOWN, _LONG = 20, 80  # problems of a recipe; characters of a value
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")
# What other tools call a field, where the letters alone do not lead to it.
_ELSEWHERE = {
    "adam": ("adamw_torch_fused",),
    "adamw": ("adamw_torch_fused",),
    "alpha": ("lora_alpha",),
    "bs": ("per_device_train_batch_size", "per_device_eval_batch_size", "batch_size"),
    "batch_size": ("per_device_train_batch_size", "per_device_eval_batch_size"),
    "dataset": ("data",),
    "epochs": ("num_train_epochs",),
    "grad_accum": ("gradient_accumulation_steps",),
    "layers": ("num_hidden_layers",),
    "lora_rank": ("lora_r",),
    "lr": ("learning_rate",),
    "lr_scheduler": ("lr_scheduler_type",),
    "max_seq_length": ("max_length", "block_size"),
    "max_time": ("time_limit",),
    "max_tokens": ("max_new_tokens",),
    "min_lr": ("min_lr_rate",),
    "name": ("run_name",),
    "optimizer": ("optim",),
    "output_dir": ("run_name",),
    "rank": ("lora_r",),
    "schedule_free": ("schedule_free_adamw",),
    "schedulefree": ("schedule_free_adamw",),
    "scheduler": ("lr_scheduler_type",),
    "seq_len": ("max_length", "block_size"),
    "steps": ("max_steps",),
    "token_budget": ("max_tokens",),
    "train_tokens": ("max_tokens",),
    "wd": ("weight_decay",),
    "wsd": ("warmup_stable_decay",),
}

ConfigT = TypeVar("ConfigT")


@dataclass(frozen=True)
class Kind:
    """What a field takes, read off its annotation; ``alone``: a single one of several stands without its list."""

    type: type
    choices: tuple[str, ...] = ()
    optional: bool = False
    repeated: bool = False
    units: Units | None = None
    alone: bool = False


def kind_of(annotation: Any) -> Kind:
    """Take a field's annotation apart: ``Annotated``, ``| None``, ``X | tuple[X, ...]`` and ``Literal``."""
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        return replace(kind_of(inner), units=next((mark for mark in marks if isinstance(mark, Units)), None))
    if get_origin(annotation) in (Union, types.UnionType):
        *first, inner = (kind_of(arg) for arg in get_args(annotation) if arg is not type(None))
        return replace(inner, optional=type(None) in get_args(annotation), alone=bool(first))
    if get_origin(annotation) is tuple:
        inner = kind_of(get_args(annotation)[0])
        return Kind(inner.type, inner.choices, repeated=True)
    if get_origin(annotation) is Literal:
        return Kind(str, get_args(annotation))
    return Kind(annotation)


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """``did you mean X?`` for the known word nearest to ``word``, or the one that other tools call so, if any."""
    known = list(known)
    usual = [name for field in _ELSEWHERE.get(_spelt(word), ()) for name in known if _spelt(name) == field]
    near = usual or difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else None


def _spelt(word: str) -> str:
    """A field's name, whether it is written as one or as a flag."""
    return word.removeprefix("--").replace("-", "_")


def resolve(config_class: type[ConfigT], recipe: Path | None, flags: Mapping[str, Given]) -> ConfigT:
    """Build a config: defaults, overridden by the recipe, overridden by flags.

    Args:
        config_class: a dataclass of ``llmctl.config``.
        recipe: YAML file, or ``None``.
        flags: values given on the command line, by field name.

    Raises:
        ConfigError: naming every problem of the recipe and the flags at once.
    """
    problems: list[str] = []
    given = dict(read(recipe, problems)) if recipe else {}
    known = {item.name: item for item in options(config_class)}
    for name in [name for name in given if name not in known]:
        hint = suggestion(name, known)
        problems.append(f"{given.pop(name).where}: unknown key {name!r}" + (f"; {hint}" if hint else ""))
    given.update(flags)
    values = {}
    for name, item in given.items():
        value, problem = _convert(name, item, known[name].type)
        if problem:
            problems.append(problem)
        elif value is not None:
            values[name] = value
    if problems:
        raise _refusal(recipe, problems)
    typed = {"typed": frozenset(flags)} if issubclass(config_class, Asked) else {}
    return config_class(**values, **typed)


def settings(config: Any) -> dict[str, Any]:
    """What a recipe of ``config`` says: every field in the order of ``--help``, but where a run is kept.

    That (``run_name``, ``runs_dir``, ``resume``) belongs to its directory.
    """
    place = {item.name for item in fields(RunPlace)}
    names = [item.name for item in options(type(config)) if item.name not in place]
    return {name: getattr(config, name) for name in names}


def to_yaml(config: Any, *, header: str = "") -> str:
    """The resolved recipe: its :func:`settings` under their panels' headings; re-reads to an equal config."""
    lines = [f"# {line}" for line in header.splitlines()]
    panel, values = None, settings(config)
    for item in options(type(config)):
        if item.name not in values:
            continue
        if item.metadata["panel"] != panel:
            panel = item.metadata["panel"]
            lines += ["", f"# {panel}"]
        value = values[item.name]
        value = list(value) if isinstance(value, tuple) else value
        text = _dumped(value, allow_unicode=True)
        if _LINE_ENDS.search(text):  # PyYAML writes them as they are, and reads another text back
            text = _dumped(value, allow_unicode=False)
        lines.append(f"{item.name}: {text}")
    return "\n".join(lines).lstrip() + "\n"


def _dumped(value: Any, *, allow_unicode: bool) -> str:
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=allow_unicode)
    return text.removesuffix("\n...\n").strip(" \n")


def _convert(name: str, given: Given, annotation: Any) -> tuple[Any, str | None]:
    """Return the value as the field's type, or a line that says why it is not one."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    kind, called = kind_of(annotation), given.called(name)
    if isinstance(given.value, tuple) != kind.repeated:
        if not kind.repeated:
            return None, f"{called} takes one value, found a list"
        given = Given((given.value,), given.where)  # type: ignore[arg-type]
    scalars = given.value if isinstance(given.value, tuple) else (given.value,)
    values = [_plain_value(scalar, kind) for scalar in scalars]
    if (kind.alone or not kind.repeated) and values == [None]:
        return None, None  # null means "not given"
    for scalar, value in zip(scalars, values, strict=True):
        if isinstance(value, bool) and kind.type is not bool:
            return None, f"{called} should be {_article(kind)}, found {scalar.text}"
        if kind.type is bool and not isinstance(value, bool):
            return None, f"{called} should be true or false, found {scalar.text!r}"
    value = tuple(values) if kind.repeated else values[0]
    try:
        config = ConfigDict(allow_inf_nan=False)
        several = get_args(annotation)[-1] if kind.alone else annotation
        checked = TypeAdapter(several, config=config).validate_python(value)
        return checked[0] if kind.alone and len(checked) == 1 else checked, None
    except ValidationError as error:
        return None, f"{called} {_explain(error, kind, [s.text for s in scalars])}"


def _plain_value(scalar: Scalar, kind: Kind) -> Any:
    if kind.type is str:  # words that look like numbers are still words
        return None if scalar.plain and scalar.value is None else scalar.text
    if kind.units and (number := kind.units.read(scalar.text)) is not None:
        return number
    return scalar.value


def _article(kind: Kind) -> str:
    if kind.units:
        return kind.units.kind
    return {int: "a whole number", float: "a number", str: "a word"}.get(kind.type, kind.type.__name__)


def _explain(error: Any, kind: Kind, texts: list[str]) -> str:
    first = error.errors(include_url=False)[0]
    found = texts[first["loc"][0] if first["loc"] and isinstance(first["loc"][0], int) else 0]
    found = found if len(found) <= _LONG else f"{found[: _LONG - 3]}..."
    if kind.choices:
        near = suggestion(found, kind.choices)
        return f"should be one of {', '.join(kind.choices)}, found {found!r}" + (f"; {near}" if near else "")
    bounds = {
        "greater_than": "above {gt:g}",
        "greater_than_equal": "{ge:g} or more",
        "less_than": "below {lt:g}",
        "less_than_equal": "at most {le:g}",
        "finite_number": "a finite number",
        "string_too_short": "not empty",
        "predicate_failed": "no longer than the name of a file can be",
    }
    if first["type"] in bounds:
        return f"should be {bounds[first['type']].format(**first.get('ctx', {}))}, found {found or 'nothing'}"
    return f"should be {_article(kind)}, found {found!r}"


def _refusal(recipe: Path | None, problems: list[str]) -> ConfigError:
    if len(problems) == 1:
        return ConfigError(problems[0])
    problems.sort(key=lambda problem: int(line[1]) if (line := re.search(r":(\d+): ", problem)) else 0)
    title = f"{len(problems)} problems" + (f" in {recipe}" if recipe else "")
    more = [f"and {len(problems) - _SHOWN:,} more"] if len(problems) > _SHOWN else []
    return ConfigError("\n".join([f"{title}:", *(f"  {problem}" for problem in [*problems[:_SHOWN], *more])]))
