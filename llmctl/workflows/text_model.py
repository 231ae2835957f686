"""The model of a pretraining: new or gone on with, and read back from disk when it was trained."""

from typing import TYPE_CHECKING, Any

from llmctl import runs
from llmctl.config import PretrainConfig
from llmctl.progress import Progress
from llmctl.purposes import MODEL_CLASSES, READS_BACKWARDS
from llmctl.workflows import train, vocabulary
from llmctl.workflows.stage import Prepared, Trained

if TYPE_CHECKING:
    from llmctl.objectives.text import TextObjective


def to_train(config: PretrainConfig, objective: "TextObjective", progress: Progress) -> Any:
    """A new model, or the one to go on with, fitted to the tokenizer.

    Raises:
        ConfigError, RunError, ModelError: it is not there, or cannot learn by the objective.
    """
    model = _loaded(config, objective, progress) if config.model else _new(config, objective, progress)
    if objective.reads_backwards:
        setattr(model.config, READS_BACKWARDS, True)
    return model


def _new(config: PretrainConfig, objective: "TextObjective", progress: Progress) -> Any:
    from llmctl import models
    from llmctl.architectures import shape_errors

    model = models.new_model(
        config, objective.tokenizer, model_class=objective.model_class, block_size=config.block_size
    )
    # an encoder-decoder keeps its family's
    if config.dropout is None and not model.config.is_encoder_decoder:
        progress.note("dropout 0: a model that learns from fresh text needs none (--dropout overrides)")
    with shape_errors(model.config.model_type):  # some shapes are refused only when a model is used
        objective.check_model(model, f"architecture {config.architecture!r}")
    return model


def _loaded(config: PretrainConfig, objective: "TextObjective", progress: Progress) -> Any:
    from llmctl import heads, models

    assert config.model
    root = runs.runs_dir(config.runs_dir)
    if objective.model_class == MODEL_CLASSES["clm"]:  # has its head, or is damaged; other heads may be new
        model = models.load_for_training(config.model, runs_dir=root)
    else:
        source = models.find_source(config.model, root)
        model = heads.load_with_new_head(source, objective.model_class, {}, progress)
    if objective.reads_backwards and not hasattr(model.config, READS_BACKWARDS):
        progress.warn(f"{config.model} has read text forwards until now")
    objective.check_model(model, config.model)
    vocabulary.fit(model, objective.tokenizer, config, progress)
    return model


def read_back(
    config: PretrainConfig, ready: Prepared, trained: Trained, progress: Progress
) -> tuple[Any, dict[str, float]]:
    """Return ``model/`` as read back from disk and its scores; they must be those of the model in memory.

    Raises:
        ModelError: it does not, so the saved model is not the trained one.
    """
    from llmctl import heads, models

    run_dir = trained.run_dir
    source = models.find_source(str(run_dir.path), run_dir.path.parent)
    loaded = heads.load_with_head(
        source,
        ready.objective.model_class,
        runs_dir=run_dir.path.parent,
        bf16=train.reads_back_in_bf16(config),
    )
    if ready.validation is None:
        return loaded.model, {}
    scores = ready.objective.evaluate(loaded.model, ready.validation, progress=progress)
    train.check_read_back(scores["loss"], ready, trained)
    return loaded.model, scores
