"""``--help``, written straight from the config fields: nothing is parsed and little imported to show it."""

import shutil
import sys
import textwrap
from dataclasses import Field
from typing import IO, Any

from llmctl.cli import COMMANDS
from llmctl.cli.console import Style, wrapped

_GAP = 2
_MAX_WIDTH = 110
_FIRST_STEPS = {
    "llmctl pretrain": "a story teller in a few minutes",
    'llmctl generate "Once upon a time"': "let it tell a story",
}
_FURTHER = (
    "llmctl COMMAND --help shows a command's options; llmctl --version the version;",
    "llmctl --install-completion sets up your shell.",
)


def overview() -> None:
    """Print ``llmctl --help``: the commands in the order in which a person meets them."""
    style, width = Style(sys.stdout), _width()
    title = wrapped("llmctl: from nothing to a trained, evaluated, trustworthy language model", width)
    print(title.replace("llmctl", f"{style.bold}llmctl{style.end}", 1))
    print(f"\n{style.bold}Usage:{style.end} llmctl COMMAND [OPTIONS]\n")
    group = None
    for name, command in COMMANDS.items():
        heading = "" if command.group == group else command.group
        group = command.group
        summary = wrapped(f"{heading:<9}{name:<18} {command.summary}", width, " " * 28)
        painted = f"{style.bold}{heading:<9}{style.end}{style.cyan}{name:<18}{style.end}"
        print(painted + summary[27:])
    print(f"\n{style.bold}Start here{style.end}")
    for example, purpose in _FIRST_STEPS.items():
        print(wrapped(f"  {example:<38}  {purpose}", width, " " * 42))
    print("", *(wrapped(line, width, "") for line in _FURTHER), sep="\n")


def command_help(name: str) -> None:
    """Print the help of one command, or of a noun with its verbs (``llmctl tokenizer --help``)."""
    from llmctl.cli.options import COMMON_OPTIONS, load_verb

    style = Style(sys.stdout)
    if name not in COMMANDS:
        verbs = [
            f"  llmctl {verb:<20}{COMMANDS[verb].summary}" for verb in COMMANDS if verb.startswith(name + " ")
        ]
        print("\n".join([f"{style.bold}Usage:{style.end} llmctl {name} COMMAND [OPTIONS]", "", *verbs]))
        return
    verb = load_verb(name)
    arguments = "".join(f" [{item.name.upper()}]" for item in verb.fields if item.metadata["argument"])
    print(f"{style.bold}llmctl {name}{style.end}: {COMMANDS[name].summary}\n")
    print(f"{style.bold}Usage:{style.end} llmctl {name}{arguments} [OPTIONS]\n")
    for example in verb.examples:
        print(f"  {style.dim}${style.end} {example}")
    rows: dict[str, list[tuple[str, str]]] = {}
    for item in (*verb.fields, *verb.plan_fields):
        rows.setdefault(item.metadata["panel"], []).append((_flag(item), _describe(item)))
    rows["Every command"] = list(COMMON_OPTIONS.items())
    for panel, lines in rows.items():
        print(f"\n{style.bold}{panel}{style.end}")
        _print_rows(lines, style, sys.stdout)


def _flag(item: Field[Any]) -> str:
    from llmctl.cli.options import flag_of
    from llmctl.recipe import kind_of

    kind = kind_of(item.type)
    if item.metadata["argument"]:
        return item.name.upper() + ("..." if kind.repeated else "")
    if kind.type is bool:
        return f"{flag_of(item.name)} / --no-{flag_of(item.name)[2:]}"
    metavar = "WORD" if kind.choices else {int: "N", float: "X"}.get(kind.type, "TEXT")
    return f"{flag_of(item.name)} {'PATH' if item.metadata['path'] else metavar}"


def _describe(item: Field[Any]) -> str:
    from llmctl.recipe import kind_of

    kind = kind_of(item.type)
    text, unit = item.metadata["help"], item.metadata["unit"]
    if unit and unit not in text:
        text += f", in {unit}"
    if len(kind.choices) > 1:
        text += f": {', '.join(kind.choices)}"
    default = item.metadata["default_text"]
    if default is None and item.default not in (None, ()):
        shown = f"{item.default:g}" if isinstance(item.default, float) else str(item.default)
        default = {"True": "yes", "False": "no"}.get(shown, shown)
    return f"{text} [{default or 'none'}]"


def _width() -> int:
    return max(min(shutil.get_terminal_size((100, 24)).columns, _MAX_WIDTH), 50)


def _print_rows(rows: list[tuple[str, str]], style: Style, stream: IO[str]) -> None:
    width = _width()
    left = min(max(len(flag) for flag, _ in rows), 34) + 2 + _GAP
    for flag, text in rows:
        lines = textwrap.wrap(text, max(width - left, 30), break_on_hyphens=False)
        head = f"  {style.cyan}{flag}{style.end}" + " " * (left - 2 - len(flag))
        if len(flag) + 2 + _GAP > left:
            print(f"  {style.cyan}{flag}{style.end}", file=stream)
            head = " " * left
        print(head + lines[0], file=stream)
        for line in lines[1:]:
            print(" " * left + line, file=stream)
