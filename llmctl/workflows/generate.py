"""The story of ``llmctl generate``: text from a prompt as it is written, or from a file of prompts."""

import json
import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl import disk, runs
from llmctl.config import GenerateConfig
from llmctl.errors import ConfigError, DataError
from llmctl.progress import Progress

if TYPE_CHECKING:
    from llmctl.inference import Continuation
    from llmctl.models import Source

Write = Callable[[str], object]
PROMPT_FILES = (".txt", ".jsonl")


@dataclass(frozen=True)
class GenerateResult:
    """What was written."""

    model: str
    seed: int | None
    """``None`` when nothing was drawn."""
    num_texts: int
    seconds: float
    output_file: str | None
    texts: tuple[dict[str, Any], ...]
    """What a line of an output file has; empty where a file was read or written, which may be long."""

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "texts": list(self.texts)}


def check(config: GenerateConfig) -> None:
    """Find what is wrong without importing the heavy libraries.

    Raises:
        ConfigError, RunError: naming the option or path.
    """
    from llmctl import heads

    _check_input(config)
    if config.output_file is not None:
        _check_output(Path(config.output_file))
    if config.num_return_sequences > 1:
        if config.num_return_sequences > config.num_beams > 1:
            raise ConfigError(
                f"{config.num_beams} beams cannot give {config.num_return_sequences} texts",
                hint=f"--num-beams {config.num_return_sequences}",
            )
        if config.temperature == 0 and config.num_beams == 1:
            raise ConfigError(
                f"at temperature 0 all {config.num_return_sequences} texts would be the same",
                hint="raise --temperature, or leave --num-return-sequences out",
            )
    found = _source(config)
    heads.check_head(found, "chat", hint=f'let it answer: llmctl predict "..." --model {found.name}')


def run(config: GenerateConfig, *, progress: Progress, write: Write) -> GenerateResult:
    """Go on from the prompt, or from each prompt of a file.

    Args:
        write: gets what belongs on standard output. For a prompt, the prompt and its text, piece by piece as
            it is written; several texts are parted by an empty line, and ``progress`` is told which comes.
            For prompts of a file without an ``output_file``, a JSON line for each text.

    Raises:
        ConfigError, RunError, DataError, ModelError: as :func:`check`, and what only prompts and model tell.
    """
    check(config)
    prompts = [(config.prompt, "the prompt")] if config.prompt else _read_prompts(config, progress)
    began = time.monotonic()
    from llmctl import inference, models

    source = config.model or _source(config).name
    loaded = models.load_causal_lm(source, runs_dir=runs.runs_dir(config.runs_dir), bf16=config.bf16)
    progress.note(
        f"model: {loaded.source.name}" + ("" if config.model else " (the newest run that can generate)")
    )
    seed = _seed(config)
    if config.input_file or config.output_file:
        asked = [inference.Prompt(*prompt) for prompt in prompts]
        found = inference.generate_batch(
            loaded.model, loaded.tokenizer, asked, config, seed=seed or 0, progress=progress
        )
        _tell_seed(config, seed, progress)
        count, texts = _write_lines((item.to_json() for item in found), config.output_file, write), []
    else:
        texts = [item.to_json() for item in _texts(loaded, prompts[0][0], config, seed, progress, write)]
        count = len(texts)
    return GenerateResult(
        model=loaded.source.name,
        seed=seed,
        num_texts=count,
        seconds=round(time.monotonic() - began, 1),
        output_file=config.output_file,
        texts=tuple(texts),
    )


def _source(config: GenerateConfig) -> "Source":
    """The model that is named, else that of the newest run that can write."""
    from llmctl import heads, models

    root = runs.runs_dir(config.runs_dir)
    if config.model:
        return models.find_source(config.model, root)
    newest = runs.latest_finished(
        root, fits=lambda run: heads.writes(models.find_source(str(run.path), root))
    )
    return models.find_source(str(newest.path), root)


def _texts(
    loaded: Any, prompt: str, config: GenerateConfig, seed: int | None, progress: Progress, write: Write
) -> Iterator["Continuation"]:
    """Write the texts of one prompt, the only one as it comes, and yield each when it is complete."""
    from llmctl import inference

    model, tokenizer, count = loaded.model, loaded.tokenizer, config.num_return_sequences
    if count == 1:
        pieces = inference.stream(model, tokenizer, prompt, config, seed=seed or 0, progress=progress)
        _tell_seed(config, seed, progress)
        yield _as_it_comes(pieces, prompt, write)
        return
    asked = [inference.Prompt(prompt)]
    found = inference.generate_batch(model, tokenizer, asked, config, seed=seed or 0, progress=progress)
    _tell_seed(config, seed, progress)
    for number, item in enumerate(found, start=1):
        progress.note(f"--- {number} of {count}")
        write(prompt + item.text + ("\n\n" if number < count else "\n"))
        yield item


def _as_it_comes(pieces: Generator[str, None, "Continuation"], prompt: str, write: Write) -> "Continuation":
    """Write the prompt, when there is something to follow it, and the pieces; return what they came to."""
    before = prompt
    while True:
        try:
            piece = next(pieces)
        except StopIteration as end:
            write(before + "\n")
            whole: Continuation = end.value
            return whole
        write(before + piece)
        before = ""


def _check_output(path: Path) -> None:
    if path.exists():
        raise ConfigError(f"output file exists: {path}", hint="name a new --output-file")
    if not path.parent.is_dir():
        raise ConfigError(f"no such directory: {path.parent}", hint="make it first")


def _check_input(config: GenerateConfig) -> None:
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
        if path.suffix not in PROMPT_FILES:
            raise ConfigError(
                f"{path}: prompts are read from .txt (one a line) or .jsonl (key 'prompt')",
                hint="rename the file",
            )


def _read_prompts(config: GenerateConfig, progress: Progress) -> list[tuple[str, str]]:
    """Return each prompt of the input file with its place, ``prompts.txt:3``; empty lines are told.

    Raises:
        DataError: a line is not UTF-8, not JSON or has no prompt; or there is no prompt at all.
    """
    path = Path(config.input_file or "")
    prompts, skipped = [], 0
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    for number, raw in enumerate(lines, start=1):
        where = f"{path}:{number}"
        try:
            line = raw.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{where}: byte {raw[error.start]:#04x} is not UTF-8", hint="save the file as UTF-8"
            ) from error
        if line.strip():
            prompts.append((_prompt_of(line, where) if path.suffix == ".jsonl" else line, where))
        elif number < len(lines):  # what follows the last line end is no line
            skipped += 1
    if skipped:
        progress.note(f"{path}: skipped {skipped:,} empty line{'s' if skipped > 1 else ''}")
    if not prompts:
        raise DataError(f"{path}: no prompts", hint="write one on each line")
    return prompts


def _prompt_of(line: str, where: str) -> str:
    try:
        found = json.loads(line)
    except ValueError as error:
        column = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{where}: invalid JSON{column}", hint="one JSON object a line") from error
    if not isinstance(found, dict) or "prompt" not in found:
        keys = ", ".join(found) if isinstance(found, dict) else type(found).__name__
        raise DataError(f"{where}: no key 'prompt'; found: {keys}", hint='{"prompt": "Once upon a time"}')
    if not isinstance(found["prompt"], str):
        raise DataError(f"{where}: 'prompt' is {json.dumps(found['prompt'])[:40]}, expected a string")
    if not found["prompt"]:
        raise DataError(f"{where}: the prompt is empty")
    return found["prompt"]


def _seed(config: GenerateConfig) -> int | None:
    """The seed that was given, else one that is drawn; ``None`` where nothing will be drawn by it."""
    if config.temperature == 0 or config.num_beams > 1:
        return None
    return random.SystemRandom().randrange(2**31) if config.seed is None else config.seed


def _tell_seed(config: GenerateConfig, seed: int | None, progress: Progress) -> None:
    """Tell a seed that was drawn; called when the prompts are checked, as else there is no text to give again."""
    if seed is not None and config.seed is None:
        progress.note(f"seed: {seed} (--seed {seed} gives the same text again)")


def _write_lines(records: Iterable[dict[str, Any]], output_file: str | None, write: Write) -> int:
    """Write the records as JSON lines, to a new file, complete or not at all, or else to ``write``; count them.

    Raises:
        ConfigError: the file cannot be written.
    """
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    if output_file is None:
        return _count(write(line) for line in lines)
    try:
        with disk.staged_file(Path(output_file)) as file:
            return _count(file.write(line) for line in lines)
    except OSError as error:
        raise ConfigError(f"cannot write {output_file}: {error.strerror}") from error


def _count(done: Iterable[Any]) -> int:
    return sum(1 for _ in done)
