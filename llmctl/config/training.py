"""Options of a model, its tokenizer, its training and its run."""

from dataclasses import dataclass
from typing import Literal

from llmctl.config.fields import (
    Count,
    CountOrZero,
    Fraction,
    Layers,
    Name,
    NonNegative,
    Optimiser,
    Positive,
    Schedule,
    Seconds,
    Share,
    VocabularySize,
    hardware_option,
    logging_option,
    model_option,
    optim_option,
    optimiser_option,
    run_option,
    runs_dir_option,
    schedule_option,
    tokenizer_option,
    training_option,
)


@dataclass(frozen=True, kw_only=True)
class TokenizerTraining:
    """The shape of a tokenizer that is to be trained."""

    algorithm: Literal["bpe", "wordpiece", "unigram"] = tokenizer_option(
        "bpe", "how its vocabulary is learnt; bpe is byte-level"
    )
    vocab_size: VocabularySize = tokenizer_option(
        4096, "size of the vocabulary, special tokens included", unit="tokens"
    )
    min_frequency: Count = tokenizer_option(
        2, "how many times a pair (bpe, wordpiece) must occur to be merged", unit="times"
    )
    normalizer: Literal["none", "nfc", "nfkc", "lowercase", "lowercase-strip-accents"] = tokenizer_option(
        "none", "what is done to the text before it is split"
    )
    special_tokens: tuple[Name, ...] = tokenizer_option((), "further tokens that are never split; repeatable")


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """The model to go on with."""

    model: Name | None = model_option(
        None,
        "model to go on with: Hub id, directory, run, .gguf or builtin:NAME",
        default_text="a new one",
        path=True,
    )


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """A new model's architecture and shape; what is ``None`` comes from ``model_size``."""

    architecture: Name | None = model_option(
        None, "architecture of a new model, as AutoConfig names it: gpt2, llama, ...", default_text="llama"
    )
    model_size: Literal["tiny", "small", "base"] | None = model_option(
        None, "a documented shape in each family", default_text="tiny"
    )
    hidden_size: Count | None = model_option(
        None, "width of the model", unit="units", default_text="by model_size"
    )
    num_hidden_layers: Layers | None = model_option(
        None, "depth of the model", unit="layers", default_text="by model_size"
    )
    num_attention_heads: Count | None = model_option(
        None, "attention heads; they divide the width", unit="heads", default_text="by model_size"
    )
    num_key_value_heads: Count | None = model_option(
        None,
        "heads that keys and values share, where the family has them",
        unit="heads",
        default_text="num_attention_heads",
    )
    intermediate_size: Count | None = model_option(
        None, "width of the feed-forward layers", unit="units", default_text="by hidden_size"
    )
    max_position_embeddings: Count | None = model_option(
        None, "longest text the model can read", unit="tokens", default_text="block_size"
    )
    dropout: Share | None = model_option(
        None,
        "dropout of a new model",
        default_text="0; of an encoder-decoder its family's; a loaded model keeps its own",
    )


@dataclass(frozen=True, kw_only=True)
class Training:
    """The optimisation; words and meaning are those of ``transformers.TrainingArguments``."""

    num_train_epochs: Positive = training_option(1.0, "epochs: passes over the training data", unit="epochs")
    max_steps: Count | None = training_option(
        None,
        "stop after N optimiser steps; overrides num_train_epochs",
        unit="steps",
        default_text="by num_train_epochs",
    )
    time_limit: Seconds | None = training_option(
        None,
        "stop in time to have saved: seconds, or 30m, 1h30m, ...; each session of a resumed run has it anew",
        unit="seconds",
        default_text="none",
    )
    per_device_train_batch_size: Count = training_option(
        3, "examples a step on each device; small batches learn most from little text", unit="examples"
    )
    gradient_accumulation_steps: Count = training_option(
        1, "batches summed into one optimiser step", unit="batches"
    )
    global_batch_size: Count | None = training_option(
        None,
        "examples of one step of all processes together; gradient_accumulation_steps follows",
        unit="examples",
        default_text="what follows from the batches and the processes",
    )
    strategy: Literal["ddp", "fsdp", "deepspeed"] = hardware_option(
        "ddp",
        "what several processes share: ddp the work; fsdp and deepspeed the weights and optimiser, too (GPUs)",
    )
    learning_rate: Positive | None = training_option(
        None,
        "peak learning rate",
        default_text="0.6 / hidden_size for a new model, 1e-4 for a loaded one",
    )
    seed: CountOrZero = training_option(0, "seed of the weights, the order of the data and dropout")

    lr_scheduler_type: Schedule | None = schedule_option(
        default_text="cosine; constant with schedule_free_adamw"
    )
    warmup_steps: NonNegative = optimiser_option(
        0.05, "steps of rising learning rate; below 1 a share of all steps", unit="steps"
    )
    num_decay_steps: NonNegative | None = optimiser_option(
        None,
        "steps of falling learning rate (warmup_stable_decay); below 1 a share of all steps",
        unit="steps",
        default_text="0.2",
    )
    min_lr_rate: Fraction | None = optimiser_option(
        None,
        "share of the peak that the learning rate ends with (cosine_with_min_lr, warmup_stable_decay, polynomial)",
        default_text="0.1 with cosine_with_min_lr, else 0",
    )
    lr_power: Positive | None = optimiser_option(
        None, "power of the decay (polynomial); 1: linear", default_text="1"
    )
    optim: Optimiser = optim_option("adamw_torch_fused")
    weight_decay: NonNegative = optimiser_option(0.1, "weight decay of matrices; biases and norms have none")
    adam_beta1: Fraction = optimiser_option(0.9, "decay of Adam's first moment")
    adam_beta2: Fraction = optimiser_option(0.99, "decay of Adam's second moment")
    max_grad_norm: NonNegative = optimiser_option(1.0, "gradients are clipped to this norm; 0: never")
    on_nonfinite: Literal["stop", "skip"] = optimiser_option(
        "stop", "a loss or gradient that is NaN or infinite ends the training, or its step is left out"
    )

    eval_steps: Count | None = logging_option(
        None, "evaluate every N steps", unit="steps", default_text="five times a run"
    )
    save_steps: Count | None = logging_option(
        None, "save a checkpoint every N steps", unit="steps", default_text="eval_steps"
    )
    save_total_limit: Count = logging_option(
        2, "checkpoints kept while it trains; the best one is always among them", unit="checkpoints"
    )
    load_best_model_at_end: bool = logging_option(
        True, "keep the model of the lowest validation loss, not the last"
    )
    per_device_eval_batch_size: Count = logging_option(
        16, "windows scored at once on each device", unit="windows"
    )
    logging_steps: Count | None = logging_option(
        None, "log loss, learning rate and speed every N steps", unit="steps", default_text="100 times a run"
    )
    report_to: tuple[Literal["none", "all", "tensorboard", "wandb", "mlflow", "trackio"], ...] = (
        logging_option((), "trackers that also get the metrics; repeatable")
    )

    bf16: bool | None = hardware_option(
        None, "compute in bfloat16 with fp32 master weights", default_text="on GPUs that have it"
    )
    auto_batch_size: bool = hardware_option(
        False, "out of memory: make batches smaller and sum more of them, so that the effective batch stays"
    )
    activation_checkpointing: bool = hardware_option(
        False, "recompute activations in the backward pass: less memory, more time"
    )
    tf32: bool | None = hardware_option(
        None, "let float32 matrix products round to TensorFloat-32", default_text="on GPUs that have it"
    )
    torch_compile: bool | None = hardware_option(
        None,
        "compile the model: a slow start, then faster steps",
        default_text="on GPUs, for 1,000 steps or more of equal blocks",
    )
    use_liger_kernel: bool = hardware_option(False, "use the kernels of the liger-kernel package, for GPUs")
    dataloader_num_workers: CountOrZero = hardware_option(0, "processes that load data", unit="processes")


@dataclass(frozen=True, kw_only=True)
class RunPlace:
    """Which run, where runs are kept, and what is kept of one that is finished."""

    run_name: Name | None = run_option(None, "name of the run", default_text="verb-data-model-time")
    runs_dir: Name | None = runs_dir_option()
    resume: Name | None = run_option(
        None,
        "run (name or path) to go on with from its last good checkpoint; auto: run_name if it is there, else a new one",
        path=True,
    )
    allow_changes: tuple[Name, ...] = run_option(
        (), "setting that may be other than in the run that goes on; data too; repeatable"
    )
    find_learning_rate: bool = optimiser_option(
        False, "only try learning rates in at most 100 steps, and suggest one; nothing is trained or kept"
    )
    keep_checkpoints: bool = logging_option(
        False, "keep the checkpoints when the run is finished; nothing needs them any more"
    )
