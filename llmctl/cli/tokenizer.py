"""``llmctl tokenizer train`` and ``llmctl tokenizer inspect``."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from llmctl.cli.options import Verb, data_flags
from llmctl.config import TokenizerInspectConfig, TokenizerTrainConfig
from llmctl.workflows import tokenizer

if TYPE_CHECKING:
    from llmctl.cli.console import Console
    from llmctl.tokenization.report import TokenizerReport

_BACKGROUNDS = ("\x1b[30;46m", "\x1b[30;43m", "\x1b[30;42m", "\x1b[30;45m")
_SHOWN = 10


def _train(config: TokenizerTrainConfig, console: "Console") -> None:
    result = tokenizer.train(config, progress=console)
    console.result(
        asdict(result),
        f"{result.output_dir}: {result.vocab_size:,} tokens, {result.bytes_per_token:.2f} bytes a token "
        f"on {result.measured_on}\n"
        f"trained on {result.num_bytes / 1e6:,.1f} MB in {result.seconds:.1f} s",
    )
    console.hint("look at it:", f"llmctl tokenizer inspect {result.output_dir}{data_flags(config)}")
    console.hint("train with it:", f"llmctl pretrain --tokenizer {result.output_dir}{data_flags(config)}")


def _inspect(config: TokenizerInspectConfig, console: "Console") -> None:
    from llmctl.cli.console import table

    found = tokenizer.inspect(config, progress=console)
    reports = found.tokenizers
    lines = {
        "vocabulary": [f"{report.vocab_size:,}" for report in reports],
        "tokens on the text": [f"{report.num_tokens:,}" for report in reports],
        "tokens a word": [f"{report.tokens_per_word:.3f}" for report in reports],
        "bytes a token": [f"{report.bytes_per_token:.3f}" for report in reports],
        "unknown tokens": [f"{report.unknown_share:.3%}" for report in reports],
        "documents not given back": [f"{report.lossy_documents_share:.2%}" for report in reports],
        "characters lost": [f"{report.lost_characters_share:.3%}" for report in reports],
        "never used in any split": [f"{report.num_unused:,}" for report in reports],
    }
    headers = [f"{found.data}, {found.num_bytes / 1e6:,.2f} MB", *(report.tokenizer for report in reports)]
    text = [table(headers, [[name, *cells] for name, cells in lines.items()])]
    for report in reports:
        text += ["", report.tokenizer, *_details(report)]
    console.result(asdict(found), "\n".join(text))
    if not console.as_json:
        for report in reports:
            count = sum(number is not None for _, number in report.pieces)
            print(f"\n{count} tokens by {_clean(report.tokenizer)}\n{_coloured(report)}")


def _details(report: "TokenizerReport") -> list[str]:
    lines = [
        f"  longest tokens: {', '.join(map(repr, report.longest_tokens[:_SHOWN]))}",
        f"  never used: {', '.join(map(repr, report.unused_tokens[:_SHOWN])) or 'none'}",
        f"  special tokens: {', '.join(report.special_tokens[:_SHOWN])}",
    ]
    if report.loss:
        lines.append(f"  first loss: {report.loss.text!r} comes back as {report.loss.decoded!r}")
    return lines


def _coloured(report: "TokenizerReport") -> str:
    """The sample's pieces: on a terminal in changing colours, elsewhere parted by bars."""
    from llmctl.cli.console import is_coloured

    texts = [_clean(piece).replace("\n", "↵") for piece, _ in report.pieces]
    if not is_coloured(sys.stdout):
        return "|".join(texts)
    painted = [f"{_BACKGROUNDS[i % len(_BACKGROUNDS)]}{text}\x1b[0m" for i, text in enumerate(texts)]
    return "".join(painted)


def _clean(text: str) -> str:
    from llmctl.cli.console import sanitise

    return sanitise(text)


TRAIN = Verb(
    TokenizerTrainConfig,
    _train,
    check=tokenizer.check_train,
    examples=(
        "llmctl tokenizer train --data book.txt --output-dir tokenizers/book",
        "llmctl tokenizer train --data 'shards/*.jsonl.zst' --vocab-size 32000 --architecture llama",
        "llmctl tokenizer train --algorithm wordpiece --architecture bert --normalizer lowercase",
    ),
)
INSPECT = Verb(
    TokenizerInspectConfig,
    _inspect,
    check=tokenizer.check_inspect,
    examples=(
        "llmctl tokenizer inspect tokenizers/book --data book.txt",
        "llmctl tokenizer inspect tokenizers/book gpt2 builtin:minilm --sample 'Once upon a time'",
    ),
)
