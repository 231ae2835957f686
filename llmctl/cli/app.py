"""The Typer application: built from ``COMMANDS``, importing only the command that is asked for."""

from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from llmctl.cli import COMMANDS
from llmctl.cli.options import as_function


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are asked for.

    ``prefix`` is empty for the top level and ``"tokenizer "`` for the verbs of a noun.
    """

    prefix = ""

    def list_commands(self, ctx: Any) -> list[str]:
        names = [name.removeprefix(self.prefix) for name in COMMANDS if name.startswith(self.prefix)]
        return list(dict.fromkeys(name.split()[0] for name in names))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        name = self.prefix + cmd_name
        if name in COMMANDS:
            single = typer.Typer(add_completion=False, rich_markup_mode=None)
            single.command(cmd_name, help=COMMANDS[name].summary)(as_function(name))
            return get_command(single)
        if any(known.startswith(name + " ") for known in COMMANDS):
            return _group(f"{name} ")
        return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.commands = dict.fromkeys(self.list_commands(ctx), self)  # what a typo is compared with
        return super().resolve_command(ctx, args)


def _group(prefix: str) -> Any:
    cls = type("Group", (LazyGroup,), {"prefix": prefix})
    app = typer.Typer(cls=cls, add_completion=not prefix, rich_markup_mode=None)
    app.callback()(lambda: None)
    return get_command(app)


def build_app() -> Any:
    """The whole program as one Typer command, with shell completion."""
    return _group("")
