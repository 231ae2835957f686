"""What a masked language model would put where a text has a mask."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from llmctl.errors import DataError
from llmctl.inference.scoring import evaluating
from llmctl.limits import num_positions
from llmctl.progress import SILENT, Progress

MASK = "[MASK]"
"""Stands for any tokenizer's own mask token."""
FILLINGS = 5


def fill(
    model: Any,
    tokenizer: Any,
    texts: Sequence[tuple[str, str]],
    *,
    batch_size: int,
    progress: Progress = SILENT,
) -> Iterator[dict[str, Any]]:
    """For each text the five likeliest tokens of each mask in it, in the order of the texts.

    Args:
        model: with a head over the vocabulary.
        tokenizer: has a mask token.
        texts: (text, where it stands); a mask is written ``[MASK]``, or as the tokenizer writes it.
        batch_size: texts read at once.

    Yields:
        ``text``; ``predicted``, the text with the likeliest tokens in place; and ``fillings``: for each mask a list of
        ``{"token", "probability"}``. The masks of a text are filled each for itself.

    Raises:
        DataError: a text has no mask, or is longer than the model can read.
    """
    rows = [_encoded(tokenizer, *text, num_positions(model)) for text in texts]
    with evaluating(model), torch.no_grad(), progress.bar("filling", len(rows), "texts") as advance:
        for begin in range(0, len(rows), batch_size):
            chosen = rows[begin : begin + batch_size]
            batch = tokenizer.pad({"input_ids": chosen}, return_tensors="pt").to(model.device)
            found = model(**batch)
            logits = found.logits if "logits" in found else found.prediction_logits
            masks = batch["input_ids"] == tokenizer.mask_token_id
            likely = logits[masks].float().softmax(dim=-1).topk(min(FILLINGS, logits.shape[-1]))
            each = masks.sum(dim=1).tolist()
            parts = zip(likely.values.split(each), likely.indices.split(each), strict=True)
            for (text, _), ids, (shares, tokens) in zip(
                texts[begin : begin + batch_size], chosen, parts, strict=True
            ):
                yield _answer(tokenizer, text, ids, shares.tolist(), tokens.tolist())
            advance(len(chosen))


def _encoded(tokenizer: Any, text: str, where: str, positions: int | None) -> list[int]:
    ids: list[int] = tokenizer(text.replace(MASK, tokenizer.mask_token))["input_ids"]
    if tokenizer.mask_token_id not in ids:
        raise DataError(f"{where}: there is no {MASK} to fill in", hint=f'"The cat sat on the {MASK}."')
    if positions and len(ids) > positions:
        raise DataError(
            f"{where}: {len(ids):,} tokens, the model reads {positions:,}", hint="shorten the text"
        )
    return ids


def _answer(
    tokenizer: Any, text: str, ids: list[int], shares: list[list[float]], tokens: list[list[int]]
) -> dict[str, Any]:
    best = iter(row[0] for row in tokens)
    filled = [next(best) if token == tokenizer.mask_token_id else token for token in ids]
    return {
        "text": text,
        "predicted": tokenizer.decode(filled, skip_special_tokens=True),
        "fillings": [
            [
                {"token": _shown(tokenizer, token), "probability": share}
                for token, share in zip(row, chances, strict=True)
            ]
            for row, chances in zip(tokens, shares, strict=True)
        ],
    }


def _shown(tokenizer: Any, token: int) -> str:
    """A token as a reader knows it; one that is no more than a space, as its vocabulary spells it."""
    return tokenizer.decode([token]).strip() or str(tokenizer.convert_ids_to_tokens(token))
