"""Strided perplexity: the loop of transformers' documentation against ours, on the same model and text.

GPT-2 shape of 6 layers x 384, random weights, window 1024, stride 512, one thread, median of three in turns.
"""

import statistics
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from llmctl.inference import score

TOKENS, WINDOW, STRIDE, BATCH, VOCABULARY, REPEATS = 6 * 1024, 1024, 512, 4, 50_257, 3


@torch.no_grad()
def documentation_loop(model: Any, ids: torch.Tensor) -> float:
    """Nats a token; each window's mean loss is weighted by the targets it was averaged over."""
    total, count, previous = 0.0, 0, 0
    for begin in range(0, ids.shape[1], STRIDE):
        end = min(begin + WINDOW, ids.shape[1])
        targets = ids[:, begin:end].clone()
        targets[:, : -(end - previous)] = -100
        loss = model(ids[:, begin:end], labels=targets).loss
        scored = int((targets[:, 1:] != -100).sum())
        total, count, previous = total + loss.item() * scored, count + scored, end
        if end == ids.shape[1]:
            break
    return total / count


def ours(model: Any, ids: torch.Tensor) -> float:
    documents = SimpleNamespace(
        tokens=ids[0].numpy(), ends=np.array([ids.shape[1]]), prefix_length=0, suffix_length=0,
        num_bytes=np.array([1]), num_words=np.array([1]),
    )  # fmt: skip
    scores = score(model, documents, max_length=WINDOW, stride=STRIDE, batch_size=BATCH)  # type: ignore[arg-type]
    return float(scores.nll.sum() / scores.num_tokens.sum())


def main() -> str:
    """Markdown: tokens a second of both, and the relative difference of their results."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_layer=6, n_embd=384, n_head=6, vocab_size=VOCABULARY)).eval()
    ids = torch.randint(0, VOCABULARY, (1, TOKENS))
    times: dict[str, list[float]] = {"documentation": [], "ours": []}
    values = {}
    for _ in range(REPEATS):  # in turns, so that a drifting machine wrongs neither
        for name, function in (("documentation", documentation_loop), ("ours", ours)):
            began = time.perf_counter()
            values[name] = function(model, ids)
            times[name].append(time.perf_counter() - began)
    speed = {name: TOKENS / statistics.median(seconds) for name, seconds in times.items()}
    gain = speed["ours"] / speed["documentation"]
    difference = abs(values["ours"] / values["documentation"] - 1)
    return "\n".join(
        [
            "| | tok/s | gain |",
            "|---|---|---|",
            f"| the documentation's loop | {speed['documentation']:,.0f} | 1 |",
            f"| ours, batches of {BATCH} | {speed['ours']:,.0f} | {gain:.2f} |",
            "",
            f"Relative difference of the nats a token: {difference:.1e}",
        ]
    )


if __name__ == "__main__":
    print(main())
