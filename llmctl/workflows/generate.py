"""The story of ``llmctl generate``: text from a prompt as it is written, or from a file of prompts."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl import disk, ranks, runs
from llmctl.config import GenerateConfig
from llmctl.errors import ConfigError
from llmctl.progress import Progress
from llmctl.purposes import reads_backwards
from llmctl.workflows.prompts import Asked, as_read, check_given, read_asked

if TYPE_CHECKING:
    from llmctl.inference import Continuation, Prompt
    from llmctl.models import LoadedModel, Source

Write = Callable[[str], object]


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

    check_given(config)
    if config.output_file is not None:
        disk.check_new_file(Path(config.output_file))
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
    """Go on from the prompt, or from each prompt of a file; a chat model answers it.

    Args:
        write: gets what belongs on standard output. For a prompt, its text, piece by piece as it is written, with
            the prompt before it unless it is answered; several texts are parted by an empty line, and ``progress``
            is told which comes. For prompts of a file without an ``output_file``, a JSON line for each text.

    Raises:
        ConfigError, RunError, DataError, ModelError: as :func:`check`, and what only prompts and model tell.
    """
    check(config)
    asked = ranks.share(lambda: read_asked(config, progress))
    began = time.monotonic()
    from llmctl import inference, models

    source = config.model or _source(config).name
    loaded = models.load_causal_lm(source, runs_dir=runs.runs_dir(config.runs_dir), bf16=config.bf16)
    progress.note(
        f"model: {loaded.source.name}" + ("" if config.model else " (the newest run that can generate)")
    )
    prompts = as_read(asked, loaded, raw=config.raw, progress=progress)
    seed = ranks.share(lambda: _seed(config))
    in_lines = bool(config.input_file or config.output_file)
    if in_lines:
        found = inference.generate_batch(
            loaded.model, loaded.tokenizer, prompts, config, seed=seed or 0, progress=progress
        )
        _tell_seed(config, seed, progress)
    else:
        found = _shown(loaded, prompts[0], config, seed, progress, write)
    cut: Counter[str] = Counter()
    records = _records(found, asked, config, cut)
    texts = [] if in_lines else list(records)
    count = _write_lines(records, config.output_file, write) if in_lines else len(texts)
    for where, number in cut.items():
        which, what = ("", "the text") if count == 1 else (f"{number:,} of {count:,} texts ", "they")
        progress.note(f"{which}stopped at {where}: {what} may go on")
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


def _records(
    found: Iterable["Continuation"], asked: Sequence[Asked], config: GenerateConfig, cut: Counter[str]
) -> Iterator[dict[str, Any]]:
    """What a line of an output file has of each text; ``cut`` counts what stopped those that did not end."""
    each = config.num_return_sequences
    for index, item in enumerate(found):
        if item.finish_reason == "length":
            by_choice = item.num_tokens == config.max_new_tokens
            cut[
                f"--max-new-tokens {config.max_new_tokens}" if by_choice else "the model's last position"
            ] += 1
        number = {"number": index % each + 1} if each > 1 else {}
        yield {**item.to_json(), "prompt": asked[index // each].given, **number}


def _shown(
    loaded: "LoadedModel",
    prompt: "Prompt",
    config: GenerateConfig,
    seed: int | None,
    progress: Progress,
    write: Write,
) -> Iterator["Continuation"]:
    """Write the texts of one prompt, the only one as it comes, and yield each when it is complete."""
    from llmctl import inference

    model, tokenizer, count = loaded.model, loaded.tokenizer, config.num_return_sequences
    before, behind = "" if prompt.rendered else prompt.text, ""
    if reads_backwards(model):
        progress.note("the model reads backwards: it writes what comes before the prompt")
        before, behind = behind, before
    if count == 1:
        pieces = inference.stream(model, tokenizer, prompt, config, seed=seed or 0)
        _tell_seed(config, seed, progress)
        yield _as_it_comes(pieces, before, behind, write)
        return
    found = inference.generate_batch(model, tokenizer, [prompt], config, seed=seed or 0, progress=progress)
    _tell_seed(config, seed, progress)
    for number, item in enumerate(found, start=1):
        progress.note(f"--- {number} of {count}")
        write(before + item.text + behind + ("\n\n" if number < count else "\n"))
        yield item


def _as_it_comes(
    pieces: Generator[str, None, "Continuation"], before: str, behind: str, write: Write
) -> "Continuation":
    """Write ``before``, when there is something to follow it, the pieces and ``behind``; return what they came to."""
    while True:
        try:
            piece = next(pieces)
        except StopIteration as end:
            write(before + behind + "\n")
            whole: Continuation = end.value
            return whole
        write(before + piece)
        before = ""


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
    if output_file is None or not ranks.is_first():
        return _count(write(line) for line in lines)
    try:
        with disk.staged_file(Path(output_file)) as file:
            return _count(file.write(line) for line in lines)
    except OSError as error:
        raise ConfigError(f"cannot write {output_file}: {error.strerror}") from error


def _count(done: Iterable[Any]) -> int:
    return sum(1 for _ in done)
