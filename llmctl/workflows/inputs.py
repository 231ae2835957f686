"""What ``llmctl predict`` is asked: a text, lines, or the rows of a table, without labels."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl import runs
from llmctl.config import FinetuneConfig, PredictConfig, TaskData
from llmctl.errors import DataError
from llmctl.progress import Progress
from llmctl.tasks import Task, find_task
from llmctl.workflows.prompts import lines_of_file

if TYPE_CHECKING:
    from llmctl.data.examples import Examples


def is_table(config: PredictConfig) -> bool:
    """Whether the inputs are rows with columns, not texts."""
    return bool(config.input_file) and Path(str(config.input_file)).suffix not in (".txt", ".text")


def examples_of(
    config: PredictConfig, task: Task, recipe: FinetuneConfig | None, progress: Progress
) -> "Examples":
    """What is asked, without labels."""
    if is_table(config):
        return _rows(str(config.input_file), task, recipe, progress)
    rows = [{**_row(text, config, task), "line": number} for number, text in lines_of(config, progress)]
    return _unlabelled(rows, config.input_file or "input")


def _rows(file: str, task: Task, recipe: FinetuneConfig | None, progress: Progress) -> "Examples":
    """The rows of a table by the columns that the run learnt from, else by those that such data usually has."""
    from llmctl.data.columns import FLAGS, LABELS
    from llmctl.data.examples import load_examples

    def load(**names: str | None) -> "Examples":
        data = TaskData(data=file, task=task.kind, validation_fraction=0.0, **names)  # type: ignore[arg-type]
        return load_examples(
            data,
            find_task(task.kind),
            progress=progress,
            cache_dir=runs.cache_dir(),
            wanted={"train"},
            labelled=False,
        )["train"]

    options = [option for role, option in FLAGS[task.kind].items() if role not in LABELS]
    learnt = {name: getattr(recipe, name, None) for name in (*options, "source_lang", "target_lang")}
    try:
        return load(**learnt)
    except DataError:
        if not any(learnt.values()):
            raise
        return load()


def lines_of(config: PredictConfig, progress: Progress) -> list[tuple[int, str]]:
    """The text that was typed, else the lines of the file or the standard input, numbered; blank ones are left out.

    Raises:
        DataError: there is none, or it is not UTF-8.
    """
    if config.text is not None:
        return [(1, config.text)]
    name = config.input_file or "the standard input"
    if config.input_file:
        found = lines_of_file(Path(config.input_file))
    else:
        try:
            found = sys.stdin.read().removeprefix("\ufeff").split("\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{name}: byte {error.object[error.start]:#04x} is not UTF-8") from error
    if not found[-1]:  # behind the last line end
        found.pop()
    lines = list(enumerate(found, start=1))
    blank = [number for number, line in lines if not line.strip()]
    if len(blank) == len(lines):
        raise DataError(f"{name}: no text in it", hint="one text a line")
    if blank:
        many = "a blank line" if len(blank) == 1 else f"{len(blank):,} blank lines"
        progress.note(f"{name}: left out {many} (first: line {blank[0]:,})")
    return [(number, line) for number, line in lines if line.strip()]


def _row(text: str, config: PredictConfig, task: Task) -> dict[str, Any]:
    """The canonical columns of one input."""
    if task.kind == "qa":
        return {"question": config.question, "context": text}
    if task.kind == "ner":
        from llmctl.objectives.words import split_words

        return {"text": text, "tokens": [word.text for word in split_words(text)]}
    return {"text": text} | ({} if config.text_pair is None else {"text_pair": config.text_pair})


def _unlabelled(rows: Sequence[dict[str, Any]], name: str) -> "Examples":
    import pyarrow

    from llmctl.data.examples import Examples

    return Examples(name, pyarrow.Table.from_pylist(rows), None, "", (), False, ((name, False),))
