"""Options of fine-tuning: which weights learn, and how examples become tensors and outputs answers."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt

from llmctl.config.fields import (
    Count,
    Name,
    Positive,
    Share,
    evaluation_option,
    examples_option,
    method_option,
)


@dataclass(frozen=True, kw_only=True)
class Method:
    """Which weights learn; the words of adapters are peft's."""

    method: Literal["full", "lora", "prefix", "prompt", "ffn", "head"] = method_option(
        "full",
        "which weights learn; ffn are the feed-forward layers, prefix and prompt are learnt tokens",
    )
    lora_r: Count = method_option(8, "rank of LoRA's matrices")
    lora_alpha: Positive = method_option(16.0, "LoRA's matrices are scaled by lora_alpha / lora_r")
    lora_dropout: Share = method_option(0.0, "dropout before LoRA's matrices")
    target_modules: tuple[Name, ...] = method_option(
        (),
        "modules that LoRA adapts, by the ends of their names; repeatable",
        default_text="all linear layers but the head",
    )
    num_virtual_tokens: Count = method_option(20, "length of a learnt prefix or prompt", unit="tokens")
    load_in_8bit: bool = method_option(False, "hold the frozen weights in 8 bits (a GPU and bitsandbytes)")
    load_in_4bit: bool = method_option(False, "hold the frozen weights in 4 bits (a GPU and bitsandbytes)")


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """How an example becomes tensors and an output an answer: training, evaluation and prediction share these."""

    max_length: Annotated[int, Gt(1)] | None = examples_option(
        None,
        "longest input in tokens; more is cut, counted and told",
        unit="tokens",
        default_text="by kind, at most the model's positions",
    )
    max_target_length: Count | None = examples_option(
        None, "longest text to write (summarization, translation)", unit="tokens", default_text="128"
    )
    doc_stride: Count = examples_option(128, "overlap of the windows over a long context (qa)", unit="tokens")
    max_answer_length: Count = examples_option(30, "longest answer (qa)", unit="tokens")
    prefix: str | None = examples_option(
        None,
        "said before each input, such as 'summarize: '",
        default_text="what T5 was trained with, else nothing",
    )
    num_beams: Count = examples_option(1, "search with N beams when texts are written", unit="beams")


@dataclass(frozen=True, kw_only=True)
class Judging:
    """How answers are judged."""

    metric: tuple[Name, ...] = evaluation_option(
        (), "metric to judge by; repeatable; ORG/NAME@COMMIT runs one from the Hub", default_text="the task's"
    )
    num_resamples: Count = evaluation_option(
        1000, "bootstrap resamples behind the 95 % intervals", unit="resamples"
    )
