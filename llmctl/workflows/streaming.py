"""A training on text that is streamed: checked, begun, and counted where its end must be known."""

from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llmctl.config import PretrainConfig
from llmctl.data.mixture import ingredients
from llmctl.data.sources import HubSource, resolve
from llmctl.errors import ConfigError, DataError
from llmctl.progress import Progress, many
from llmctl.runs import RunDir

if TYPE_CHECKING:
    from llmctl.data.streamed import StreamedText
    from llmctl.objectives.text import TextObjective
    from llmctl.training import Stream


_GIVE_END = "say where the training ends: --max-steps N, or --max-tokens N"


@dataclass(frozen=True)
class Measured:
    """What is known of a stream before it is learnt from, as a training set tells it: of a pass, else of a buffer.

    Attributes:
        lengths: of the first buffer's examples, where they differ.
    """

    description: str
    num_tokens: int
    num_examples: int
    lengths: Any

    def __len__(self) -> int:
        return self.num_examples


def check(config: PretrainConfig) -> None:
    """Refuse what a stream cannot do.

    Raises:
        ConfigError: naming the option.
    """
    if not config.streaming:
        if config.buffer_size != PretrainConfig.buffer_size:
            raise ConfigError("buffer_size is for streams", hint="--streaming, or leave it out")
        return
    if config.max_documents:
        raise ConfigError(
            "--max-documents is not for streams, which are bounded by what is learnt from them",
            hint="leave it out and give --max-steps",
        )
    if config.dataloader_num_workers:
        raise ConfigError(
            "--dataloader-num-workers is not for streams: each process would read all of the text",
            hint="leave it out; a thread reads and tokenises ahead",
        )
    parts = ingredients(config.data)
    if not _end_given(config) and len(parts) > 1 and parts[0].weight is not None:
        raise ConfigError("a stream of several sources with weights has no end", hint=_GIVE_END)


def _end_given(config: PretrainConfig) -> bool:
    return bool(config.max_steps or config.max_tokens)


def check_end(config: PretrainConfig) -> None:
    """Refuse a stream whose end must be told, as its sources are not at hand.

    Raises:
        ConfigError: naming the option.
    """
    if not config.streaming or _end_given(config):
        return
    for source, _ in ingredients(config.data):
        if isinstance(resolve(source, config), HubSource):
            raise ConfigError(
                f"how much text {source} has is not known before all of it was fetched", hint=_GIVE_END
            )


def training_set(
    config: PretrainConfig,
    objective: "TextObjective",
    text: "StreamedText",
    run_dir: RunDir,
    progress: Progress,
) -> "tuple[Stream, Measured]":
    """The examples of a stream, and what is known of them.

    Raises:
        DataError: a shard is broken, or a buffer holds too little to learn from.
    """
    from llmctl import training
    from llmctl.data.backends import backend_of
    from llmctl.data.encode import Encoder
    from llmctl.data.stream import buffers, start_of

    encoder = Encoder(backend_of(objective.tokenizer), objective.tokenizer.eos_token_id)
    marks = encoder.marks(text.start, progress)
    read = partial(buffers, text, encoder, marks, size=config.buffer_size, seed=config.seed)
    start = start_of(text)
    with closing(read(place=start)) as beginning:
        parts = [objective.arranged(part) for part in next(beginning).documents.values()]
    # Decided once: a buffer by itself might decide otherwise.
    packing = any(objective.packs(part) for part in parts)
    learner = replace(objective, config=replace(config, packing=packing))
    stream = training.Stream(
        lambda place: read(place=place),
        lambda features: learner.training_set(learner.arranged(features)),
        start,
        batch_size=config.per_device_train_batch_size,
        seed=config.seed,
        fingerprint=text.fingerprint,
        lost=text.met.lost,
    )
    return stream, _measured(config, stream, text, run_dir, progress)


def _measured(
    config: PretrainConfig, stream: "Stream", text: "StreamedText", run_dir: RunDir, progress: Progress
) -> Measured:
    """Of all of the text where the run's end follows from it, else of the first buffer."""
    from llmctl import training

    with closing(stream.chunks()) as chunks:
        first = next(chunks)
    tokens = sum(first.tokens(len(first.order)).values())
    if tokens <= config.block_size:
        raise DataError(
            f"a buffer of the stream has {tokens:,} tokens, one block takes {config.block_size:,}",
            hint=f"give more text, a larger --buffer-size, or --block-size {max(tokens // 8, 8)}",
        )
    description = (
        f"a stream of {text.name} in buffers of up to {many(config.buffer_size, 'document')}, the first "
        + " and ".join(part.examples.description for part in first.mixture.parts)
    )
    lengths = first.mixture.lengths
    if _end_given(config):
        return Measured(description, tokens, len(first.order), lengths)
    size = config.per_device_train_batch_size
    counted = training.counted(run_dir, stream, lambda: _count(stream, text, size, progress))
    stream.a_pass = counted
    # As many as fill its batches: the last of each buffer may have fewer.
    return Measured(description, counted.tokens, counted.batches * size, lengths)


def _count(stream: "Stream", text: "StreamedText", batch_size: int, progress: Progress) -> Any:
    """Read and tokenise all of the text once, for the number of steps; ``--max-steps`` would save that."""
    from llmctl.training import Pass

    with (
        closing(stream.chunks()) as chunks,
        progress.bar(f"counting {text.name}", None, "tokens") as advance,
    ):
        seen = batches = 0
        for chunk in chunks:
            batches += chunk.num_batches(batch_size)
            tokens = sum(chunk.behind.seen.values())
            advance(tokens - seen)
            seen = tokens
            if chunk.ends_pass:
                break
    progress.note(
        f"{text.name}: {many(seen, 'token')}, counted for the number of steps (--max-steps saves that)"
    )
    return Pass(chunk.behind.examples, batches, batch_size, seen)


def tell_seen(stream: "Stream", lost: Collection[str], progress: Progress) -> None:
    """Say after a training what it saw, and how much it could not read."""
    bad = f"; {many(len(lost), 'bad shard')} skipped" if lost else ""
    passes = many(int(stream.passes), "whole pass", "whole passes")
    progress.note(f"seen of the stream: {many(stream.num_tokens, 'token')}, {passes}{bad}")
