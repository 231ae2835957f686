"""The story of ``llmctl predict``: plain inputs to answers."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl import disk, runs
from llmctl.config import FinetuneConfig, PredictConfig, TaskData
from llmctl.errors import ConfigError, DataError, RunError
from llmctl.progress import Progress
from llmctl.tasks import KINDS, Task, find_task
from llmctl.workflows.judged import load_judged, recipe_of, with_given

if TYPE_CHECKING:
    from llmctl.data.examples import Examples
    from llmctl.models import Source
    from llmctl.objectives.task import TaskObjective


@dataclass(frozen=True)
class PredictResult:
    """The answers, a mapping an input: the input itself, ``predicted`` or ``entities``, ``probability``, ...

    Those to many inputs have the ``line`` where the input stands: inputs without text have no answer.
    """

    model: str
    kind: str
    answers: list[dict[str, Any]]
    output_file: str | None

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "kind": self.kind,
            "answers": self.answers,
            "output_file": self.output_file,
        }


def check(config: PredictConfig) -> None:
    """Find what is wrong without importing the heavy libraries.

    Raises:
        ConfigError, RunError: naming the option or path.
    """
    if config.text is not None and config.input_file:
        raise ConfigError("a text and --input-file: which of them?", hint="give one of the two")
    if config.text is not None and not config.text.strip():
        raise ConfigError("the text is empty", hint='llmctl predict "a text"')
    if config.text is None and not config.input_file and sys.stdin.isatty():
        raise ConfigError(
            "no text", hint='llmctl predict "a text", --input-file FILE, or lines on the standard input'
        )
    if config.input_file and not Path(config.input_file).is_file():
        raise ConfigError(
            f"no such file: {config.input_file}", hint="one text a line in a .txt, or rows of a .jsonl"
        )
    if config.output_file and Path(config.output_file).exists():
        raise ConfigError(f"{config.output_file} exists", hint="name a new file: nothing is overwritten")
    if config.task:
        find_task(config.task)
    from llmctl import heads, models

    source = _source(config)
    recipe = recipe_of(source.run)
    if not (config.task or recipe or models.plain_config(source)):
        return  # only its loader can tell what it is for
    task = _task(config, recipe, source)
    heads.check_head(source, task.kind, hint="leave --task out: the model tells it")
    _check_question(config, task, source)
    _check_pair(config, task, source)


def run(config: PredictConfig, *, progress: Progress) -> PredictResult:
    """Answer one text, the lines of the standard input, or the rows of a file.

    Raises:
        ConfigError, RunError, DataError, ModelError: as :func:`check`, and what only data and model tell.
    """
    check(config)
    source = _source(config)
    from llmctl import models

    models.hide_bars()
    recipe = recipe_of(source.run)
    task = _task(config, recipe, source)
    _check_question(config, task, source)
    if not config.model:
        progress.note(f"model: {source.name} (the newest run of finetune)")
    examples = _examples(config, task, recipe, progress)
    if _learnt_pairs(task, source) and "text_pair" not in examples.table.column_names:
        raise DataError(
            f"{examples.name}: {source.name} learnt from pairs of texts, there is no second",
            hint="call its column text_pair",
        )
    model, objective = load_judged(source, task, with_given(recipe or FinetuneConfig(), config), config)
    answers = list(_answers(objective, model, examples, progress))
    if config.text is None:
        lines = examples.column("line")
        answers = [{"line": line, **answer} for line, answer in zip(lines, answers, strict=True)]
    if config.output_file:
        _write(Path(config.output_file), answers)
    return PredictResult(source.name, task.kind, answers, config.output_file)


def _source(config: PredictConfig) -> "Source":
    from llmctl.models import find_source

    root = runs.runs_dir(config.runs_dir)
    if config.model:
        return find_source(config.model, root)
    for found in runs.list_runs(root):
        if found.finished and found.command() == "finetune":
            return find_source(str(found.path), root)
    raise RunError(
        f"no finished run of finetune in {root} and no model named",
        hint="train one with 'llmctl finetune', or name one with --model",
    )


def _task(config: PredictConfig, recipe: FinetuneConfig | None, source: "Source") -> Task:
    """The task that the model was trained for: as asked, as its run says, or as its config tells.

    Raises:
        ConfigError: it cannot be told, or is answered by another command.
    """
    from llmctl import heads

    name = config.task or (recipe.task if recipe else None) or heads.kind_of_model(source)
    if name is None:
        raise ConfigError(
            f"{source.name} does not tell what it was trained for", hint=f"--task {'|'.join(KINDS)}"
        )
    task = find_task(name)
    if task.kind == "chat":
        raise ConfigError(f"{source.name} writes text", hint=f'llmctl generate "..." --model {source.name}')
    return task


# Inputs


def _is_table(config: PredictConfig) -> bool:
    """Whether the inputs are rows with columns, not texts."""
    return bool(config.input_file) and Path(str(config.input_file)).suffix not in (".txt", ".text")


def _check_question(config: PredictConfig, task: Task, source: "Source") -> None:
    """Refuse a question that nothing answers, and texts without a question for a model that answers them.

    Raises:
        ConfigError: naming the option.
    """
    if task.kind != "qa" and config.question is not None:
        raise ConfigError(
            f"--question: {source.name} answers no questions, it was trained for {task.kind}",
            hint="leave it out",
        )
    if task.kind == "qa" and not config.question and not _is_table(config):
        raise ConfigError(
            "a question is missing", hint='llmctl predict "the text" --question "What is asked?"'
        )


def _check_pair(config: PredictConfig, task: Task, source: "Source") -> None:
    """Refuse one text for a model of pairs, and two for one of single texts, where its run tells which it is.

    Raises:
        ConfigError: naming the option.
    """
    pairs = _learnt_pairs(task, source)
    if pairs and config.text_pair is None and not _is_table(config):
        raise ConfigError(
            f"{source.name} learnt from pairs of texts: the second is missing", hint='add --text-pair "..."'
        )
    if pairs is False and config.text_pair is not None:
        raise ConfigError(f"--text-pair: {source.name} learnt from single texts", hint="leave it out")


def _learnt_pairs(task: Task, source: "Source") -> bool | None:
    """Whether the model learnt from pairs of texts; ``None``: its run does not tell, or it is of none."""
    if "text_pair" not in KINDS[task.kind].roles:
        return False
    data = source.run.read_environment().get("data", {}) if source.run else {}
    columns = data.get("train", {}).get("columns")
    return None if columns is None else "text_pair" in columns


def _examples(
    config: PredictConfig, task: Task, recipe: FinetuneConfig | None, progress: Progress
) -> "Examples":
    """What is asked, without labels."""
    if _is_table(config):
        return _rows(str(config.input_file), task, recipe, progress)
    rows = [{**_row(text, config, task), "line": number} for number, text in _lines(config, progress)]
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


def _lines(config: PredictConfig, progress: Progress) -> list[tuple[int, str]]:
    """The text that was typed, else the lines of the file or the standard input, numbered; blank ones are left out.

    Raises:
        DataError: there is none, or it is not UTF-8.
    """
    if config.text is not None:
        return [(1, config.text)]
    name = config.input_file or "the standard input"
    try:
        text = Path(config.input_file).read_text(encoding="utf-8") if config.input_file else sys.stdin.read()
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: byte {error.object[error.start]:#04x} is not UTF-8") from error
    lines = list(enumerate(text.removeprefix("\ufeff").removesuffix("\n").split("\n"), start=1))
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


# Answers


def _answers(
    objective: "TaskObjective", model: Any, examples: "Examples", progress: Progress
) -> Iterator[dict[str, Any]]:
    features = objective.encode(examples, progress=progress)
    predictions = objective.predict(model, features, progress=progress, with_odds=True)
    for index in range(len(examples)):
        line = objective.record(features, predictions, index)
        if objective.task.kind == "ner" and "text" in examples.table.column_names:
            from llmctl.objectives.words import split_words

            text = examples.table.column("text")[index].as_py()
            found: Any = objective
            line = {
                "text": text,
                "entities": found.found_in(text, split_words(text), predictions.answers[index]),
            }
        yield line


def _write(path: Path, answers: Sequence[dict[str, Any]]) -> None:
    try:
        with disk.staged_file(path) as file:
            for line in answers:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error
