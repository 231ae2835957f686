"""The story that pretraining and fine-tuning share: from a config to a run whose model was read back and judged."""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from llmctl import disk, environment, handover, ranks, runs
from llmctl.config import FinetuneConfig, ModelShape, PretrainConfig, Training
from llmctl.errors import ConfigError, LlmctlError, ModelError
from llmctl.progress import SILENT, Progress, many
from llmctl.recipe import to_yaml
from llmctl.runs import RunDir
from llmctl.workflows import asked_model, asked_optimiser, asked_processes, asked_strategy, going_on, resuming
from llmctl.workflows.stage import ConfigT, Prepared, ResultT, Stage, Trained

if TYPE_CHECKING:
    from llmctl.data.documents import Documents

# packages behind report_to
TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}


def check(stage: Stage[ConfigT, Any], config: ConfigT) -> None:
    """Find what is wrong with what is asked for, without importing the heavy libraries.

    Raises:
        ConfigError, RunError: naming the option or path.
    """
    from importlib.util import find_spec

    if run_dir := resuming.find(stage.command, config):
        runs.check_idle(run_dir)
        config = resuming.take_up(stage.command, config)[0]
    with resuming.told_where_from(run_dir) if run_dir else nullcontext():
        stage.check_options(config)
    asked_processes.check(config)
    _settled(stage, config)
    asked_optimiser.check(config)
    asked_strategy.check(config)
    if run_dir:  # what follows was settled when it began
        return
    if config.model and (given := shape_given(config)):
        raise ConfigError(
            f"{', '.join(given)}: asked of a new model, but --model {config.model} has its own",
            hint="leave them out, or leave --model out to start from scratch",
        )
    asked_model.check_tokenizer(config)
    asked_model.check_kernels(config)
    for tracker in config.report_to:
        if tracker in TRACKERS and find_spec(TRACKERS[tracker]) is None:
            raise ConfigError(
                f"report_to: {tracker} is not installed", hint=f"pip install {TRACKERS[tracker]}"
            )
    if config.run_name:
        runs.check_new(runs.runs_dir(config.runs_dir), config.run_name)


def check_here(stage: Stage[ConfigT, Any], config: ConfigT) -> None:
    """Find what is not on this machine, GPUs or data; a training may be planned without it.

    Raises:
        ConfigError, RunError: naming the option or path.
    """
    run_dir = resuming.find(stage.command, config)
    config = resuming.take_up(stage.command, config)[0]
    asked_strategy.check_here(config)
    with resuming.told_where_from(run_dir) if run_dir else nullcontext():
        stage.check_data(config)


def settle(stage: Stage[ConfigT, Any], config: ConfigT) -> ConfigT:
    """The config as its run will have it, as far as that can be told before data and model are seen."""
    return _settled(stage, resuming.take_up(stage.command, config)[0])


def _settled(stage: Stage[ConfigT, Any], config: ConfigT) -> ConfigT:
    fixed = config.asks_for("per_device_train_batch_size")
    return asked_processes.with_global_batch(stage.settle(config), fixed=fixed)


def shape_given(config: ModelShape) -> list[str]:
    """The fields of a new model's shape that are asked for."""
    return [item.name for item in fields(ModelShape) if getattr(config, item.name) is not None]


def run(stage: Stage[ConfigT, ResultT], config: ConfigT, *, progress: Progress) -> ResultT:
    """Train a model and leave a run behind.

    Raises:
        ConfigError, RunError, DataError, ModelError: as :func:`check`, and what only the data or model can tell;
            a new run's directory is then gone again.
        llmctl.training.StoppedError: a signal or the time limit ended the training early, with a checkpoint.
    """
    session = began = time.monotonic()

    def taken_up() -> tuple[ConfigT, resuming.Resumed | None]:
        check(stage, config)
        check_here(stage, config)
        return resuming.take_up(stage.command, config)

    asked = config
    config, resumed = ranks.share(taken_up)
    began -= resumed.run.seconds() if resumed else 0.0
    config = _settled(stage, config)
    if not ranks.is_first():  # loads the libraries while rank 0 loads them and the data
        from llmctl import training
    with disk.failures_told():
        config, splits = ranks.first_then_others(lambda: load(stage, config, progress))
        described = {name: split.describe() for name, split in splits.items()}
        if resumed:
            going_on.check_data(resumed, described, progress)
        from llmctl import training  # noqa: F401  # seconds, in which an interruption should find no run yet

        run_dir = resumed.run if resumed else ranks.share(lambda: _create_run(stage, config, described))
        if ranks.number("LOCAL_RANK") == 0:
            handover.leave_run(run_dir)
        progress.note(f"run: {run_dir.path}" + (" (resumed)" if resumed else ""))
        with runs.locked(run_dir) if ranks.is_first() else nullcontext():
            if resumed:
                # another command may have finished it meanwhile
                ranks.share(lambda: resuming.find(stage.command, asked))
            times = {"session": session, "began": began}
            return _train(stage, config, run_dir, splits, progress, resumed=resumed, **times)


def _train(
    stage: Stage[ConfigT, ResultT],
    config: ConfigT,
    run_dir: RunDir,
    splits: Mapping[str, Any],
    progress: Progress,
    *,
    resumed: resuming.Resumed | None,
    session: float,
    began: float,
) -> ResultT:
    from llmctl import models, training

    def begin() -> "training.Checkpoint | None":
        training.clean_up(run_dir)
        checkpoint = training.newest_checkpoint(run_dir, progress)
        if resumed:
            going_on.go_on_from(resumed, checkpoint, ranks.count(), progress)
        return checkpoint

    new = resumed is None and ranks.is_first()
    with _removed_unless_it_ends_well(run_dir) if new else nullcontext():
        checkpoint = ranks.share(begin)
        config, ready = _prepare(stage, config, run_dir, splits, progress)
    while True:
        try:
            trainer = training.fit(
                config,
                run_dir,
                ready.plan,
                model=ready.model,
                objective=ready.objective,
                training=ready.examples,
                validation=ready.validation,
                command=stage.command,
                began=began,
                ends=session + config.time_limit if config.time_limit else None,
                checkpoint=checkpoint,
                progress=progress,
                sample=ready.sample,
            )
            break
        except training.OutOfMemoryError as error:
            config = _with_smaller_batches(config, error, progress)
            del ready
        training.free_memory()  # only now does nothing hold the model any more
        checkpoint = training.newest_checkpoint(run_dir, progress)
        run_dir.forget_events(checkpoint.metrics_bytes if checkpoint else 0)
        config, ready = _prepare(stage, config, run_dir, splits, progress)
    model = trainer.accelerator.unwrap_model(trainer.model)
    weights = training.whole_weights(trainer)  # all ranks give their parts
    ranks.share(lambda: models.save(model, ready.tokenizer, run_dir.model, weights=weights))
    trainer.put_down()
    result = stage.finish(config, ready, Trained(run_dir, model, trainer, began), progress)
    if ranks.is_first():
        run_dir.seal()
        # The very last: a run that was killed before has either its model or what it can be resumed from.
        if not config.keep_checkpoints:
            freed = training.remove_checkpoints(run_dir)
            progress.note(f"checkpoints removed, {freed / 1e6:,.1f} MB freed (--keep-checkpoints keeps them)")
    return result


@contextmanager
def _removed_unless_it_ends_well(run_dir: RunDir) -> Iterator[None]:
    """An interruption, too, leaves nothing half made."""
    try:
        yield
    except BaseException:
        shutil.rmtree(run_dir.path, ignore_errors=True)
        raise


def _prepare(
    stage: Stage[ConfigT, Any],
    config: ConfigT,
    run_dir: RunDir,
    splits: Mapping[str, Any],
    progress: Progress,
) -> tuple[ConfigT, Prepared]:
    """The config that the run's recipe then has, and what is needed to train by it."""
    from llmctl import training

    ready = ranks.first_then_others(lambda: stage.prepare(config, run_dir, splits, progress))
    if config.model and (name := training.bad_weight(ready.model)):
        raise ModelError(
            f"{config.model}: its weight {name} holds NaN or infinity: nothing can be learnt from it",
            hint="the file is damaged, or its training went astray: take another of its checkpoints",
        )
    config = training.for_this_machine(config, ready.plan)
    progress.note(f"hardware: {training.describe(config)}")
    if ready.validation is not None:
        asked_optimiser.check_saves(config)
    training.make_arguments(config, run_dir, ready.plan, validated=ready.validation is not None)
    training.check_space(config, run_dir, ready.model, progress)
    if ranks.is_first():  # only now: a run that cannot go on with what is asked for keeps its recipe
        disk.write_file(run_dir.recipe, _recipe(stage, config, run_dir))
    return config, ready


def _with_smaller_batches(config: Any, error: LlmctlError, progress: Progress) -> Any:
    """The config with smaller batches and as many more of them in a step.

    Raises:
        LlmctlError: ``error``, where that is not asked for or batches are of one example.
    """
    batch = config.per_device_train_batch_size
    if not config.auto_batch_size or batch == 1:
        raise error
    smaller = next(size for size in range(batch // 2, 0, -1) if batch % size == 0)
    accumulation = config.gradient_accumulation_steps * batch // smaller
    progress.warn(
        f"{error.message}: going on with batches of {smaller}, {accumulation} of them a step "
        f"(--per-device-train-batch-size {smaller} --gradient-accumulation-steps {accumulation})"
    )
    return replace(config, per_device_train_batch_size=smaller, gradient_accumulation_steps=accumulation)


def load(
    stage: Stage[ConfigT, Any], config: ConfigT, progress: Progress
) -> tuple[ConfigT, Mapping[str, Any]]:
    """The settled config, completed by what follows from the model, and the splits."""
    if config.bf16 or config.tf32 or config.use_liger_kernel:
        asked_model.check_hardware(config)
    asked_optimiser.check_gpu(config)
    asked_strategy.check_gpu(config)
    # First what needs none of the heavy libraries: bad data is answered in an instant.
    splits = stage.load(config, progress)
    return stage.fitted(config, progress), splits


def _create_run(stage: Stage[ConfigT, Any], config: ConfigT, data: dict[str, Any]) -> RunDir:
    place = runs.runs_dir(config.runs_dir)
    name = config.run_name or runs.default_name(stage.command, *stage.name(config))
    made_with = {**environment.describe(stage.command, config.seed), "data": data}
    recipe = _recipe(stage, config, RunDir(place / name))
    return runs.create(place, name, recipe=recipe, environment=made_with)


def _recipe(stage: Stage[ConfigT, Any], config: ConfigT, run_dir: RunDir) -> str:
    return to_yaml(config, header=f"Repeat this run: llmctl {stage.command} --recipe {run_dir.recipe}")


def tokenizer_for(
    config: PretrainConfig | FinetuneConfig,
    run_dir: RunDir,
    texts: "Callable[[], Documents]",
    progress: Progress,
    *,
    slow: bool = False,
    further: Sequence[str] = (),
) -> Any:
    """The tokenizer that was asked for, the model's, or one trained on the training split.

    It is kept in the run, so that a resumed run uses the very same.

    Args:
        texts: gives what a new tokenizer learns from.
        slow: as for ``models.load_tokenizer``.
        further: tokens that are never split, which one that was not trained here shall have too.
    """
    from llmctl import models, tokenization

    place = runs.runs_dir(config.runs_dir)
    if run_dir.tokenizer.is_dir():
        return models.load_tokenizer(str(run_dir.tokenizer), runs_dir=place, slow=slow)
    if source := config.tokenizer or config.model:
        tokenizer = models.load_tokenizer(source, runs_dir=place, slow=slow)
        if added := tokenizer.add_tokens(list(further), special_tokens=True):
            progress.note(
                f"{source}: {many(added, 'token')} added to its tokenizer, which has {len(tokenizer):,} now"
            )
    else:
        assert config.architecture
        tokenizer = tokenization.train(texts(), config, config.architecture, progress=progress)
    with disk.staged_directory(run_dir.tokenizer) as folder:
        tokenizer.save_pretrained(folder)
    return tokenizer


def warn_unvalidated(progress: Progress) -> None:
    """Tell what it means that there is no validation split."""
    progress.warn("no validation split: nothing is evaluated, and the last model is kept, not the best")


def reads_back_in_bf16(config: Training) -> bool:
    """Whether ``model/`` is read back as it was computed with, in bfloat16.

    In float32 a model that was shared out may not fit on one device.
    """
    return bool(config.bf16) and config.strategy != "ddp"


def check_read_back(loss: float, ready: Prepared, trained: Trained) -> None:
    """Hold the validation loss of ``model/``, as it was read back from disk, to that of the model in memory.

    Raises:
        ModelError: they differ, so the saved model is not the trained one.
    """
    # Training evaluates in the precision that it computes in, here it is float32, or bfloat16 without autocast.
    tolerance = 1e-2 if trained.trainer.args.bf16 else 1e-4
    expected = _loss_in_memory(ready, trained)
    if not math.isclose(loss, expected, rel_tol=tolerance, abs_tol=1e-6):
        raise ModelError(
            f"{trained.run_dir.model}: read back from disk its loss is {loss:.6f}, in memory {expected:.6f}"
        )


def _loss_in_memory(ready: Prepared, trained: Trained) -> float:
    """As training logged it of the step whose weights are kept, else computed."""
    for event in trained.trainer.state.log_history:
        if event["step"] == trained.kept.step and "eval_loss" in event:
            return float(event["eval_loss"])
    return ready.objective.evaluate(trained.model, ready.validation, progress=SILENT)["loss"]
