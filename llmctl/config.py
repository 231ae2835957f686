"""Every option of every command, defined once.

A config is a frozen dataclass: its fields are at once the keys of a recipe, the flags of a command and, where
Hugging Face's ``TrainingArguments`` has the same thing, its keyword. Types and bounds stand in the annotations
and are enforced by pydantic (see ``recipe.build``); help, unit and panel stand in the field's metadata.
Only the standard library and ``annotated_types`` are imported here, so that ``--help`` stays instant.

``None`` alone means "not given".
"""

from dataclasses import MISSING, Field, dataclass, field, fields
from functools import partial
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

Count = Annotated[int, Gt(0)]
CountOrZero = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]
Share = Annotated[float, Ge(0), Le(1)]
Name = Annotated[str, MinLen(1)]


def option(
    default: Any,
    help: str,
    *,
    panel: str,
    unit: str | None = None,
    default_text: str | None = None,
    argument: bool = False,
    path: bool = False,
) -> Any:
    """A config field that documents itself.

    Args:
        default: the value when neither the recipe nor a flag gives one.
        help: one line, shown by ``--help`` and in the resolved recipe's schema.
        panel: the heading under which ``--help`` lists it.
        unit: what a number counts, e.g. ``tokens``.
        default_text: said instead of the default where the default is decided at run time.
        argument: also given by position on the command line.
        path: completed as a path by the shell.
    """
    metadata = {
        "help": help,
        "panel": panel,
        "unit": unit,
        "default_text": default_text,
        "argument": argument,
        "path": path,
    }
    return field(default=default, metadata=metadata)


# In the order in which they matter to a person who meets a command for the first time.
PANELS = (
    "Data",
    "Model",
    "Tokenizer",
    "Training",
    "Run",
    "Generation",
    "Input and output",
    "Evaluation",
    "Evaluation, checkpoints and logging",
    "Optimiser",
    "Hardware",
)

_data = partial(option, panel="Data")
_tokenizer = partial(option, panel="Tokenizer")
_model = partial(option, panel="Model")
_training = partial(option, panel="Training")
_optimizer = partial(option, panel="Optimiser")
_logging = partial(option, panel="Evaluation, checkpoints and logging")
_hardware = partial(option, panel="Hardware")
_run = partial(option, panel="Run")
_evaluation = partial(option, panel="Evaluation")
_generation = partial(option, panel="Generation")
_io = partial(option, panel="Input and output")


@dataclass(frozen=True, kw_only=True)
class TextData:
    """Where text comes from and how it becomes documents and splits."""

    data: Name = _data(
        "builtin:stories",
        "Hub data set (org/name[:subset]), file, folder, glob, or builtin:stories[:SIZE]",
        path=True,
    )
    text_column: Name | None = _data(
        None, "column that holds the text", default_text="'text', else the only text column"
    )
    sample_by: Literal["document", "paragraph", "line"] = _data(
        "document", "what one document of a plain text file is: the whole file, a paragraph or a line"
    )
    train_split: Name = _data("train", "split to learn from")
    validation_split: Name | None = _data(
        None, "split to judge by", default_text="validation, dev or valid where there is one, else held out"
    )
    validation_data: Name | None = _data(None, "separate source to judge by", path=True)
    validation_fraction: Fraction = _data(
        0.02, "share of the documents held out for validation when the data has no such split"
    )
    split_seed: int = _data(0, "seed of the held-out split; independent of the training seed")
    max_documents: Count | None = _data(None, "read only the first N documents of a split", unit="documents")
    encoding: Name = _data("utf-8", "encoding of text files")


@dataclass(frozen=True, kw_only=True)
class TokenizerTraining:
    """The shape of a tokenizer that is to be trained."""

    algorithm: Literal["bpe", "wordpiece", "unigram"] = _tokenizer(
        "bpe", "byte-level BPE, WordPiece or Unigram"
    )
    vocab_size: Count = _tokenizer(4096, "size of the vocabulary, special tokens included", unit="tokens")
    min_frequency: Count = _tokenizer(
        2, "how often a pair (BPE, WordPiece) must occur to be merged", unit="times"
    )
    normalizer: Literal["none", "nfc", "nfkc", "lowercase", "lowercase-strip-accents"] = _tokenizer(
        "none", "what is done to the text before it is split"
    )
    special_tokens: tuple[Name, ...] = _tokenizer((), "further tokens that are never split; repeatable")


@dataclass(frozen=True, kw_only=True)
class TokenizerTrainConfig(TextData, TokenizerTraining):
    """``llmctl tokenizer train``."""

    output_dir: Name = _run("tokenizer", "directory to save to; must be new or empty", path=True)
    architecture: Name = _tokenizer(
        "gpt2", "architecture family whose special tokens and post-processor it gets"
    )


@dataclass(frozen=True, kw_only=True)
class TokenizerInspectConfig(TextData):
    """``llmctl tokenizer inspect``."""

    tokenizer: tuple[Name, ...] = option(
        (), "tokenizers to compare: Hub ids, directories or runs", panel="Tokenizer", argument=True
    )
    sample: str | None = _tokenizer(
        None, "sentence whose pieces are shown", default_text="the first sentence of the data"
    )


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """A new model's architecture and shape; what is ``None`` comes from ``model_size``."""

    architecture: Name | None = _model(
        None, "architecture of a new model, as AutoConfig names it: gpt2, llama, ...", default_text="llama"
    )
    model_size: Literal["tiny", "small", "base"] | None = _model(
        None, "a documented shape in each family", default_text="tiny"
    )
    hidden_size: Count | None = _model(None, "width of the model", unit="units")
    num_hidden_layers: Count | None = _model(None, "depth of the model", unit="layers")
    num_attention_heads: Count | None = _model(None, "attention heads; they divide the width", unit="heads")
    num_key_value_heads: Count | None = _model(
        None, "heads that keys and values share, where the family has them", unit="heads"
    )
    intermediate_size: Count | None = _model(None, "width of the feed-forward layers", unit="units")
    max_position_embeddings: Count | None = _model(
        None, "longest text the model can read", unit="tokens", default_text="block_size"
    )
    dropout: Share | None = _model(
        None, "dropout of a new model", default_text="0: fresh text needs none; a loaded model keeps its own"
    )


@dataclass(frozen=True, kw_only=True)
class Training:
    """The optimisation; words and meaning are those of ``transformers.TrainingArguments``."""

    num_train_epochs: Positive = _training(1.0, "passes over the training data", unit="epochs")
    max_steps: Count | None = _training(
        None, "stop after N optimiser steps; overrides num_train_epochs", unit="steps"
    )
    per_device_train_batch_size: Count = _training(
        3, "examples a step on each device; small batches learn most from little text", unit="examples"
    )
    gradient_accumulation_steps: Count = _training(
        1, "batches summed into one optimiser step", unit="batches"
    )
    learning_rate: Positive | None = _training(
        None,
        "peak learning rate",
        default_text="0.6 / hidden_size for a new model, 1e-4 for a loaded one",
    )
    seed: CountOrZero = _training(0, "seed of the weights, the order of the data and dropout")

    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup", "inverse_sqrt"] = (
        _optimizer("cosine", "how the learning rate decays after its peak")
    )
    warmup_steps: NonNegative = _optimizer(
        0.05, "steps of rising learning rate; below 1 a share of all steps", unit="steps"
    )
    optim: Name = _optimizer("adamw_torch_fused", "optimiser, as TrainingArguments names it")
    weight_decay: NonNegative = _optimizer(0.1, "weight decay of matrices; biases and norms have none")
    adam_beta1: Fraction = _optimizer(0.9, "decay of Adam's first moment")
    adam_beta2: Fraction = _optimizer(0.99, "decay of Adam's second moment")
    max_grad_norm: NonNegative = _optimizer(1.0, "gradients are clipped to this norm; 0: never")

    eval_steps: Count | None = _logging(
        None, "evaluate every N steps", unit="steps", default_text="five times a run"
    )
    save_steps: Count | None = _logging(
        None, "save a checkpoint every N steps", unit="steps", default_text="eval_steps"
    )
    save_total_limit: Count = _logging(
        2, "checkpoints kept; the best one is always among them", unit="checkpoints"
    )
    load_best_model_at_end: bool = _logging(
        True, "keep the model of the lowest validation loss, not the last"
    )
    per_device_eval_batch_size: Count = _logging(16, "windows scored at once on each device", unit="windows")
    logging_steps: Count | None = _logging(
        None, "log loss, learning rate and speed every N steps", unit="steps", default_text="100 times a run"
    )
    report_to: tuple[Literal["none", "all", "tensorboard", "wandb", "mlflow", "trackio"], ...] = _logging(
        (), "trackers that also get the metrics; repeatable"
    )

    bf16: bool | None = _hardware(
        None, "compute in bfloat16 with fp32 master weights", default_text="on GPUs that have it"
    )
    activation_checkpointing: bool = _hardware(
        False, "recompute activations in the backward pass: less memory, more time"
    )
    torch_compile: bool = _hardware(False, "compile the model: a slow start, then faster steps")
    dataloader_num_workers: CountOrZero = _hardware(0, "processes that load data", unit="processes")


@dataclass(frozen=True, kw_only=True)
class RunPlace:
    """Which run, and where runs are kept."""

    run_name: Name | None = _run(None, "name of the run", default_text="verb-data-model-time")
    runs_dir: Name | None = _run(
        None, "where runs are kept", default_text="LLMCTL_RUNS_DIR, else ./runs", path=True
    )
    resume: Name | None = _run(None, "run (name or path) to go on with from its last checkpoint", path=True)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TextData, ModelShape, TokenizerTraining, Training, RunPlace):
    """``llmctl pretrain``."""

    objective: Literal["clm"] = _model("clm", "what is learnt; clm: predict the next token")
    model: Name | None = _model(
        None, "model to go on with: Hub id, directory, run, .gguf or builtin:NAME", default_text="a new one"
    )
    tokenizer: Name | None = _tokenizer(
        None,
        "tokenizer to use: Hub id, directory or run",
        default_text="the model's, else one trained on the data",
        path=True,
    )
    block_size: Count = _data(384, "length of a training example", unit="tokens")


@dataclass(frozen=True, kw_only=True)
class EvalConfig(TextData):
    """``llmctl eval``: perplexity of a run or a causal model."""

    model: Name | None = _evaluation(
        None, "run or model to judge", default_text="the newest run", argument=True, path=True
    )
    data: Name | None = _data(  # type: ignore[assignment]
        None, "text to judge by", default_text="the run's own, else builtin:stories", path=True
    )
    split: Name | None = _data(
        None, "split to judge by", default_text="validation where there is one, else all of the data"
    )
    max_length: Annotated[int, Gt(1)] | None = _evaluation(
        None, "context window", unit="tokens", default_text="the run's block_size, else the model's positions"
    )
    stride: Count | None = _evaluation(
        None, "tokens newly scored in each window", unit="tokens", default_text="half of max_length"
    )
    per_device_eval_batch_size: Count = _evaluation(
        16, "windows scored at once on each device", unit="windows"
    )
    num_resamples: Count = _evaluation(1000, "bootstrap resamples behind the 95 % interval", unit="resamples")
    seed: CountOrZero = _evaluation(0, "seed of the bootstrap")
    bf16: bool = _hardware(False, "compute in bfloat16")
    runs_dir: Name | None = _run(
        None, "where runs are kept", default_text="LLMCTL_RUNS_DIR, else ./runs", path=True
    )


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """``llmctl generate``."""

    prompt: str | None = _io(None, "text to go on from", argument=True)
    input_file: Name | None = _io(
        None, "prompts: a .txt file with one a line, or .jsonl with the key 'prompt'", path=True
    )
    output_file: Name | None = _io(None, "where the texts go, as JSONL; must not exist", path=True)
    batch_size: Count = _io(8, "prompts of input_file continued at once", unit="prompts")
    model: Name | None = _model(
        None,
        "run or model: name, Hub id, directory, .gguf or builtin:NAME",
        default_text="the newest run that can generate",
        path=True,
    )
    max_new_tokens: Count = _generation(200, "length of the continuation", unit="tokens")
    temperature: NonNegative = _generation(0.8, "0: always the likeliest token; 1: the model's own odds")
    top_k: CountOrZero = _generation(0, "choose among the K likeliest tokens; 0: among all", unit="tokens")
    top_p: Annotated[float, Gt(0), Le(1)] = _generation(
        0.95, "choose among the likeliest tokens that hold this probability"
    )
    min_p: Share = _generation(0.0, "leave out tokens below this share of the likeliest one's probability")
    repetition_penalty: Positive = _generation(1.0, "above 1: make tokens that stand already less likely")
    num_beams: Count = _generation(1, "search with N beams instead of sampling", unit="beams")
    num_return_sequences: Count = _generation(1, "continuations of each prompt", unit="texts")
    seed: CountOrZero | None = _generation(None, "same seed, same text", default_text="drawn, and told")
    stop: tuple[Name, ...] = _generation((), "end the text before this string; repeatable")
    bf16: bool = _hardware(False, "compute in bfloat16")
    runs_dir: Name | None = _run(
        None, "where runs are kept", default_text="LLMCTL_RUNS_DIR, else ./runs", path=True
    )


def options(config_class: type) -> list[Field[Any]]:
    """The config's fields in the order in which ``--help`` and a recipe list them: by panel."""
    return sorted(fields(config_class), key=lambda item: PANELS.index(item.metadata["panel"]))


def default_of(item: Field[Any]) -> Any:
    """The field's default; every field has one."""
    assert item.default is not MISSING
    return item.default
