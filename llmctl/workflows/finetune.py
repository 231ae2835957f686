"""The story of ``llmctl finetune``: labelled examples to a model that answers, judged from disk."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl import disk, ranks, runs
from llmctl.config import Device, FinetuneConfig
from llmctl.hub import NotCachedError
from llmctl.limits import num_positions
from llmctl.metrics.names import greater_is_better
from llmctl.progress import SILENT, Progress, many
from llmctl.purposes import MODEL_CLASSES
from llmctl.runs import RunDir
from llmctl.tasks import KINDS, best_metric_of, defaults_of, find_task, metrics_of
from llmctl.workflows import asked_model, planning, train
from llmctl.workflows.asked import check_asked, check_best, check_lengths, judged_as_asked, settled, task_of
from llmctl.workflows.stage import Kept, Prepared, Stage, Trained

if TYPE_CHECKING:
    from llmctl.data.examples import Examples
    from llmctl.workflows.find_rate import RateFound
    from llmctl.workflows.judge import Judgement

# objective -> where a model comes from without the Hub, if not from the encoder builtin:minilm
_OFFLINE_MODELS = {"chat": "--model builtin:smollm2", "seq2seq": "--architecture marian"}


@dataclass(frozen=True)
class FinetuneResult:
    """What a fine-tuning left behind; ``judgement`` is of the model as it was read back from disk."""

    run: str
    model: str
    kind: str
    steps: int
    kept: Kept
    train_examples: int
    num_parameters: int
    num_trainable: int
    seconds: float
    judgement: "Judgement | None"

    def to_json(self) -> dict[str, Any]:
        judgement = self.judgement.to_json() if self.judgement else None
        return {**vars(self), "kept": asdict(self.kept), "judgement": judgement}


def check(config: FinetuneConfig) -> None:
    """As :func:`llmctl.workflows.train.check`."""
    train.check(Finetuning(), config)


def check_here(config: FinetuneConfig) -> None:
    """As :func:`llmctl.workflows.train.check_here`."""
    train.check_here(Finetuning(), config)


def settle(config: FinetuneConfig) -> FinetuneConfig:
    """As :func:`llmctl.workflows.train.settle`."""
    return train.settle(Finetuning(), config)


def run(config: FinetuneConfig, *, progress: Progress) -> FinetuneResult:
    """As :func:`llmctl.workflows.train.run`."""
    return train.run(Finetuning(), config, progress=progress)


def find_rate(config: FinetuneConfig, *, progress: Progress) -> "RateFound":
    """As :func:`llmctl.workflows.find_rate.run`."""
    from llmctl.workflows import find_rate

    return find_rate.run(Finetuning(), config, progress=progress)


class Finetuning(Stage[FinetuneConfig, FinetuneResult]):
    """Labelled examples to a trained body with a head, or to an adapter of it."""

    command = "finetune"
    config_class = FinetuneConfig

    def check_options(self, config: FinetuneConfig) -> None:
        check_asked(config)

    def check_data(self, config: FinetuneConfig) -> None:
        from llmctl.data.examples import check_examples_source

        check_examples_source(config, task_of(config))

    def settle(self, config: FinetuneConfig) -> FinetuneConfig:
        return settled(config)

    def load(self, config: FinetuneConfig, progress: Progress) -> "dict[str, Examples]":
        from llmctl.data.examples import load_examples
        from llmctl.workflows import account

        task = task_of(config)
        try:
            splits = load_examples(
                config,
                task,
                progress=progress,
                cache_dir=runs.cache_dir(),
                wanted=("train", "validation"),
            )
        except NotCachedError as error:
            model = _OFFLINE_MODELS.get(KINDS[task.kind].objective, "--model builtin:minilm")
            error.hint = f"{error.hint}; data of your own: --task {task.kind} --data FILE {model}"
            raise
        limits = {"train": config.max_train_samples, "validation": config.max_eval_samples}
        return {name: account.first_examples(found, limits[name], progress) for name, found in splits.items()}

    def fitted(self, config: FinetuneConfig, progress: Progress) -> FinetuneConfig:
        """``max_length`` as the kind has it, at most what the model can read; the languages that files name."""
        from llmctl import methods, models
        from llmctl.data.parallel import parallel_source

        if files := parallel_source(config.data or "", config, task_of(config)):
            config = replace(config, source_lang=files.languages[0], target_lang=files.languages[1])
        task = task_of(config)
        wanted = config.max_length or defaults_of(task).max_length
        if not config.model:
            asked_model.count_new(config, KINDS[task.kind].objective, _longest(config, wanted))
            return replace(config, max_length=wanted)
        root = runs.runs_dir(config.runs_dir)
        outline = models.outline(config.model, MODEL_CLASSES[KINDS[task.kind].objective], runs_dir=root)
        positions = num_positions(outline)
        check_lengths(config, positions)
        methods.check_layers(outline, config, kind=task.kind)
        most = positions and positions - methods.virtual_tokens(config)
        return replace(config, max_length=min(wanted, most or wanted))

    def name(self, config: FinetuneConfig) -> tuple[str, ...]:
        assert config.task
        data = () if find_task(config.task).data else (Path(config.data or "").stem,)
        model = config.model or f"{config.architecture or KINDS[config.task].objective}-{config.model_size}"
        return config.task, *data, Path(model.removeprefix("builtin:")).name

    def prepare(
        self, config: FinetuneConfig, run_dir: RunDir, splits: Mapping[str, Any], progress: Progress
    ) -> Prepared:
        from transformers import set_seed

        from llmctl import methods, models, training
        from llmctl.objectives import task_objective
        from llmctl.workflows import account

        task = task_of(config)
        models.hide_bars()
        slow = KINDS[task.kind].objective == "seq2seq"
        tokenizer = train.tokenizer_for(config, run_dir, splits["train"].documents, progress, slow=slow)
        objective = task_objective(task).for_training(task, config, tokenizer, splits)
        objective = judged_as_asked(config, objective)
        objective.account(splits, progress)
        account.tell_duplicates(splits, progress)
        features = {name: objective.encode(examples, progress=progress) for name, examples in splits.items()}
        for name, encoded in features.items():
            account.tell_lengths(splits[name].name, encoded, progress)
        validation = features.get("validation")
        if validation is None:
            train.warn_unvalidated(progress)
        else:
            account.tell_baseline(objective, validation, metrics_of(objective.task), progress)
            check_best(objective, validation)

        set_seed(config.seed)
        model = _model(config, objective, tokenizer, progress)
        progress.note(f"model: {models.describe(model)}")
        objective.prepare(model)
        model = methods.apply(model, config, kind=task.kind, progress=progress)
        examples = objective.training_set(features["train"])
        if len(examples) != len(features["train"]):
            progress.note(
                f"packed: {many(len(features['train']), 'conversation')} in {many(len(examples), 'row')}"
            )
        complete: Any = config  # settled: nothing that a plan needs is left out
        plan = self._plan(complete, len(examples), best_metric_of(objective.task))
        progress.note(
            f"training: {many(plan.steps, 'step')} of {training.batch_told(complete)}; "
            f"{config.optim}, learning rate {config.learning_rate:g}, {config.lr_scheduler_type}"
        )
        return Prepared(tokenizer, objective, model, examples, validation, plan)

    def _plan(self, config: Any, num_examples: int, best: str) -> Any:
        from llmctl import training

        steps, epoch = (
            training.total_steps(config, num_examples),
            training.steps_an_epoch(config, num_examples),
        )
        a_step = training.examples_a_step(config)
        return training.Plan(
            steps=steps,
            epoch_steps=epoch,
            eval_steps=min(steps, epoch),
            best=best,
            greater_is_better=greater_is_better(best),
            rate="samples",
            amount=a_step,
            last_amount=num_examples - (epoch - 1) * a_step,
            patience=config.early_stopping_patience,
        )

    def finish(
        self, config: FinetuneConfig, ready: Prepared, trained: Trained, progress: Progress
    ) -> FinetuneResult:
        from llmctl import methods
        from llmctl.workflows.card import task_card

        judgement = None
        if ready.validation is not None:
            judgement = _judge(config, ready, trained, progress)
        num_trainable, num_parameters = methods.count_parameters(trained.model)
        result = FinetuneResult(
            run=str(trained.run_dir.path),
            model=str(trained.run_dir.model),
            kind=task_of(config).kind,
            steps=trained.trainer.state.global_step,
            kept=trained.kept,
            train_examples=len(ready.examples.examples),
            num_parameters=num_parameters,
            num_trainable=num_trainable,
            judgement=judgement,
            seconds=trained.seconds,
        )
        if ranks.is_first():
            disk.write_file(trained.run_dir.card, task_card(config, trained.run_dir, result, ready.objective))
        return result


def plan(config: FinetuneConfig, *, device: Device, progress: Progress) -> dict[str, Any]:
    """Tell what a run would take, as far as the model's config tells it, and give the figures.

    Returns:
        As :func:`llmctl.workflows.planning.plan`; empty where the model is not at hand.
    """
    from llmctl import methods
    from llmctl.training.blank import Blank

    task = task_of(config)
    objective, usual = KINDS[task.kind].objective, defaults_of(task)
    length = config.max_length or usual.max_length
    if config.model:
        make = planning.make_loaded(config, objective, progress)
        if make is None:
            return {}
        length = planning.readable(config, length)
    else:
        make = planning.make_new(config, objective, _longest(config, length))

    if config.method in ("prefix", "prompt") or config.load_in_8bit or config.load_in_4bit:
        progress.note(
            "memory and time are planned for --method full, lora, ffn and head, by weights in float32"
        )
        return {}

    def learning(dtype: Any) -> Any:
        return methods.apply(make(dtype), config, kind=task.kind, progress=SILENT)

    assert config.per_device_train_batch_size  # settled
    batch = Blank(
        objective,
        config.per_device_train_batch_size,
        length,
        written=config.max_target_length or usual.max_target_length or 0,
    )
    return planning.plan(config, learning, batch, length=length, device=device, progress=progress)


def _longest(config: FinetuneConfig, max_length: int) -> int:
    """The longest text that a new model reads or writes, in tokens."""
    return max(max_length, config.max_target_length or 0)


def _model(config: FinetuneConfig, objective: Any, tokenizer: Any, progress: Progress) -> Any:
    """A trained body with a head for the objective, or a new model."""
    from llmctl import heads, methods, models

    assert config.max_length
    if not config.model:
        settings = objective.model_settings()
        longest = _longest(config, config.max_length)
        return models.new_model(
            config, tokenizer, model_class=objective.model_class, block_size=longest, **settings
        )
    found = models.find_source(config.model, runs.runs_dir(config.runs_dir))
    settings = {**objective.model_settings(), **methods.loading(config)}
    model = heads.load_with_new_head(found, objective.model_class, settings, progress)
    models.check_vocabulary(tokenizer, model, config.model)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id or tokenizer.eos_token_id
    return model


def _judge(config: FinetuneConfig, ready: Prepared, trained: Trained, progress: Progress) -> "Judgement":
    """Read ``model/`` back from disk and judge that; it must score what the model in memory scored.

    Raises:
        ModelError: it does not, so the saved model is not the trained one.
    """
    from llmctl import heads, models
    from llmctl.workflows.judge import judge

    run_dir = trained.run_dir
    objective: Any = ready.objective
    loaded = heads.load_with_head(
        models.find_source(str(run_dir.path), run_dir.path.parent),
        objective.model_class,
        runs_dir=run_dir.path.parent,
        bf16=train.reads_back_in_bf16(config),
    )
    judgement = judge(
        objective,
        loaded.model,
        ready.validation,
        split="validation",
        name=str(run_dir.path),
        metrics=metrics_of(objective.task),
        num_resamples=config.num_resamples,
        seed=config.seed,
        path=run_dir.eval / "validation.json",
        progress=progress,
    )
    if judgement.loss is not None:
        train.check_read_back(judgement.loss, ready, trained)
    return judgement
