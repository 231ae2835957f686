"""One config a command."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Le

from llmctl.config.data import Corpus, TaskData, TextData
from llmctl.config.fields import (
    Asked,
    Count,
    CountOrZero,
    Fraction,
    Name,
    NonNegative,
    Optimiser,
    Positive,
    Schedule,
    Share,
    Tokens,
    Words,
    data_option,
    evaluation_option,
    examples_option,
    generation_option,
    hardware_option,
    io_option,
    logging_option,
    model_option,
    optim_option,
    optimiser_option,
    option,
    run_option,
    runs_dir_option,
    schedule_option,
    task_option,
    tokenizer_option,
    training_option,
)
from llmctl.config.launch import Launch
from llmctl.config.task import Judging, Method, TaskSettings
from llmctl.config.training import ModelShape, ModelSource, RunPlace, TokenizerTraining, Training


@dataclass(frozen=True, kw_only=True)
class TokenizerTrainConfig(TextData, TokenizerTraining):
    """``llmctl tokenizer train``."""

    output_dir: Name = run_option("tokenizer", "directory to save to; must be new or empty", path=True)
    architecture: Name = tokenizer_option(
        "gpt2", "architecture family whose special tokens and post-processor it gets"
    )


@dataclass(frozen=True, kw_only=True)
class TokenizerInspectConfig(TextData):
    """``llmctl tokenizer inspect``."""

    tokenizer: tuple[Name, ...] = option(
        (),
        "tokenizers to compare: Hub ids, directories or runs",
        panel="Tokenizer",
        default_text="one at least is needed",
        argument=True,
    )
    sample: str | None = tokenizer_option(
        None, "sentence whose pieces are shown", default_text="the first sentence of the data"
    )


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(Corpus, ModelShape, ModelSource, TokenizerTraining, Training, RunPlace, Launch, Asked):
    """``llmctl pretrain``."""

    objective: Literal["clm", "rclm", "mlm", "mlm+nsp", "mlm+sop", "seq2seq"] = model_option(
        "clm",
        "what is learnt; clm: the next token, rclm: the one before, mlm: hidden tokens, nsp: also whether passages "
        "follow each other, sop: also their order, seq2seq: what gaps hold",
    )
    tokenizer: Name | None = tokenizer_option(
        None,
        "tokenizer to use: Hub id, directory or run",
        default_text="the model's, else one trained on the data",
        path=True,
    )
    block_size: Count = data_option(384, "length of a training example", unit="tokens")
    packing: bool | None = data_option(
        None,
        "let examples run over the borders of documents; without, each document begins one",
        default_text="where documents are longer than block_size",
    )
    intra_document_masking: bool = data_option(
        False,
        "let a token of a packed block see its own document alone, with positions that begin anew (clm, rclm)",
    )
    mlm_probability: Fraction = examples_option(0.15, "share of the tokens that is hidden (mlm, seq2seq)")
    masking: Literal["token", "whole_word", "span"] = examples_option(
        "token", "what is hidden at once: single tokens, whole words, or runs of words (mlm)"
    )
    mean_span_length: Positive = examples_option(3.0, "length of a gap, on average (seq2seq)", unit="tokens")

    max_tokens: Tokens | None = training_option(
        None,
        "stop after N training tokens: 2e6, 300M, 1.5B; overrides num_train_epochs",
        unit="tokens",
        default_text="by num_train_epochs",
    )
    per_device_train_batch_size: Count = training_option(
        6, "examples a step on each device; small batches learn most from little text", unit="examples"
    )
    learning_rate: Positive | None = training_option(
        None,
        "peak learning rate",
        default_text="by optimiser and width for a new model, 1e-4 for a loaded one",
    )
    optim: Optimiser | None = optim_option(  # type: ignore[assignment]
        None, default_text="muon for a new model with --strategy ddp, else adamw_torch_fused"
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(
    TaskData, TaskSettings, Judging, Method, ModelShape, TokenizerTraining, Training, RunPlace, Launch, Asked
):
    """``llmctl finetune``; what is ``None`` follows from the task, the method and the model."""

    model: Name | None = model_option(
        None,
        "model to fine-tune: Hub id, directory, run, .gguf or builtin:NAME",
        default_text="the task's; with --architecture a new one",
        path=True,
    )
    tokenizer: Name | None = tokenizer_option(
        None, "tokenizer to use: Hub id, directory or run", default_text="the model's", path=True
    )
    architecture: Name | None = model_option(
        None,
        "train a new model of this architecture, as AutoConfig names it: bert, t5, llama, ...",
        default_text="no new model",
    )
    max_train_samples: Count | None = data_option(
        None, "learn from the first N examples only", unit="examples", default_text="all"
    )
    max_eval_samples: Count | None = data_option(
        None, "judge by the first N examples only", unit="examples", default_text="all"
    )
    packing: bool = examples_option(False, "put several conversations into one row of max_length (chat)")
    class_weights: Literal["none", "balanced"] = examples_option(
        "none", "weigh the classes in the loss; balanced: each as if it were as frequent as the others"
    )
    label_smoothing_factor: Fraction = examples_option(
        0.0, "share of the target's probability spread over all classes"
    )

    num_train_epochs: Positive | None = training_option(  # type: ignore[assignment]
        None, "epochs: passes over the training data", unit="epochs", default_text="by kind, see llmctl tasks"
    )
    per_device_train_batch_size: Count | None = training_option(  # type: ignore[assignment]
        None, "examples a step on each device", unit="examples", default_text="by kind, see llmctl tasks"
    )
    learning_rate: Positive | None = training_option(
        None, "peak learning rate", default_text="by kind and method, see llmctl tasks"
    )
    lr_scheduler_type: Schedule | None = schedule_option(
        default_text="linear; constant with schedule_free_adamw"
    )
    weight_decay: NonNegative = optimiser_option(0.01, "weight decay of matrices; biases and norms have none")
    adam_beta2: Fraction = optimiser_option(0.999, "decay of Adam's second moment")
    eval_steps: Count | None = logging_option(
        None, "evaluate every N steps", unit="steps", default_text="once an epoch"
    )
    per_device_eval_batch_size: Count = logging_option(
        32, "examples judged at once on each device", unit="examples"
    )
    load_best_model_at_end: bool = logging_option(
        True, "keep the model of the best validation score, not the last"
    )
    metric_for_best_model: Name | None = logging_option(
        None, "validation score that decides which model is best", default_text="the task's"
    )
    early_stopping_patience: Count | None = logging_option(
        None, "stop after N evaluations without a better score", unit="evaluations", default_text="never"
    )


@dataclass(frozen=True, kw_only=True)
class EvalConfig(TextData, TaskData, TaskSettings, Judging, Launch, Asked):
    """``llmctl eval``: a task's metrics, or the perplexity of text."""

    model: Name | None = evaluation_option(
        None, "run or model to judge", default_text="the newest run", argument=True, path=True
    )
    data: Name | None = data_option(  # type: ignore[assignment]
        None, "data to judge by", default_text="the run's or the task's own, else builtin:stories", path=True
    )
    split: Name | None = data_option(
        None, "split to judge by", default_text="validation where there is one, else all of the data"
    )
    max_eval_samples: Count | None = data_option(
        None, "judge by the first N examples only", unit="examples", default_text="all"
    )
    max_length: Annotated[int, Gt(1)] | None = examples_option(
        None,
        "longest input in tokens; for perplexity the context window",
        unit="tokens",
        default_text="the run's, else the model's positions",
    )
    stride: Count | None = evaluation_option(
        None,
        "tokens newly scored in each window (perplexity)",
        unit="tokens",
        default_text="half of max_length",
    )
    per_device_eval_batch_size: Count = evaluation_option(
        16, "examples or windows judged at once on each device", unit="examples"
    )
    seed: CountOrZero = evaluation_option(0, "seed of the bootstrap")
    bf16: bool = hardware_option(False, "compute in bfloat16")
    runs_dir: Name | None = runs_dir_option()


@dataclass(frozen=True, kw_only=True)
class PredictConfig(TaskSettings, Asked):
    """``llmctl predict``."""

    text: str | None = io_option(
        None, "text to judge", default_text="lines of the standard input", argument=True
    )
    text_pair: str | None = io_option(None, "second text, for models of pairs")
    question: str | None = io_option(None, "question to answer from the text (qa)")
    input_file: Name | None = io_option(
        None,
        "many inputs: .txt with one a line, or .jsonl, .csv, .tsv with the columns of the task",
        path=True,
    )
    output_file: Name | None = io_option(None, "where the answers go, as JSONL; must not exist", path=True)
    model: Name | None = model_option(
        None, "run or model that answers", default_text="the newest run that answers", path=True
    )
    task: Name | None = task_option(
        None, "kind of problem, where the model does not tell it: classification, ner, qa, ..."
    )
    per_device_eval_batch_size: Count | None = io_option(
        None, "inputs answered at once", unit="inputs", default_text="the run's, else 32"
    )
    bf16: bool = hardware_option(False, "compute in bfloat16")
    runs_dir: Name | None = runs_dir_option()


@dataclass(frozen=True, kw_only=True)
class TasksConfig:
    """``llmctl tasks``."""

    name: Name | None = option(
        None, "task to show in full", panel="Task", default_text="a list of all", argument=True
    )
    kind: Name | None = task_option(
        None, "list only this kind: classification, ner, qa, ...", default_text="all"
    )


@dataclass(frozen=True, kw_only=True)
class RunsListConfig:
    """``llmctl runs list``."""

    runs_dir: Name | None = runs_dir_option()


@dataclass(frozen=True, kw_only=True)
class RunsVerifyConfig:
    """``llmctl runs verify``."""

    run: Name | None = run_option(
        None, "run to verify: name or path", default_text="the newest", argument=True, path=True
    )
    runs_dir: Name | None = runs_dir_option()


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """``llmctl export``."""

    model: Name | None = model_option(
        None, "run or model to write", default_text="the newest run", argument=True, path=True
    )
    output_dir: Name | None = run_option(
        None, "directory to write to; must be new or empty", default_text="RUN/merged", path=True
    )
    merge: bool = model_option(False, "put an adapter's weights into its model: one plain model")
    runs_dir: Name | None = runs_dir_option()


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Launch):
    """``llmctl generate``."""

    prompt: str | None = io_option(
        None, "text to go on from; a model with a chat template answers it", argument=True
    )
    input_file: Name | None = io_option(
        None, "prompts: a .txt file with one a line, or .jsonl with the key 'prompt' or 'messages'", path=True
    )
    output_file: Name | None = io_option(None, "where the texts go, as JSONL; must not exist", path=True)
    batch_size: Count = io_option(8, "prompts of input_file continued at once", unit="prompts")
    model: Name | None = model_option(
        None,
        "run or model: name, Hub id, directory, .gguf or builtin:NAME",
        default_text="the newest run that can generate",
        path=True,
    )
    raw: bool = generation_option(
        False, "go on from the prompt as plain text, whatever the model's chat template"
    )
    max_new_tokens: Count = generation_option(400, "longest continuation", unit="tokens")
    temperature: NonNegative = generation_option(
        0.8, "0: always the likeliest token; 1: the model's own odds"
    )
    top_k: CountOrZero = generation_option(
        0, "choose among the K likeliest tokens; 0: among all", unit="tokens"
    )
    top_p: Annotated[float, Gt(0), Le(1)] = generation_option(
        0.95, "choose among the likeliest tokens that hold this probability"
    )
    min_p: Share = generation_option(
        0.0, "leave out tokens below this share of the likeliest one's probability"
    )
    repetition_penalty: Positive = generation_option(
        1.0, "above 1: tokens that stand in the text already become less likely"
    )
    num_beams: Count = generation_option(1, "search with N beams instead of sampling", unit="beams")
    num_return_sequences: Count = generation_option(1, "texts that continue each prompt", unit="texts")
    seed: CountOrZero | None = generation_option(None, "same seed, same text", default_text="drawn, and told")
    stop: tuple[Words, ...] = generation_option((), "end the text before this string; repeatable")
    bf16: bool = hardware_option(False, "compute in bfloat16")
    runs_dir: Name | None = runs_dir_option()

    @property
    def is_parallel(self) -> bool:
        """A single prompt is one process's work."""
        return self.input_file is not None
