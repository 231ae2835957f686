"""Config fields -> command-line options, so that no flag is written by hand twice."""

import importlib
import inspect
import os
import shlex
import sys
import warnings
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from llmctl import accelerate_config, launch, ranks, runs
from llmctl.cli import COMMANDS
from llmctl.cli.completion import completion_of, paths
from llmctl.config import Device, TextData, options
from llmctl.errors import ConfigError, LlmctlError
from llmctl.recipe import kind_of, resolve, settings, to_yaml
from llmctl.recipe_file import Given, Scalar

if TYPE_CHECKING:
    from llmctl.cli.console import Console

COMMON_OPTIONS = {
    "--recipe FILE": "YAML file with the same words as the options; a flag overrides it",
    "--dry-run": "print the resolved recipe, and what it would cost where that is known, and stop",
    "--json": "print the result, or with --dry-run the recipe and its cost, as one JSON object on stdout",
    "-v, --verbose": "show what the libraries underneath log",
    "-q, --quiet": "say nothing but warnings, errors and the result",
    "--help": "show this page",
}


@dataclass(frozen=True)
class Verb:
    """One command: its config, what it does with it, and how to show it.

    Attributes:
        config: the dataclass of ``llmctl.config`` that defines its options.
        run: carries the command out.
        check: finds what is wrong with a config without heavy imports; raises ``LlmctlError``.
        check_here: finds what this machine lacks, without heavy imports; a dry run tells it and goes on.
        settle: fills in what follows from other options, for ``--dry-run``.
        plan: tells what the run would cost, where that is known, and gives the figures, for ``--dry-run``.
        examples: command lines for ``--help``.
    """

    config: type
    run: Callable[[Any, "Console"], None]
    check: Callable[[Any], None]
    check_here: Callable[[Any], None] | None = None
    settle: Callable[[Any], Any] | None = None
    plan: Callable[[Any, Device, "Console"], dict[str, Any]] | None = None
    examples: tuple[str, ...] = ()

    @cached_property
    def fields(self) -> list[Field[Any]]:
        """The fields in the order of ``--help``, positional arguments first."""
        return sorted(options(self.config), key=lambda item: not item.metadata["argument"])

    @cached_property
    def plan_fields(self) -> list[Field[Any]]:
        """Those that ``--dry-run`` alone reads; no part of a recipe."""
        return options(Device) if self.plan else []


def load_verb(name: str) -> Verb:
    """Import the module of one command of ``COMMANDS``, and no other."""
    command = COMMANDS[name]
    verb: Verb = getattr(importlib.import_module(f"llmctl.cli.{command.module}"), command.verb)
    return verb


def flag_of(name: str) -> str:
    """``learning_rate`` -> ``--learning-rate``."""
    return "--" + name.replace("_", "-")


def as_function(name: str) -> Callable[..., None]:
    """The command as a function whose signature Typer reads: one parameter a config field, and the common ones.

    Values reach us as the words that were typed: types, bounds and choices are checked in one place for
    recipes and flags alike.
    """
    import typer

    verb = load_verb(name)
    parameters = [_parameter(item) for item in (*verb.fields, *verb.plan_fields)]
    common: dict[str, Any] = {
        "recipe": Annotated[str | None, typer.Option("--recipe", autocompletion=paths)],
        "dry_run": Annotated[bool, typer.Option("--dry-run")],
        "as_json": Annotated[bool, typer.Option("--json")],
        "verbose": Annotated[bool, typer.Option("--verbose", "-v")],
        "quiet": Annotated[bool, typer.Option("--quiet", "-q")],
    }
    for key, annotation in common.items():
        default = None if key == "recipe" else False
        parameters.append(
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        )

    def command(**given: Any) -> None:
        switches = {key: given.pop(key) for key in common}
        execute(name, verb, given, **switches)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    return command


def execute(
    name: str,
    verb: Verb,
    given: dict[str, Any],
    *,
    recipe: str | None,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Resolve the config, check what can be checked cheaply, and run, or only show, the command."""
    import typer

    from llmctl.cli import processes
    from llmctl.cli.console import show_error

    for library in ("TRANSFORMERS", "DATASETS", "HF_HUB"):  # read when they are imported, so before that
        os.environ.setdefault(f"{library}_VERBOSITY", "info" if verbose else "error")
    if not verbose:
        warnings.simplefilter("ignore")  # what libraries have to say to their callers is not for the user
    processes.know_rank(name, verb.config)
    console = processes.console(quiet, as_json)
    try:
        resolved: Any = resolve(verb.config, Path(recipe) if recipe else None, _flags(verb.fields, given))
        config = accelerate_config.apply(resolved)
        device = _device(verb, given, dry_run=dry_run)
    except ConfigError as error:
        error.hint = error.hint or f"llmctl {name} --help lists every option"
        raise
    if not launch.is_rank():
        verb.check(config)
        if verb.check_here:
            _check_here(verb.check_here, config, console, dry_run=dry_run)
        _tell_namesakes(config, console)
    if dry_run:
        if verb.settle:
            config = verb.settle(config)
        plan = verb.plan(config, device, console) if verb.plan else {}
        if as_json:
            console.result({"command": name, "recipe": settings(config), "plan": plan}, "")
        else:
            console.write(to_yaml(config, header=f"llmctl {name} --recipe THIS_FILE"))
        return
    if (code := processes.started(config, sys.argv[1:], console.note)) is not None:
        raise typer.Exit(code)
    processes.meet(config, show_error)
    if launch.is_rank():
        processes.check_alike(config)
        config = processes.again(config, console.warn)
        ranks.share(lambda: verb.check(config))
    verb.run(config, console)


def _check_here(check: Callable[[Any], None], config: Any, console: "Console", *, dry_run: bool) -> None:
    """Refuse what this machine lacks; where nothing is to run, say so."""
    try:
        check(config)
    except LlmctlError as error:
        if not dry_run:
            raise
        console.warn(
            f"this would not start here: {error.message}" + (f" ({error.hint})" if error.hint else "")
        )


def _tell_namesakes(config: Any, console: "Console") -> None:
    """Say which is taken where a run and a directory from here have the name that was given."""
    root = runs.runs_dir(getattr(config, "runs_dir", None))
    for option in ("model", "tokenizer", "resume", "run"):
        name = getattr(config, option, None)
        if isinstance(name, str) and (other := runs.also_there(name, root)):
            taken = runs.open_run(name, root).path
            console.note(f"{name}: the run {taken} is taken; {other} is there, too (name it by that path)")


def data_flags(config: TextData) -> str:
    """The options that say what text is read and how, as they would be typed again."""
    given = {item.name: getattr(config, item.name) for item in fields(TextData)}
    changed = {key: value for key, value in given.items() if value != getattr(TextData(), key)}
    words = {key: value if isinstance(value, tuple) else (value,) for key, value in changed.items()}
    return "".join(
        f" {flag_of(key)} {shlex.quote(str(word))}" for key, several in words.items() for word in several
    )


def _flags(known: list[Field[Any]], given: dict[str, Any]) -> dict[str, Given]:
    """The options that were typed."""
    typed = [item for item in known if given[item.name] is not None and given[item.name] != []]
    return {item.name: _as_given(item, given[item.name]) for item in typed}


def _device(verb: Verb, given: dict[str, Any], *, dry_run: bool) -> Device:
    """The devices that a run is planned for.

    Raises:
        ConfigError: nothing is planned, or utilisation is given without what it is a share of.
    """
    flags = _flags(verb.plan_fields, given)
    device = resolve(Device, None, flags)
    if flags and not dry_run:
        raise ConfigError(
            f"{' and '.join(map(flag_of, flags))}: read with --dry-run only",
            hint="add --dry-run, or leave it out",
        )
    if device.mfu and not device.peak_flops:
        raise ConfigError("--mfu is a share of --peak-flops, which is not given", hint="--peak-flops 989T")
    return device


def _as_given(item: Field[Any], value: Any) -> Given:
    where = item.name.upper() if item.metadata["argument"] else flag_of(item.name)
    if isinstance(value, bool):
        return Given(Scalar(str(value).lower()), where)
    if isinstance(value, list | tuple):
        return Given(tuple(Scalar(item) for item in value), where)
    return Given(Scalar(value, plain=value != ""), where)  # an empty word is a mistake, not "not given"


def _parameter(item: Field[Any]) -> inspect.Parameter:
    import typer

    kind = kind_of(item.type)
    annotation: Any = bool if kind.type is bool else list[str] if kind.repeated else str
    complete = completion_of(item)
    if item.metadata["argument"]:
        info: Any = typer.Argument(show_default=False, autocompletion=complete)
    elif kind.type is bool:
        info = typer.Option(f"{flag_of(item.name)}/--no-{flag_of(item.name)[2:]}")
    else:
        info = typer.Option(flag_of(item.name), autocompletion=complete)
    return inspect.Parameter(
        item.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[annotation | None, info],
    )
