"""How well a run, or any language model, knows some text: ``llmctl eval`` without a task."""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl import disk, ranks, runs
from llmctl.config import Corpus, EvalConfig, PretrainConfig
from llmctl.errors import ConfigError, RunError
from llmctl.limits import check_length, positions_in
from llmctl.progress import Progress
from llmctl.purposes import MODEL_CLASSES, READS_BACKWARDS, reads_backwards
from llmctl.recipe import resolve
from llmctl.workflows.judged import one_split, place_of_scores, read_alike, with_given

if TYPE_CHECKING:
    from llmctl.data.load import Documents
    from llmctl.inference import Scores
    from llmctl.models import Source
    from llmctl.objectives.text import TextScores

DEFAULT_MAX_LENGTH = 1024  # for a model that knows no bound
_CAUSAL = ("clm", "rclm")


@dataclass(frozen=True)
class TextResult:
    """The scores, what was scored, and where they were written (``None``: the model is no run)."""

    scores: "TextScores"
    split: str | None
    model: str
    data: str
    fingerprint: str
    path: str | None

    def to_json(self) -> dict[str, Any]:
        """The object of ``llmctl eval --json`` and of ``eval/<split>.json``."""
        scores = self.scores
        return {
            **{name: value.to_json() for name, value in scores.values.items()},
            "n": scores.n,
            "unit": scores.unit,
            "num_tokens": scores.num_tokens,
            "split": self.split,
            "model": self.model,
            "data": self.data,
            "fingerprint": self.fingerprint,
            "signature": scores.signature,
        }


def check(config: EvalConfig) -> None:
    """Find what is wrong without importing the heavy libraries.

    Raises:
        ConfigError, RunError: naming the option or path.
    """
    from llmctl import heads, models
    from llmctl.data.mixture import check_text

    if config.stride and config.max_length and config.stride > config.max_length:
        raise ConfigError(
            f"stride {config.stride} is longer than max_length {config.max_length}: tokens would be left out",
            hint=f"--stride {config.max_length}",
        )
    check_text(_text_data(config, None, {}) if config.data else Corpus())
    root = runs.runs_dir(config.runs_dir)
    found = models.find_source(config.model or str(runs.latest_finished(root).path), root)
    objective = objective_of(found)
    if objective in _CAUSAL:
        hint = f"judge it by its task: llmctl eval {found.name} --task TASK --data FILE"
        heads.check_head(found, "chat", hint=hint)
    elif config.stride:
        raise ConfigError(
            f"stride means nothing for {found.name}, which was trained by objective {objective}",
            hint="leave --stride out",
        )
    check_length("max_length", config.max_length, positions_in(models.plain_config(found) or {}))


def run(config: EvalConfig, *, progress: Progress) -> TextResult:
    """Judge a model by some text; the scores of a run are kept in its ``eval/``.

    Raises:
        ConfigError, RunError, DataError, ModelError: what only data and model tell; :func:`check` went before.
    """
    from llmctl import models

    root = runs.runs_dir(config.runs_dir)
    found = models.find_source(config.model or str(runs.latest_finished(root).path), root)
    recipe = resolve(PretrainConfig, found.run.recipe, {}) if found.run else None
    split, documents, as_trained = ranks.first_then_others(lambda: _documents(config, recipe, progress))
    progress.note(f"model: {found.name}" + ("" if config.model else " (the newest run)"))
    score = _score_causal if objective_of(found) in _CAUSAL else _score
    scores, details = score(config, found, recipe, documents, progress)
    path = (
        place_of_scores(found.run, split, documents, as_trained=as_trained, progress=progress)
        if found.run
        else None
    )
    result = TextResult(
        scores=scores,
        split=split,
        model=found.name,
        data=documents.name,
        fingerprint=documents.fingerprint,
        path=str(path) if path else None,
    )
    if path:
        _write(path, result, details)
        progress.note(f"scores: {path}")
    return result


def objective_of(found: "Source") -> str:
    """What a model was trained to do, as its run or its ``config.json`` tells; ``clm`` where neither does."""
    from llmctl import models

    if found.run and found.run.command() == "pretrain":
        return resolve(PretrainConfig, found.run.recipe, {}).objective
    config = models.plain_config(found) or {}
    names = " ".join(config.get("architectures") or [])
    if "ForPreTraining" in names:
        return "mlm+sop" if config.get("model_type") == "albert" else "mlm+nsp"
    if "ForMaskedLM" in names:
        return "mlm"
    return "rclm" if config.get(READS_BACKWARDS) else "clm"


def _score_causal(
    config: EvalConfig,
    found: "Source",
    recipe: PretrainConfig | None,
    documents: "Documents",
    progress: Progress,
) -> "tuple[TextScores, Scores]":
    """Score every token, given those before it, over windows that overlap."""
    from llmctl import inference, models
    from llmctl.data.blocks import tokenize
    from llmctl.objectives.reversed_lm import reversed_texts
    from llmctl.objectives.text import TextScores

    loaded = models.load_causal_lm(found.name, runs_dir=runs.runs_dir(config.runs_dir), bf16=config.bf16)
    max_length, stride = _window(config, recipe, inference.num_positions(loaded.model))
    progress.note(f"data: {documents.name}: windows of {max_length} tokens, {stride} newly scored in each")
    features = ranks.first_then_others(
        lambda: tokenize(documents, loaded.tokenizer, cache_dir=runs.cache_dir(), progress=progress)
    )
    scores, details = inference.evaluate_documents(
        loaded.model,
        reversed_texts(features) if reads_backwards(loaded.model) else features,
        max_length=max_length,
        stride=stride,
        batch_size=config.per_device_eval_batch_size,
        first_token_context=inference.first_token_context(loaded.model, loaded.tokenizer),
        num_resamples=config.num_resamples,
        seed=config.seed,
        progress=progress,
    )
    values = {
        "perplexity": scores.perplexity,
        "word_perplexity": scores.word_perplexity,
        "byte_perplexity": scores.byte_perplexity,
        "bits_per_byte": scores.bits_per_byte,
    }
    return TextScores(values, scores.n, "documents", scores.num_tokens, scores.signature), details


def _score(
    config: EvalConfig,
    found: "Source",
    recipe: PretrainConfig | None,
    documents: "Documents",
    progress: Progress,
) -> "tuple[TextScores, None]":
    """Judge by the model's own objective, as training judged it."""
    from llmctl import heads
    from llmctl.limits import num_positions
    from llmctl.metrics.intervals import tell_few
    from llmctl.objectives import text_objective

    objective = objective_of(found)
    loaded = heads.load_with_head(
        found, MODEL_CLASSES[objective], runs_dir=runs.runs_dir(config.runs_dir), bf16=config.bf16
    )
    own = recipe or PretrainConfig(objective=objective)  # type: ignore[arg-type]
    length = config.max_length or min(own.block_size, num_positions(loaded.model) or own.block_size)
    settings = replace(own, block_size=length, per_device_eval_batch_size=config.per_device_eval_batch_size)
    judge = text_objective(settings, loaded.tokenizer)
    judge.check_tokenizer()
    features = ranks.first_then_others(lambda: judge.encode(documents, progress=progress))
    scores = judge.judge(
        loaded.model, features, num_resamples=config.num_resamples, seed=config.seed, progress=progress
    )
    tell_few(scores.n, scores.unit, progress)
    return scores, None


def _text_data(config: EvalConfig, recipe: Corpus | None, unless: dict[str, Any]) -> Corpus:
    """What to read: ``unless``, overridden by the run's settings, then by every option off its default."""
    own = {item.name: getattr(recipe, item.name) for item in fields(Corpus)} if recipe else {}
    return with_given(Corpus(**{**unless, **own}), config)


def _documents(
    config: EvalConfig, recipe: Corpus | None, progress: Progress
) -> tuple[str | None, "Documents", bool]:
    """Return the split's name, its documents, and whether they were read as the run read its own.

    The text is the run's own unless other data is named. Other data is not held out from anything: all of it
    is scored when it has no validation split of its own, unless a held-out part is asked for by ``split``.
    """
    from llmctl.data.load import load_streamed, load_text
    from llmctl.data.mixture import title_of
    from llmctl.data.streamed import StreamedText

    own = recipe if config.data is None else None
    nothing_held_out = {"validation_fraction": 0.0} if config.data and config.split is None else {}
    settings = _text_data(config, own, nothing_held_out)
    split, documents = one_split(
        load_streamed if settings.streaming else load_text,
        settings,
        config.split,
        name=title_of(settings.data),
        own=own is not None,
        progress=progress,
    )
    if isinstance(documents, StreamedText):
        raise ConfigError(
            f"{documents.name} is a stream, which is not judged as a whole", hint="--data FILE to judge by"
        )
    return split, documents, recipe is not None and read_alike(settings, recipe, Corpus)


def _window(config: EvalConfig, recipe: PretrainConfig | None, positions: int | None) -> tuple[int, int]:
    """Return ``max_length`` and ``stride``; what is not given follows from the run, else the model."""
    length = config.max_length or (recipe.block_size if recipe else positions or DEFAULT_MAX_LENGTH)
    return length, config.stride or max(1, length // 2)


def _write(path: Path, result: TextResult, details: "Scores | None") -> None:
    """Write the scores, and beside them, of a causal model, a line a document: its tokens, words, bytes and nats."""
    if not ranks.is_first():
        return
    try:
        path.parent.mkdir(exist_ok=True)
        if details:
            columns = (details.nll, details.num_tokens, details.num_words, details.num_bytes)
            names = ("nll", "num_tokens", "num_words", "num_bytes")
            rows = zip(*(column.tolist() for column in columns), strict=True)
            lines = [json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows]
            disk.write_file(path.with_suffix(".predictions.jsonl"), "".join(lines))
        disk.write_file(path, json.dumps(result.to_json(), indent=2) + "\n")
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error
