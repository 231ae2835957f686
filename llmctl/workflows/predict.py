"""The story of ``llmctl predict``: plain inputs to answers."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl import disk, runs
from llmctl.config import FinetuneConfig, PredictConfig
from llmctl.errors import ConfigError, DataError, RunError
from llmctl.progress import Progress
from llmctl.tasks import KINDS, Task, find_task
from llmctl.workflows.inputs import examples_of, is_table, lines_of
from llmctl.workflows.judged import load_judged, recipe_of, with_given
from llmctl.workflows.perplexity import objective_of

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
    if config.output_file:
        disk.check_new_file(Path(config.output_file))
    if config.task:
        find_task(config.task)
    from llmctl import heads, models

    source = _source(config)
    if _fills(config, source):
        if is_table(config) or config.text_pair or config.question:
            raise ConfigError(
                f"{source.name} fills in masks: it takes texts alone",
                hint='llmctl predict "The cat sat on the [MASK]."',
            )
        return
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
    if not config.model:
        progress.note(f"model: {source.name} (the newest run that answers)")
    if _fills(config, source):
        return _filled(config, source, progress)
    recipe = recipe_of(source.run)
    task = _task(config, recipe, source)
    _check_question(config, task, source)
    examples = examples_of(config, task, recipe, progress)
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


def _fills(config: PredictConfig, source: "Source") -> bool:
    """Whether the model finds hidden tokens, and nothing else is asked of it."""
    return not config.task and objective_of(source).startswith("mlm")


def _filled(config: PredictConfig, source: "Source", progress: Progress) -> PredictResult:
    """Fill in the masks of the texts."""
    from llmctl import heads
    from llmctl.inference import fill
    from llmctl.purposes import MODEL_CLASSES

    loaded = heads.load_with_head(
        source,
        MODEL_CLASSES[objective_of(source)],
        runs_dir=runs.runs_dir(config.runs_dir),
        bf16=config.bf16,
    )
    lines = list(lines_of(config, progress))
    name = config.input_file or "line"
    texts = [(text, "the text" if config.text else f"{name}:{number}") for number, text in lines]
    size = config.per_device_eval_batch_size or FinetuneConfig.per_device_eval_batch_size
    found = fill(loaded.model, loaded.tokenizer, texts, batch_size=size, progress=progress)
    answers = [
        answer if config.text is not None else {"line": number, **answer}
        for (number, _), answer in zip(lines, found, strict=True)
    ]
    if config.output_file:
        _write(Path(config.output_file), answers)
    return PredictResult(source.name, "fill-mask", answers, config.output_file)


def _source(config: PredictConfig) -> "Source":
    from llmctl.models import find_source

    root = runs.runs_dir(config.runs_dir)
    if config.model:
        return find_source(config.model, root)
    for found in runs.list_runs(root):
        source = find_source(str(found.path), root) if found.has_model else None
        if source and (found.command() == "finetune" or _fills(config, source)):
            return source
    raise RunError(
        f"no finished run in {root} that answers, and no model named",
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
    if task.kind == "qa" and not config.question and not is_table(config):
        raise ConfigError(
            "a question is missing", hint='llmctl predict "the text" --question "What is asked?"'
        )


def _check_pair(config: PredictConfig, task: Task, source: "Source") -> None:
    """Refuse one text for a model of pairs, and two for one of single texts, where its run tells which it is.

    Raises:
        ConfigError: naming the option.
    """
    pairs = _learnt_pairs(task, source)
    if pairs and config.text_pair is None and not is_table(config):
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
