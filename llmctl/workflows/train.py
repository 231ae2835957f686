"""The story of ``llmctl pretrain``, from a config to a run whose model was read back and judged."""

import math
import shutil
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl import disk, runs
from llmctl.config import PretrainConfig, Training
from llmctl.errors import ConfigError, DataError, LlmctlError, ModelError, RunError
from llmctl.progress import Progress
from llmctl.recipe import resolve, to_yaml
from llmctl.runs import RunDir

if TYPE_CHECKING:
    from llmctl.data.load import Documents
    from llmctl.objectives import Objective

COMMAND = "pretrain"
# peak learning rates: of a new model, times its width; of a model that has learnt already
LEARNING_RATE_WIDTH = 0.6
CONTINUED_LEARNING_RATE = 1e-4
# packages behind report_to
TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}


@dataclass(frozen=True)
class TrainResult:
    """What a training left behind.

    ``scores`` are those of the model as it was read back from disk: ``loss`` in nats a token, ``perplexity``,
    ``bits_per_byte``; empty without a validation split.
    """

    run: str
    model: str
    steps: int
    train_tokens: int
    num_parameters: int
    seconds: float
    scores: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check(config: PretrainConfig) -> None:
    """Find what is wrong without importing the heavy libraries.

    Raises:
        ConfigError, RunError: naming the option or path.
    """
    from importlib.util import find_spec

    from llmctl.architectures import check_shape
    from llmctl.data.sources import check_source

    if config.resume:
        _check_resume(config)
        return
    check_source(config)
    if not config.model:
        check_shape(config, block_size=config.block_size)
    else:
        _check_no_shape(config)
    for tracker in config.report_to:
        if tracker in TRACKERS and find_spec(TRACKERS[tracker]) is None:
            raise ConfigError(
                f"report_to: {tracker} is not installed", hint=f"pip install {TRACKERS[tracker]}"
            )
    if config.run_name:
        runs.check_new(runs.runs_dir(config.runs_dir), config.run_name)


def _check_resume(config: PretrainConfig) -> None:
    """``--resume`` stands alone: what else could be asked for is the run's own recipe."""
    if others := _differences(config, PretrainConfig(resume=config.resume, runs_dir=config.runs_dir)):
        raise ConfigError(
            f"--resume goes on with the run's own recipe; {', '.join(others)} cannot be changed",
            hint=f"llmctl {COMMAND} --resume {config.resume}",
        )
    run = runs.open_run(config.resume or "", runs.runs_dir(config.runs_dir))
    if run.finished:
        raise RunError(
            f"run {run.name} is finished: there is nothing to resume", hint=f"llmctl eval {run.path}"
        )


def _check_no_shape(config: PretrainConfig) -> None:
    from llmctl.config import ModelShape

    shape = {item.name for item in fields(ModelShape)}
    if given := [name for name in _differences(config, PretrainConfig()) if name in shape]:
        raise ConfigError(
            f"{', '.join(given)}: the shape of --model {config.model} is given by its checkpoint",
            hint="leave them out, or leave --model out to start from scratch",
        )


def _differences(config: PretrainConfig, other: PretrainConfig) -> list[str]:
    return [item.name for item in fields(config) if getattr(config, item.name) != getattr(other, item.name)]


@dataclass(frozen=True)
class _Prepared:
    """All that a training needs, checked."""

    tokenizer: Any
    objective: "Objective"
    model: Any
    examples: Any
    train_tokens: int
    validation: Any | None


def run(config: PretrainConfig, *, progress: Progress) -> TrainResult:
    """Train a model and leave a run behind.

    Raises:
        ConfigError, RunError, DataError, ModelError: as :func:`check`, and what only the data or model can tell;
            a new run's directory is then gone again.
        llmctl.training.StoppedError: a signal ended the training early, with a checkpoint.
    """
    began = time.monotonic()
    check(config)
    config, resumed = _resumed(config)
    config = _settled(config)

    from llmctl.data.load import load_text

    # First what needs none of the heavy libraries: bad text is answered in an instant.
    splits = load_text(config, progress=progress, cache_dir=runs.cache_dir())

    from llmctl import architectures, models, training

    if config.architecture:
        architectures.check_architecture(config.architecture)
    config = _fitted(config, progress)
    run_dir = resumed or _create_run(config, {name: split.describe() for name, split in splits.items()})
    progress.note(f"run: {run_dir.path}" + (" (resumed)" if resumed else ""))
    try:
        ready = _prepare(config, run_dir, splits, progress)
    except LlmctlError:
        if not resumed:
            shutil.rmtree(run_dir.path, ignore_errors=True)
        raise
    trainer = training.fit(
        config,
        run_dir,
        model=ready.model,
        objective=ready.objective,
        training=ready.examples,
        validation=ready.validation,
        command=COMMAND,
        watch=progress.training,
    )
    model = trainer.accelerator.unwrap_model(trainer.model)
    models.save(model, ready.tokenizer, run_dir.model)
    result = TrainResult(
        run=str(run_dir.path),
        model=str(run_dir.model),
        steps=trainer.state.global_step,
        train_tokens=ready.train_tokens,
        num_parameters=model.num_parameters(),
        seconds=round(time.monotonic() - began, 1),
        scores=_judge(run_dir, ready, model, progress),
    )
    disk.write_file(run_dir.card, _card(config, run_dir, result, models.describe(model)))
    return result


def _prepare(
    config: PretrainConfig, run_dir: RunDir, splits: "dict[str, Documents]", progress: Progress
) -> _Prepared:
    """Tokenizer, features and model, and what they come to, told."""
    from transformers import set_seed

    from llmctl import models, training
    from llmctl.objectives import make_objective

    models.hide_bars()
    tokenizer = _tokenizer(config, run_dir, splits["train"], progress)
    objective = make_objective(config, tokenizer)
    features = objective.encode(splits["train"], progress=progress)
    validation = splits.get("validation")
    judged = objective.encode(validation, progress=progress) if validation else None
    if judged is None:
        progress.warn("no validation split: nothing is evaluated, and the last model is kept, not the best")
    examples = objective.training_set(features)
    _check_amount(config, len(features.tokens))

    set_seed(config.seed)
    model = _model(config, tokenizer, progress)
    steps = training.total_steps(config, len(examples))
    training.make_arguments(config, run_dir, steps=steps, validated=judged is not None)
    progress.note(f"model: {models.describe(model)}")
    progress.note(
        f"training: {len(examples):,} blocks of {config.block_size} tokens, nothing padded or dropped; "
        f"{steps:,} steps of {_tokens_a_step(config):,} tokens, learning rate {config.learning_rate:g}"
    )
    return _Prepared(tokenizer, objective, model, examples, len(features.tokens), judged)


def plan(config: PretrainConfig, *, progress: Progress) -> None:
    """Tell what a run would cost: parameters, steps and memory, as far as the config alone can tell."""
    from llmctl import architectures

    if config.model or config.resume:
        return
    parameters = architectures.count_parameters(
        config, vocab_size=config.vocab_size, block_size=config.block_size
    )
    memory = parameters * architectures.TRAINING_BYTES_PER_PARAMETER / 2**20
    progress.note(
        f"{parameters:,} parameters with {config.vocab_size:,} tokens; {memory:,.0f} MiB for weights, gradients and "
        f"AdamW; {_tokens_a_step(config):,} tokens a step on one device"
    )


def _resumed(config: PretrainConfig) -> tuple[PretrainConfig, RunDir | None]:
    """The run's own recipe and directory for ``--resume``, else the config as it is."""
    if not config.resume:
        return config, None
    run_dir = runs.open_run(config.resume, runs.runs_dir(config.runs_dir))
    return replace(resolve(PretrainConfig, run_dir.recipe, {}), runs_dir=config.runs_dir), run_dir


def _settled(config: PretrainConfig) -> PretrainConfig:
    """The config with what follows from its other fields filled in, so that the run's recipe is complete.

    A wider model wants a lower learning rate, about in proportion (arXiv:2203.03466).
    """
    from llmctl import architectures

    if config.model:
        return replace(config, learning_rate=config.learning_rate or CONTINUED_LEARNING_RATE)
    size: Any = config.model_size or architectures.DEFAULT_SIZE
    hidden = config.hidden_size or architectures.SIZES[size][0]
    return replace(
        config,
        architecture=config.architecture or architectures.DEFAULT_ARCHITECTURE,
        model_size=size,
        learning_rate=config.learning_rate or round(LEARNING_RATE_WIDTH / hidden, 6),
    )


def _fitted(config: PretrainConfig, progress: Progress) -> PretrainConfig:
    """The config with the default block size cut to what a loaded model can read; one that was asked for stays."""
    from llmctl import models

    if not config.model or config.block_size != PretrainConfig.block_size:
        return config
    positions = models.positions_of(config.model, runs_dir=runs.runs_dir(config.runs_dir))
    if positions is None or positions >= config.block_size:
        return config
    progress.note(f"block_size {positions}: the model reads no more")
    return replace(config, block_size=positions)


def _create_run(config: PretrainConfig, data: dict[str, Any]) -> RunDir:
    place = runs.runs_dir(config.runs_dir)
    model = config.model or f"{config.architecture}-{config.model_size}"
    name = config.run_name or runs.default_name(COMMAND, Path(config.data).stem, Path(model).name)
    recipe = to_yaml(
        config, header=f"Repeat this run: llmctl {COMMAND} --recipe {place / name / 'recipe.yaml'}"
    )
    environment = {**runs.describe_environment(COMMAND, config.seed), "data": data}
    return runs.create(place, name, recipe=recipe, environment=environment)


def _tokenizer(config: PretrainConfig, run_dir: RunDir, documents: Any, progress: Progress) -> Any:
    """The tokenizer that was asked for, the model's, or one trained on the training split.

    It is kept in the run, so that a resumed run uses the very same.
    """
    from llmctl import models, tokenization

    place = runs.runs_dir(config.runs_dir)
    if run_dir.tokenizer.is_dir():
        return models.load_tokenizer(str(run_dir.tokenizer), runs_dir=place)
    if source := config.tokenizer or config.model:
        tokenizer = models.load_tokenizer(source, runs_dir=place)
    else:
        assert config.architecture
        tokenizer = tokenization.train(documents, config, config.architecture, progress=progress)
    with disk.staged_directory(run_dir.tokenizer) as folder:
        tokenizer.save_pretrained(folder)
    return tokenizer


def _model(config: PretrainConfig, tokenizer: Any, progress: Progress) -> Any:
    """A new model, or the one to go on with; its positions and vocabulary are checked."""
    from llmctl import models

    if not config.model:
        return models.new_causal_lm(config, tokenizer, block_size=config.block_size, progress=progress)
    model = models.load_for_training(config.model, runs_dir=runs.runs_dir(config.runs_dir))
    models.check_vocabulary(tokenizer, model, config.model)
    models.check_positions(model, config.block_size)
    return model


def _check_amount(config: PretrainConfig, tokens: int) -> None:
    """Refuse text that is shorter than one block."""
    if tokens <= config.block_size:
        raise DataError(
            f"the training text has {tokens:,} tokens, one block takes {config.block_size:,}",
            hint=f"give more text, or --block-size {max(tokens // 8, 8)}",
        )


def _judge(run_dir: RunDir, ready: _Prepared, in_memory: Any, progress: Progress) -> dict[str, float]:
    """Read ``model/`` back from disk and score that; it must score what the model in memory scores.

    Raises:
        ModelError: it does not, so the saved model is not the trained one.
    """
    from llmctl import models

    loaded = models.load_causal_lm(str(run_dir.path), runs_dir=run_dir.path.parent)
    if ready.validation is None:
        return {}
    scores = ready.objective.evaluate(loaded.model, ready.validation, progress=progress)
    expected = ready.objective.evaluate(in_memory, ready.validation, progress=progress)["loss"]
    if not math.isclose(scores["loss"], expected, rel_tol=1e-4):
        raise ModelError(
            f"{run_dir.model}: read back from disk it scores {scores['loss']:.6f}, in memory {expected:.6f}"
        )
    return scores


def _tokens_a_step(config: Training) -> int:
    return config.per_device_train_batch_size * config.gradient_accumulation_steps * config.block_size  # type: ignore[attr-defined]


def _card(config: PretrainConfig, run_dir: RunDir, result: TrainResult, description: str) -> str:
    """The model card: what it is, what it learnt from, how it scores, how to use it."""
    scores = "\n".join(f"| {name} | {value:.4f} |" for name, value in result.scores.items())
    return f"""\
# {run_dir.name}

A causal language model trained by llmctl ({description}).

- data: `{config.data}`, {result.train_tokens:,} training tokens; fingerprints in `environment.json`
- training: {result.steps:,} steps in {result.seconds:,.0f} s; every setting in `recipe.yaml`

| validation | |
|---|---|
{scores or "| none | |"}

Scored over disjoint windows of {config.block_size} tokens. `llmctl eval {run_dir.path}` adds intervals.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{run_dir.model}")
tokenizer = AutoTokenizer.from_pretrained("{run_dir.model}")
```
"""
