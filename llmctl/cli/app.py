"""The Typer application: built from ``COMMANDS``, importing only the command that is asked for."""

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from llmctl.cli import COMMANDS
from llmctl.cli.options import as_function
from llmctl.errors import ConfigError
from llmctl.recipe import suggestion


class StrictCommand(TyperCommand):
    """A command that drops nothing in silence, and knows the names that options have elsewhere."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer's.

        Raises:
            ConfigError: an option is unknown, or one that takes a single value is given twice.
        """
        if not ctx.resilient_parsing:  # the shell asks for completions of a line that is not whole yet
            self._check_options(ctx, list(args))
        return super().parse_args(ctx, args)

    def _check_options(self, ctx: Any, args: list[str]) -> None:
        try:
            order = self.make_parser(ctx).parse_args(list(args))[2]
            given: list[Any] = [param for param in order if param.param_type_name == "option"]
        except typer.TyperException as error:
            if not hasattr(error, "possibilities"):  # those of an option that there is not
                raise
            word = getattr(error, "option_name", "")
            names = [name for param in self.params for name in param.opts]
            if word.lstrip("-") in names:  # of an argument
                value = next(
                    iter(args[args.index(word) + 1 :] if word in args else []), word.lstrip("-").upper()
                )
                raise ConfigError(
                    f"no such option: {word}; what it would name stands by itself",
                    hint=f"{ctx.command_path} {value}",
                ) from error
            hint = suggestion(word, [name for name in names if name.startswith("-")])
            raise ConfigError(
                f"no such option: {word}" + (f"; {hint}" if hint else ""),
                hint=f"{ctx.command_path} --help lists every option",
            ) from error
        single = [param for param in given if param.secondary_opts or not (param.is_flag or param.multiple)]
        for param in single:
            if single.count(param) > 1:
                words = "/".join([*param.opts, *param.secondary_opts])
                files = "several files are a folder, or a glob in quotes: --data 'corpus/*.txt'"
                raise ConfigError(
                    f"{words} was given twice: it takes one value",
                    hint=files if param.name == "data" else "leave one out",
                )


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
            single.command(cmd_name, cls=StrictCommand, help=COMMANDS[name].summary)(as_function(name))
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
