"""What ``llmctl generate`` goes on from: a prompt, or the prompts of a file, as the model is to read them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from llmctl.config import GenerateConfig
from llmctl.data.chat import Message, messages_of
from llmctl.errors import ConfigError, DataError
from llmctl.progress import Progress

if TYPE_CHECKING:
    from llmctl.inference import Prompt
    from llmctl.models import LoadedModel

FORMATS = (".txt", ".jsonl")


class Asked(NamedTuple):
    """What was given, a text or a conversation, and where it stands: ``prompts.txt:3``."""

    given: str | list[Message]
    where: str


def check_given(config: GenerateConfig) -> None:
    """Find what is wrong with how prompts are given, without reading any.

    Raises:
        ConfigError: there is none, or there are two, or the file is none of prompts.
    """
    if config.prompt is None and config.input_file is None:
        raise ConfigError("no prompt", hint='llmctl generate "Once upon a time", or --input-file FILE')
    if config.prompt is not None and config.input_file is not None:
        raise ConfigError("both a prompt and an input file", hint="give one of them")
    if config.prompt == "":
        raise ConfigError("the prompt is empty", hint='llmctl generate "Once upon a time"')
    if config.input_file is not None:
        path = Path(config.input_file)
        if not path.is_file():
            raise ConfigError(f"no such file: {path}", hint="check --input-file")
        if path.suffix not in FORMATS:
            raise ConfigError(
                f"{path}: prompts are read from .txt (one a line) or .jsonl (key 'prompt' or 'messages')",
                hint="rename the file",
            )


def lines_of_file(path: Path) -> list[str]:
    """The lines of a text file; what follows the last line end is one, perhaps empty.

    Raises:
        DataError: it cannot be read, or a line is not UTF-8.
    """
    try:
        raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    lines = []
    for number, line in enumerate(raw, start=1):
        try:
            lines.append(line.decode("utf-8").removesuffix("\r"))
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}:{number}: byte {line[error.start]:#04x} is not UTF-8", hint="save the file as UTF-8"
            ) from error
    return lines


def read_asked(config: GenerateConfig, progress: Progress) -> list[Asked]:
    """The prompt that was typed, or those of the input file; empty lines of it are told.

    Raises:
        DataError: a line is not UTF-8, not JSON or has no prompt; or there is no prompt at all.
    """
    if config.prompt is not None:
        return [Asked(config.prompt, "the prompt")]
    path = Path(config.input_file or "")
    asked, skipped = [], 0
    lines = lines_of_file(path)
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        if line.strip():
            asked.append(Asked(_of_json(line, where) if path.suffix == ".jsonl" else line, where))
        elif number < len(lines):  # what follows the last line end is no line
            skipped += 1
    if skipped:
        progress.note(f"{path}: skipped {skipped:,} empty line{'s' if skipped > 1 else ''}")
    if not asked:
        raise DataError(f"{path}: no prompts", hint="write one on each line")
    return asked


def _of_json(line: str, where: str) -> str | list[Message]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        column = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{where}: invalid JSON{column}", hint="one JSON object a line") from error
    if isinstance(found, dict) and "messages" in found:
        return _messages(found, where)
    if not isinstance(found, dict) or "prompt" not in found:
        keys = ", ".join(found) if isinstance(found, dict) else type(found).__name__
        raise DataError(
            f"{where}: no key 'prompt' or 'messages'; found: {keys}", hint='{"prompt": "Once upon a time"}'
        )
    if not isinstance(found["prompt"], str):
        raise DataError(f"{where}: 'prompt' is {json.dumps(found['prompt'])[:40]}, expected a string")
    if not found["prompt"]:
        raise DataError(f"{where}: the prompt is empty")
    return found["prompt"]


def _messages(row: dict[str, Any], where: str) -> list[Message]:
    messages, _ = messages_of(row, {"messages": "messages"}, lambda: where)
    if not messages or messages[-1]["role"] == "assistant":
        raise DataError(
            f"{where}: there is no message to answer",
            hint='{"messages": [{"role": "user", "content": "Hi"}]}, the last of them not the assistant\'s',
        )
    return messages


def as_read(
    asked: Sequence[Asked], loaded: "LoadedModel", *, raw: bool, progress: Progress
) -> list["Prompt"]:
    """Each prompt as the model is to read it: a chat model's as the message of a user, by its chat template.

    The end of the assistant's turn is made an end of the model's texts.

    Args:
        raw: continue prompts as plain text, whatever the model was trained for.

    Raises:
        DataError: a conversation for a model without a template, or one that the template does not take.
        ModelError: the template cannot be used.
    """
    from llmctl.inference import Prompt

    if raw or not _is_chat_model(loaded):
        talk = next((where for given, where in asked if not isinstance(given, str)), None)
        if talk:
            why = "--raw continues plain text" if raw else f"{loaded.source.name} is no chat model"
            raise DataError(
                f"{talk}: a conversation, but {why}", hint="give a 'prompt' instead of 'messages'"
            )
        return [Prompt(str(given), where) for given, where in asked]
    return _by_template(asked, loaded, progress)


def _by_template(asked: Sequence[Asked], loaded: "LoadedModel", progress: Progress) -> list["Prompt"]:
    from llmctl.inference import Prompt
    from llmctl.objectives.chat_template import ChatTemplate, RefusedError, stop_at_turns

    if any(isinstance(given, str) for given, _ in asked):
        what = "the prompt" if len(asked) == 1 else "each prompt"
        progress.note(f"{what} is given as a user's message (--raw continues plain text)")
    template = ChatTemplate(loaded.tokenizer)
    stop_at_turns(loaded.model, loaded.tokenizer)
    prompts, special = [], []
    for given, where in asked:
        messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
        if mark := template.special_in(messages):
            special.append(f"{where}: {mark}")
        try:
            prompts.append(Prompt(template.prompt(messages), where, rendered=True))
        except RefusedError as error:
            raise DataError(
                f"{where}: the model's chat template refuses it: {error}", hint="--raw continues plain text"
            ) from error
    if special:
        progress.warn(
            f"in {len(special):,} of {len(asked):,} prompts a special token is written out, and is read as that token "
            f"(first: {special[0]})"
        )
    return prompts


def _is_chat_model(loaded: "LoadedModel") -> bool:
    """Its tokenizer has a chat template; but what `pretrain` trains continues text, whatever its tokenizer's past."""
    run = loaded.source.run
    trained_on_text = run is not None and run.command() == "pretrain"
    return loaded.tokenizer.chat_template is not None and not trained_on_text
