"""The story of ``llmctl pretrain``: text to a causal language model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl import disk, runs
from llmctl.config import PretrainConfig, Training
from llmctl.errors import DataError
from llmctl.limits import check_length
from llmctl.progress import Progress, many
from llmctl.runs import RunDir
from llmctl.workflows import asked_model, train
from llmctl.workflows.train import Kept, Prepared, Stage, Trained

if TYPE_CHECKING:
    from llmctl.data.load import Documents

# peak learning rates: of a new model, times its width; of a model that has learnt already
LEARNING_RATE_WIDTH = 0.6
CONTINUED_LEARNING_RATE = 1e-4
EVALUATIONS_A_RUN = 5


@dataclass(frozen=True)
class TrainResult:
    """What a training left behind.

    ``scores`` are those of the model as it was read back from disk: ``loss`` in nats a token, ``perplexity``,
    ``bits_per_byte``; empty without a validation split.
    """

    run: str
    model: str
    steps: int
    kept: Kept
    train_tokens: int
    num_parameters: int
    seconds: float
    scores: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check(config: PretrainConfig) -> None:
    """As :func:`llmctl.workflows.train.check`."""
    train.check(Pretraining(), config)


def settle(config: PretrainConfig) -> PretrainConfig:
    """As :func:`llmctl.workflows.train.settle`."""
    return train.settle(Pretraining(), config)


def run(config: PretrainConfig, *, progress: Progress) -> TrainResult:
    """As :func:`llmctl.workflows.train.run`."""
    return train.run(Pretraining(), config, progress=progress)


class Pretraining(Stage[PretrainConfig, TrainResult]):
    """Documents, packed into blocks, to a model that is new or goes on from another."""

    command = "pretrain"
    config_class = PretrainConfig

    def check_data(self, config: PretrainConfig) -> None:
        from llmctl.architectures import DEFAULT_ARCHITECTURE
        from llmctl.data.sources import check_source

        check_source(config)
        if config.model:
            positions = asked_model.check_loaded(config, config.objective)
            check_length("block_size", _block_size_asked(config), positions)
        else:
            architecture = config.architecture or DEFAULT_ARCHITECTURE
            asked_model.check_new(config, config.objective, architecture, block_size=config.block_size)

    def settle(self, config: PretrainConfig) -> PretrainConfig:
        """A wider model wants a lower learning rate, about in proportion (arXiv:2203.03466)."""
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

    def load(self, config: PretrainConfig, progress: Progress) -> "dict[str, Documents]":
        from llmctl.data.load import load_text

        return load_text(config, progress=progress, cache_dir=runs.cache_dir())

    def fitted(self, config: PretrainConfig, progress: Progress) -> PretrainConfig:
        """The default block size is cut to what a loaded model can read; one that was asked for stays."""
        from llmctl import models

        if not config.model:
            asked_model.count_new(config, config.objective, config.block_size)
            return config
        positions = models.positions_of(config.model, runs_dir=runs.runs_dir(config.runs_dir))
        check_length("block_size", _block_size_asked(config), positions)
        if positions is None or positions >= config.block_size:
            return config
        progress.note(f"block_size {positions}: the model reads no more")
        return replace(config, block_size=positions)

    def name(self, config: PretrainConfig) -> tuple[str, ...]:
        model = config.model or f"{config.architecture}-{config.model_size}"
        return Path(config.data).stem, Path(model).name

    def prepare(
        self, config: PretrainConfig, run_dir: RunDir, splits: Mapping[str, Any], progress: Progress
    ) -> Prepared:
        from transformers import set_seed

        from llmctl import models, training
        from llmctl.objectives import make_objective

        models.hide_bars()
        tokenizer = train.tokenizer_for(config, run_dir, lambda: splits["train"], progress)
        objective = make_objective(config, tokenizer)
        features = objective.encode(splits["train"], progress=progress)
        validation = splits.get("validation")
        judged = objective.encode(validation, progress=progress) if validation else None
        if judged is None:
            train.warn_unvalidated(progress)
        examples = objective.training_set(features)
        _check_amount(config, len(features.tokens))

        set_seed(config.seed)
        model = _model(config, tokenizer, progress)
        steps = training.total_steps(config, len(examples))
        progress.note(f"model: {models.describe(model)}")
        progress.note(
            f"training: {many(len(examples), 'block')} of {config.block_size} tokens, nothing padded or dropped; "
            f"{many(steps, 'step')} of {_tokens_a_step(config):,} tokens, learning rate {config.learning_rate:g}"
        )
        plan = training.Plan(
            steps=steps,
            eval_steps=max(1, steps // EVALUATIONS_A_RUN),
            best="loss",
            greater_is_better=False,
            rate="tokens",
            amount=_tokens_a_step(config) * training.num_processes(),
        )
        return Prepared(tokenizer, objective, model, examples, judged, plan)

    def finish(
        self, config: PretrainConfig, ready: Prepared, trained: Trained, progress: Progress
    ) -> TrainResult:
        from llmctl import models

        result = TrainResult(
            run=str(trained.run_dir.path),
            model=str(trained.run_dir.model),
            steps=trained.trainer.state.global_step,
            kept=trained.kept,
            train_tokens=len(ready.examples.tokens),
            num_parameters=trained.model.num_parameters(),
            scores=_judge(ready, trained, progress),
            seconds=trained.seconds,
        )
        disk.write_file(
            trained.run_dir.card, _card(config, trained.run_dir, result, models.describe(trained.model))
        )
        return result


def plan(config: PretrainConfig, *, progress: Progress) -> dict[str, int]:
    """Tell what a run would cost, as far as the config alone can tell, and give the figures.

    Returns:
        ``parameters``, ``memory_bytes`` of weights, gradients and optimiser, ``tokens_a_step``; empty where the model
        is not a new one.
    """
    if config.model:
        return {}
    parameters = asked_model.count_new(config, config.objective, config.block_size)
    memory, tokens = asked_model.memory_bytes(parameters), _tokens_a_step(config)
    progress.note(
        f"{parameters:,} parameters with {config.vocab_size:,} tokens; {asked_model.cost(parameters)}; "
        f"{tokens:,} tokens a step on one device"
    )
    return {"parameters": parameters, "memory_bytes": memory, "tokens_a_step": tokens}


def _block_size_asked(config: PretrainConfig) -> int | None:
    """``None`` for the default, which gives way to what a loaded model can read."""
    return None if config.block_size == PretrainConfig.block_size else config.block_size


def _model(config: PretrainConfig, tokenizer: Any, progress: Progress) -> Any:
    """A new model, or the one to go on with, whose vocabulary is checked."""
    from llmctl import models

    if not config.model:
        return models.new_causal_lm(config, tokenizer, block_size=config.block_size, progress=progress)
    model = models.load_for_training(config.model, runs_dir=runs.runs_dir(config.runs_dir))
    models.check_vocabulary(tokenizer, model, config.model)
    return model


def _check_amount(config: PretrainConfig, tokens: int) -> None:
    """Refuse text that is shorter than one block."""
    if tokens <= config.block_size:
        raise DataError(
            f"the training text has {tokens:,} tokens, one block takes {config.block_size:,}",
            hint=f"give more text, or --block-size {max(tokens // 8, 8)}",
        )


def _judge(ready: Prepared, trained: Trained, progress: Progress) -> dict[str, float]:
    """Read ``model/`` back from disk and score that; it must score what the model in memory scores.

    Raises:
        ModelError: it does not, so the saved model is not the trained one.
    """
    from llmctl import models

    run_dir = trained.run_dir
    loaded = models.load_causal_lm(str(run_dir.path), runs_dir=run_dir.path.parent)
    if ready.validation is None:
        return {}
    scores = ready.objective.evaluate(loaded.model, ready.validation, progress=progress)
    train.check_read_back(scores["loss"], ready, trained)
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
- training: {many(result.steps, "step")} in {result.seconds:,.0f} s; every setting in `recipe.yaml`

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
