"""The story of ``llmctl pretrain``: text to a language model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl import disk, ranks, runs
from llmctl.config import Device, PretrainConfig
from llmctl.data.mixture import check_text, ingredients
from llmctl.errors import ConfigError, DataError
from llmctl.limits import check_length
from llmctl.progress import Progress
from llmctl.runs import RunDir
from llmctl.workflows import (
    asked_model,
    asked_optimiser,
    asked_strategy,
    mixing,
    planning,
    streaming,
    text_model,
    train,
    vocabulary,
)
from llmctl.workflows.card import text_card
from llmctl.workflows.stage import Kept, Prepared, Stage, Trained

if TYPE_CHECKING:
    from llmctl.data.load import Documents
    from llmctl.objectives.text import TextObjective
    from llmctl.workflows.find_rate import RateFound

# Peak learning rate of a new model, measured at a width of 192. AdamW's falls with the width (arXiv:2203.03466), that
# of Muon, whose updates grow with the square root of the width, with that root. Of families that normalise behind,
# measured with BERT at widths of 128 and 256.
LEARNING_RATE_WIDTH = 0.6
LEARNING_RATE_MUON = 0.14
LEARNING_RATE_MUON_POST_NORM = 0.05
CONTINUED_LEARNING_RATE = 1e-4  # of a model that has learnt already
# options that not every objective knows
_OPTIONS_OF_OBJECTIVES = {
    "packing": ("clm", "rclm", "mlm", "seq2seq"),
    "intra_document_masking": ("clm", "rclm"),
    "mlm_probability": ("mlm", "mlm+nsp", "mlm+sop", "seq2seq"),
    "masking": ("mlm", "mlm+nsp", "mlm+sop"),
    "mean_span_length": ("seq2seq",),
}


@dataclass(frozen=True)
class TrainResult:
    """What a training left behind.

    ``scores`` are those of the model as it was read back from disk: ``loss`` in nats a token, ``perplexity``,
    ``bits_per_byte``; empty without a validation split. ``sources`` tells what was seen of each, where there are
    several; ``bad_shards`` how many were skipped.
    """

    run: str
    model: str
    objective: str
    steps: int
    kept: Kept
    train_tokens: int  # of the training set; of a stream those that were seen
    num_parameters: int
    seconds: float
    scores: dict[str, float]
    sources: tuple[mixing.Seen, ...] = ()
    bad_shards: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check(config: PretrainConfig) -> None:
    """As :func:`llmctl.workflows.train.check`."""
    train.check(Pretraining(), config)


def check_here(config: PretrainConfig) -> None:
    """As :func:`llmctl.workflows.train.check_here`."""
    train.check_here(Pretraining(), config)


def settle(config: PretrainConfig) -> PretrainConfig:
    """As :func:`llmctl.workflows.train.settle`."""
    return train.settle(Pretraining(), config)


def run(config: PretrainConfig, *, progress: Progress) -> TrainResult:
    """As :func:`llmctl.workflows.train.run`."""
    return train.run(Pretraining(), config, progress=progress)


def find_rate(config: PretrainConfig, *, progress: Progress) -> "RateFound":
    """As :func:`llmctl.workflows.find_rate.run`."""
    from llmctl.workflows import find_rate

    return find_rate.run(Pretraining(), config, progress=progress)


class Pretraining(Stage[PretrainConfig, TrainResult]):
    """Documents, packed into blocks, to a model that is new or goes on from another."""

    command = "pretrain"
    config_class = PretrainConfig

    def check_data(self, config: PretrainConfig) -> None:
        check_text(config)
        streaming.check_end(config)

    def check_options(self, config: PretrainConfig) -> None:
        from llmctl.architectures import DEFAULT_ARCHITECTURES

        streaming.check(config)
        _check_options(config)
        if config.model:
            positions = asked_model.check_loaded(config, config.objective)
            check_length("block_size", _block_size_asked(config), positions)
        else:
            architecture = config.architecture or DEFAULT_ARCHITECTURES[config.objective]
            asked_model.check_new(config, config.objective, architecture, block_size=config.block_size)

    def settle(self, config: PretrainConfig) -> PretrainConfig:
        from llmctl.architectures import DEFAULT_ARCHITECTURES
        from llmctl.shapes import DEFAULT_SIZE, POST_NORM, SIZES

        config = replace(config, lr_scheduler_type=asked_optimiser.schedule_of(config))
        if config.model:
            optim = config.optim or "adamw_torch_fused"
            rate = asked_optimiser.rate_of(optim, CONTINUED_LEARNING_RATE)
            return replace(config, optim=optim, learning_rate=config.learning_rate or rate)
        size: Any = config.model_size or DEFAULT_SIZE
        hidden = config.hidden_size or SIZES[size][0]
        optim = config.optim or asked_strategy.default_optimiser(config, "muon")
        architecture = config.architecture or DEFAULT_ARCHITECTURES[config.objective]
        muon = LEARNING_RATE_MUON_POST_NORM if architecture in POST_NORM else LEARNING_RATE_MUON
        adamw = LEARNING_RATE_WIDTH / hidden
        rate = muon / hidden**0.5 if optim == "muon" else asked_optimiser.rate_of(optim, adamw)
        return replace(
            config,
            architecture=architecture,
            model_size=size,
            optim=optim,
            learning_rate=config.learning_rate or round(rate, 6),
        )

    def load(self, config: PretrainConfig, progress: Progress) -> "dict[str, Documents]":
        from llmctl.data.load import load_streamed, load_text

        load: Any = load_streamed if config.streaming else load_text
        found: dict[str, Documents] = load(config, progress=progress, cache_dir=runs.cache_dir())
        return found

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
        data = "+".join(Path(source).stem for source, _ in ingredients(config.data))
        return data, Path(model).name

    def prepare(
        self, config: PretrainConfig, run_dir: RunDir, splits: Mapping[str, Any], progress: Progress
    ) -> Prepared:
        from transformers import set_seed

        from llmctl import models
        from llmctl.objectives import text_objective
        from llmctl.workflows import steps

        models.hide_bars()
        text = splits["train"]
        tokenizer = train.tokenizer_for(
            config,
            run_dir,
            lambda: text.start if config.streaming else text,
            progress,
            further=config.special_tokens,
        )
        vocabulary.tell_unused(config, progress)
        objective = text_objective(config, tokenizer)
        objective.check_tokenizer()
        examples, measured = _examples(config, objective, text, run_dir, progress)
        validation = splits.get("validation")
        judged = objective.encode(validation, progress=progress) if validation else None
        if judged is None:
            train.warn_unvalidated(progress)
        set_seed(config.seed)
        model = text_model.to_train(config, objective, progress)
        progress.note(f"model: {models.describe(model)}")
        usual: Any = self.settle(replace(config, learning_rate=None)).learning_rate
        plan = steps.plan_steps(config, measured, usual, progress)
        mixing.tell(config, examples, plan.steps, progress)
        sample = partial(objective.sample, features=judged) if judged else None
        apart = mixing.by_source(validation, judged)
        return Prepared(tokenizer, objective, model, examples, judged, plan, sample, apart, text.lost)

    def finish(
        self, config: PretrainConfig, ready: Prepared, trained: Trained, progress: Progress
    ) -> TrainResult:
        from llmctl import models

        model, scores = text_model.read_back(config, ready, trained, progress)
        if config.streaming:
            streaming.tell_seen(ready.examples, ready.lost, progress)
        steps = trained.trainer.state.global_step
        result = TrainResult(
            run=str(trained.run_dir.path),
            model=str(trained.run_dir.model),
            objective=config.objective,
            steps=steps,
            kept=trained.kept,
            train_tokens=ready.examples.num_tokens,
            num_parameters=trained.model.num_parameters(),
            scores=scores,
            seconds=trained.seconds,
            sources=mixing.judged(mixing.seen(config, ready.examples, steps), ready, model),
            bad_shards=len(ready.lost),
        )
        if ranks.is_first():
            described = models.describe(trained.model)
            card = text_card(config, trained.run_dir, result, ready.objective, described)
            disk.write_file(trained.run_dir.card, card)
        return result


def plan(config: PretrainConfig, *, device: Device, progress: Progress) -> dict[str, Any]:
    """Tell what a run would take, as far as the config alone can tell, and give the figures.

    Returns:
        As :func:`llmctl.workflows.planning.plan`; empty where the model is not at hand.
    """
    from llmctl.training.blank import Blank

    if config.model:
        make = planning.make_loaded(config, config.objective, progress)
        if make is None:
            return {}
        config = replace(config, block_size=planning.readable(config, config.block_size))
    else:
        make = planning.make_new(config, config.objective, config.block_size)
    read, written = config.block_size, 0
    if config.objective == "seq2seq":
        read, written = planning.lengths_with_gaps(config)
    batch = Blank(
        config.objective,
        config.per_device_train_batch_size,
        read,
        written=written,
        hidden=config.mlm_probability,
    )
    return planning.plan(config, make, batch, length=config.block_size, device=device, progress=progress)


def _check_options(config: PretrainConfig) -> None:
    """Refuse options that contradict each other, or that the objective would not look at.

    Raises:
        ConfigError: naming those that would.
    """
    if config.max_tokens and config.max_steps:
        raise ConfigError(
            "--max-tokens and --max-steps both say where the training ends",
            hint="leave one out (--max-steps null, where a recipe has it)",
        )
    for name, objectives in _OPTIONS_OF_OBJECTIVES.items():
        if config.objective not in objectives and getattr(config, name) != getattr(PretrainConfig, name):
            raise ConfigError(
                f"--{name.replace('_', '-')} is not for objective {config.objective}",
                hint=f"leave it out, or --objective {' or '.join(objectives)}",
            )


def _block_size_asked(config: PretrainConfig) -> int | None:
    """``None`` for the default, which gives way to what a loaded model can read."""
    return None if config.block_size == PretrainConfig.block_size else config.block_size


def _examples(
    config: PretrainConfig, objective: "TextObjective", text: Any, run_dir: RunDir, progress: Progress
) -> tuple[Any, Any]:
    """The training examples, and what tells their number and size: they do themselves, but for a stream's."""
    if config.streaming:
        return streaming.training_set(config, objective, text, run_dir, progress)
    examples = mixing.training_set(config, objective, text, progress)
    _check_amount(config, examples.num_tokens)
    return examples, examples


def _check_amount(config: PretrainConfig, tokens: int) -> None:
    """Refuse text that is shorter than one block."""
    if tokens <= config.block_size:
        raise DataError(
            f"the training text has {tokens:,} tokens, one block takes {config.block_size:,}",
            hint=f"give more text, or --block-size {max(tokens // 8, 8)}",
        )
