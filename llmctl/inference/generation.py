"""Text written by a causal language model, streamed or in batches.

One lean loop serves both: it feeds the model's own forward pass and cache, applies transformers' own logits
processors in the order of ``generate``, and draws with one random stream a text. So a text depends on the
model, the prompt, the settings and the seed, but not on the road or on its neighbours in a batch (up to
rounding: where two tokens are as likely as each other, a batch may choose the other).
Beam search is left to ``model.generate``.
"""

import inspect
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llmctl import ranks
from llmctl.config import GenerateConfig
from llmctl.errors import ModelError
from llmctl.inference.rows import Continuation, Prompt, Row, make_rows
from llmctl.inference.scoring import evaluating
from llmctl.limits import num_positions
from llmctl.progress import SILENT, Progress

_SORTED_BATCHES = 16  # prompts of like length are looked for among this many batches
_CACHES = ("past_key_values", "cache_params", "state")  # what families call what they remember of a text
# families whose recurrence runs over padding whatever the mask says, or whose state mixes the rows of a batch
_ALONE = frozenset(["rwkv", "recurrent_gemma"])


def stream(
    model: Any,
    tokenizer: Any,
    prompt: Prompt,
    settings: GenerateConfig,
    *,
    seed: int,
) -> Generator[str, None, Continuation]:
    """Yield the continuation of ``prompt`` as it is written, in pieces of whole characters, and return it whole.

    The prompt is checked before the first piece is asked for. Greedy when the temperature is 0. With beams the
    text comes as one piece.

    Args:
        settings: its ``max_new_tokens``, sampling settings, ``num_beams`` and ``stop`` count.
        seed: same seed, same text.

    Raises:
        ConfigError: the prompt is empty, or longer than the model's positions.
        ModelError: the model's output is not a number, or the tokenizer is another model's.
    """
    row = make_rows(model, tokenizer, [prompt], settings, seed)[0]
    return _streamed(model, row, settings)


def _streamed(model: Any, row: Row, settings: GenerateConfig) -> Generator[str, None, Continuation]:
    if settings.num_beams > 1:
        yield _beams(model, [row], settings)[0].text
    else:
        for pieces in _advance(model, [row], settings):
            if pieces[0]:
                yield pieces[0]
    return row.continuation()


def generate_batch(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    settings: GenerateConfig,
    *,
    seed: int,
    progress: Progress = SILENT,
) -> Iterator[Continuation]:
    """Yield ``settings.num_return_sequences`` continuations of each prompt, in the order of the prompts.

    Each is the text that :func:`stream` gives for its prompt; the k-th text of a prompt draws from the k-th
    random stream. Prompts of like length are continued together, ``settings.batch_size`` at once.

    Raises:
        ConfigError, ModelError: as :func:`stream`; all prompts are checked before the first text is asked for.
    """
    rows = make_rows(model, tokenizer, prompts, settings, seed)
    return _written(model, rows, settings, progress)


def _written(
    model: Any, rows: list[Row], settings: GenerateConfig, progress: Progress
) -> Iterator[Continuation]:
    count = settings.num_return_sequences
    size = settings.batch_size * count
    with progress.bar("generating", len(rows), "texts") as advance:
        for begin in range(0, len(rows), size * _SORTED_BATCHES):
            chunk = range(begin, min(begin + size * _SORTED_BATCHES, len(rows)))
            by_length = sorted(chunk, key=lambda place: len(rows[place].prompt_ids))
            batches = [by_length[first : first + size] for first in range(0, len(chunk), size)]
            done: dict[int, Continuation] = {}
            for batch, texts in ranks.in_turns(
                batches, lambda batch: _write_out(model, [rows[place] for place in batch], settings)
            ):
                done.update(zip(batch, texts, strict=True))
                advance(len(batch))
            yield from (done[place] for place in chunk)


def _write_out(model: Any, batch: list[Row], settings: GenerateConfig) -> list[Continuation]:
    """All rows of a batch to their end."""
    count = settings.num_return_sequences
    if settings.num_beams > 1:
        for same_prompt in range(0, len(batch), count):
            _beams(model, batch[same_prompt : same_prompt + count], settings)
    else:
        alone = model.config.model_type in _ALONE
        for rows_at_once in [[row] for row in batch] if alone else [batch]:
            for _ in _advance(model, rows_at_once, settings):
                pass
    return [row.continuation() for row in batch]


@torch.no_grad()
def _advance(model: Any, rows: list[Row], settings: GenerateConfig) -> Iterator[list[str]]:
    """Write all rows a token at a time until each is finished; yield the new text of each."""
    with evaluating(model):
        ids, mask = _pad_left(rows, model.device)
        processors = _processors(settings, mask)
        takes = inspect.signature(model.forward).parameters
        positions = num_positions(model)
        memory = next((name for name in _CACHES if name in takes), _CACHES[0])
        fixed = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        read, cache = ids, None
        while True:
            padding = {} if mask is None else _padding_arguments(mask, read.shape[1], takes, positions)
            if cache is not None and memory != _CACHES[0]:
                padding = {}  # a state, unlike keys and values, holds nothing that a mask would have to hide
            output = model(input_ids=read, use_cache=True, **{memory: cache}, **padding, **fixed)
            scores = processors(ids, output.logits[:, -1].float())
            token = _choose(scores, rows, greedy=settings.temperature == 0)
            yield [row.push(number) for row, number in zip(rows, token.tolist(), strict=True)]
            if all(row.finish_reason for row in rows):
                return
            ids = torch.cat([ids, token[:, None]], dim=1)
            if mask is not None:
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            cache = getattr(output, memory, None)
            read = ids if cache is None else ids[:, -1:]  # without a cache of this kind all is read again


def _pad_left(rows: list[Row], device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return ids (B, L) and their attention mask (B, L), ``None`` if nothing had to be padded."""
    lengths = torch.tensor([len(row.prompt_ids) for row in rows])
    longest = int(lengths.max())
    ids = torch.tensor(
        [[0] * (longest - len(row.prompt_ids)) + row.prompt_ids for row in rows], device=device
    )
    if int(lengths.min()) == longest:
        return ids, None
    return ids, (torch.arange(longest) >= longest - lengths[:, None]).long().to(device)


def _padding_arguments(
    mask: torch.Tensor, width: int, takes: Any, positions: int | None
) -> dict[str, torch.Tensor]:
    """The mask and, where taken, positions (B, width) that count from each row's first real token."""
    arguments = {"attention_mask": mask}
    if "position_ids" in takes:
        counted = (mask.cumsum(dim=1) - 1).clamp(min=0, max=None if positions is None else positions - 1)
        arguments["position_ids"] = counted[:, -width:]
    return arguments


def _processors(settings: GenerateConfig, mask: torch.Tensor | None) -> LogitsProcessorList:
    """What ``generate`` would apply, in its order; the repetition penalty counts no padding."""
    processors = LogitsProcessorList()
    if settings.repetition_penalty != 1:
        padding = None if mask is None else (mask == 0).sum(dim=1)
        processors.append(
            RepetitionPenaltyLogitsProcessor(settings.repetition_penalty, prompt_ignore_length=padding)
        )
    if settings.temperature == 0:
        return processors
    if settings.temperature != 1:
        processors.append(TemperatureLogitsWarper(float(settings.temperature)))
    if settings.top_k:
        processors.append(TopKLogitsWarper(settings.top_k))
    if settings.top_p < 1:
        processors.append(TopPLogitsWarper(settings.top_p))
    if settings.min_p:
        processors.append(MinPLogitsWarper(settings.min_p))
    return processors


def _choose(scores: torch.Tensor, rows: list[Row], *, greedy: bool) -> torch.Tensor:
    """Choose a token (B,) for each row of scores (B, V).

    Drawn as ``argmax(p / e)`` with ``e`` exponentially distributed, which has the odds ``p``; ``e`` comes
    from the row's own random stream, drawn on the CPU so that a device changes nothing.
    """
    if not torch.isfinite(scores.amax(dim=-1)).all():
        raise ModelError(
            "the model's output is not a number",
            hint="its weights may be damaged, or its training may have diverged",
        )
    if greedy:
        return scores.argmax(dim=-1)
    odds = scores.softmax(dim=-1)
    noise = torch.stack([torch.empty(odds.shape[1]).exponential_(generator=row.random) for row in rows])
    return (odds / noise.to(odds.device)).argmax(dim=-1)


@torch.no_grad()
def _beams(model: Any, rows: list[Row], settings: GenerateConfig) -> list[Continuation]:
    """Write the rows, all of one prompt, by beam search, the best first."""
    prompt_ids, eos = rows[0].prompt_ids, sorted(rows[0].eos)
    ids = torch.tensor([prompt_ids], device=model.device)
    config = GenerationConfig(
        do_sample=False,
        num_beams=settings.num_beams,
        num_return_sequences=len(rows),
        max_new_tokens=rows[0].limit,
        repetition_penalty=settings.repetition_penalty,
        eos_token_id=eos or None,
        pad_token_id=eos[0] if eos else 0,
    )
    with evaluating(model):
        if not torch.isfinite(model(input_ids=ids).logits[:, -1].amax()):
            raise ModelError("the model's output is not a number")
        found = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    for row, tokens in zip(rows, found[:, len(prompt_ids) :].tolist(), strict=True):
        for token in tokens:
            row.push(token)
    return [row.continuation() for row in rows]
