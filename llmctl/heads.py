"""Models with a head for a task: a new head on a trained body, or one that was trained already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmctl import adapters, models
from llmctl.errors import ConfigError, ModelError
from llmctl.models import LoadedModel, Source
from llmctl.progress import Progress
from llmctl.purposes import MODEL_CLASSES, ability, check_saved
from llmctl.tasks import KINDS

# Task heads by what a checkpoint's config calls its class, and the kind of problem each is for.
KINDS_OF_HEADS = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "ner",
    "ForQuestionAnswering": "qa",
    "ForConditionalGeneration": "summarization",
    "MTModel": "translation",
    "ForCausalLM": "chat",
    "LMHeadModel": "chat",
}
_FILLERS = ("ForMaskedLM", "ForPreTraining")  # they find hidden tokens
_KINDS_OF_PROBLEMS = {
    "single_label_classification": "classification",
    "multi_label_classification": "multilabel",
    "regression": "regression",
}


def load_with_new_head(found: Source, auto_class: str, settings: dict[str, Any], progress: Progress) -> Any:
    """A trained body, in training mode, with a head of the shape that ``settings`` say.

    A head of that shape in the checkpoint is kept; another is replaced, which is told.

    Args:
        auto_class: name of the ``transformers`` class that has the head.
        settings: as :meth:`llmctl.objectives.task.TaskObjective.model_settings`.

    Raises:
        ConfigError: the family has no such head.
        ModelError: weights of the body are missing or of other sizes than its config says, or it is an adapter.
    """
    check_base(found)
    check_saved(found.name, models.load_config(found).to_dict(), auto_class)
    model, info = models.load_weights(found, auto_class, other_sizes=True, **settings)
    if found.gguf_file:
        model.name_or_path = str(Path(found.location) / found.gguf_file)
    missing = [name for name in info["missing_keys"] if _in_body(name, model) and "pooler" not in name]
    models.check_complete(missing, model, found.name)
    models.check_sizes((sizes for sizes in info["mismatched_keys"] if _in_body(sizes[0], model)), found.name)
    if info["mismatched_keys"]:
        progress.warn(f"{found.name}: its head is of another shape and is replaced by a new one")
    elif info["missing_keys"]:
        progress.note(
            "the head is new: " + ", ".join(sorted({_layer(name) for name in info["missing_keys"]}))
        )
    return models.for_training(model)


def _in_body(name: str, model: Any) -> bool:
    """Whether a weight is not of the head. T5's kin have the parts of their body beside the head."""
    prefix = model.base_model_prefix
    return name.startswith(f"{prefix}.") if hasattr(model, prefix) else not name.startswith("lm_head.")


def load_with_head(found: Source, auto_class: str, *, runs_dir: Any, bf16: bool = False) -> LoadedModel:
    """A model whose head was trained, in evaluation mode on this process's device, with its tokenizer.

    Of an adapter it is the model that it was trained on, with the adapter in place.

    Raises:
        ConfigError: the family has no such head.
        ModelError: it is not trained.
    """
    from accelerate import PartialState

    check_saved(found.name, models.load_config(found).to_dict(), auto_class)
    model, info = models.load_weights(found, auto_class, bf16=bf16)
    if info["missing_keys"]:
        first = sorted(info["missing_keys"])[0]
        raise ModelError(
            f"{found.name} has no trained head for this task: {first} is not in the checkpoint",
            hint=f"train one: llmctl finetune --task TASK --model {found.name}",
        )
    tokenizer = models.load_tokenizer(
        found.location if found.run else found.name,
        runs_dir=runs_dir,
        slow=auto_class == "AutoModelForSeq2SeqLM",
    )
    models.check_vocabulary(tokenizer, model, found.name)
    return LoadedModel(model.to(PartialState().device).eval(), tokenizer, found)


def kind_of_model(found: Source) -> str | None:
    """The kind of problem that a checkpoint was trained for, by its config; ``None`` if that does not tell."""
    return _kind_of_head(models.plain_config(found) or models.load_config(found).to_dict())


def check_head(found: Source, kind: str, *, hint: str) -> None:
    """Refuse a model whose ``config.json`` says that it is for something else; nothing is loaded.

    Args:
        kind: what it is wanted for, a key of ``llmctl.tasks.KINDS``.
        hint: what to do with a model that has another head.

    Raises:
        ConfigError: naming its class or family.
    """
    config, objective = models.plain_config(found), KINDS[kind].objective
    if config is None:
        return
    if kind == "chat" and _fills(config):
        raise ConfigError(
            f"{found.name} is a {config['architectures'][0]}: it finds hidden tokens, it cannot write on",
            hint=f'let it fill gaps: llmctl predict "It was a [MASK] day." --model {found.name}',
        )
    head = _kind_of_head(config)
    if head and KINDS[head].objective != objective:
        raise ConfigError(
            f"{found.name} is a {config['architectures'][0]}: it cannot {ability(MODEL_CLASSES[objective])}",
            hint=hint,
        )
    check_saved(found.name, config, MODEL_CLASSES[objective])


def writes(found: Source) -> bool:
    """Whether a model goes on from a text, as far as its ``config.json`` tells."""
    config = models.plain_config(found) or {}
    return not _fills(config) and _kind_of_head(config) in (None, "chat")


def _fills(config: Mapping[str, Any]) -> bool:
    return any(name.endswith(_FILLERS) for name in config.get("architectures") or [])


def check_base(found: Source) -> None:
    """Refuse an adapter as a model to be trained on.

    Raises:
        ModelError: saying how it becomes one.
    """
    if adapters.read(found.location):
        raise ModelError(
            f"{found.name} is an adapter: it cannot be trained on as a model of its own",
            hint=f"first put it into its model: llmctl export {found.name} --merge",
        )


def _kind_of_head(config: Mapping[str, Any]) -> str | None:
    for name in config.get("architectures") or []:
        for head, kind in KINDS_OF_HEADS.items():
            if name.endswith(head):
                if kind == "classification":
                    return _KINDS_OF_PROBLEMS.get(config.get("problem_type") or "", kind)
                # models of text and pictures are called so too
                return None if kind == "summarization" and not config.get("is_encoder_decoder") else kind
    return None


def _layer(weight: str) -> str:
    return weight.rpartition(".")[0]
